"""Writes a conversation as a Chat Completions request, the dialect that every local engine speaks.

Features that differ between engines are avoided: ``max_completion_tokens`` (which some do not know),
lists of parts if a string is enough (chat templates of many models accept only strings), and tool
results with images (no engine accepts them: the images follow in a user message).

https://developers.openai.com/api/docs/api-reference/chat/create
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from providers.conversation.conversation import (
    Conversation,
    File,
    Image,
    Part,
    Reasoning,
    RefusalText,
    Role,
    Sampling,
    Text,
    Tool,
    ToolResult,
    ToolUse,
    Turn,
    Use,
)
from providers.conversation.members import stated
from providers.openai.media import audio_format, url_of
from providers.openai.reasoning_details import write_details
from providers.openai.tools import input_of, kind_of, schema_form

_encode = msgspec.json.Encoder().encode
_PARAGRAPH = "\n\n"  # between texts that were parts of one message


def write_request(conversation: Conversation, model: str, *, named_choice: bool = True) -> bytes:
    """The body of ``POST /v1/chat/completions``. A stream asks for its usage chunk.

    Args:
        conversation: What to say.
        model: The engine's name of the model.
        named_choice: The engine takes a tool choice that names a tool. One that does not is given that one tool and the
            choice ``required``, which has the same effect.
    """
    named = conversation.tool if conversation.use is Use.REQUIRED else ""
    tools = [tool for tool in conversation.tools if named_choice or not named or tool.name == named]
    body: dict[str, Any] = {"model": model, "messages": _messages(conversation), "stream": conversation.stream}
    if conversation.stream:
        body["stream_options"] = {"include_usage": True}
    if tools:
        body["tools"] = [_tool(tool) for tool in tools]
        if named and named_choice:
            body["tool_choice"] = {"type": "function", "function": {"name": named}}
        elif conversation.use is not None:
            body["tool_choice"] = conversation.use
        if conversation.parallel is not None:
            body["parallel_tool_calls"] = conversation.parallel
    if conversation.schema:
        form = {"name": "answer", "schema": msgspec.Raw(conversation.schema), "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": form}
    elif conversation.json:
        body["response_format"] = {"type": "json_object"}
    return _encode(body | _sampling(conversation.sampling))


def _sampling(sampling: Sampling) -> dict[str, Any]:
    return stated(
        {
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k,  # not OpenAI's: local engines know it, or skip it
            "seed": sampling.seed,
            "presence_penalty": sampling.presence_penalty,
            "frequency_penalty": sampling.frequency_penalty,
            "stop": list(sampling.stop) or None,
            "logprobs": None if sampling.probabilities is None else True,
            "top_logprobs": sampling.probabilities or None,
        }
    )


def _tool(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    if tool.parameters:
        function["parameters"] = msgspec.Raw(tool.parameters)
    return {"type": "function", "function": function}


def _messages(conversation: Conversation) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    if conversation.system:
        messages.append({"role": "system", "content": conversation.system})
    for turn in conversation.turns:
        messages += _assistant(turn) if turn.role is Role.ASSISTANT else _user(turn)
    return messages


def _assistant(turn: Turn) -> list[dict[str, Any]]:
    text = _PARAGRAPH.join(part.text for part in turn.parts if isinstance(part, Text))
    calls = [
        {"id": part.id, "type": "function", "function": {"name": part.name, "arguments": part.arguments.decode()}}
        for part in turn.parts
        if isinstance(part, ToolUse)
    ]
    message: dict[str, Any] = {"role": "assistant", "content": text or (None if calls else "")}
    if calls:
        message["tool_calls"] = calls
    return [message]


def _user(turn: Turn) -> list[dict[str, Any]]:
    """Results of tools first: they must follow the calls at once."""
    results = [part for part in turn.parts if isinstance(part, ToolResult)]
    messages: list[dict[str, Any]] = [
        {"role": "tool", "tool_call_id": result.id, "content": result.text} for result in results
    ]
    shown: list[Part] = [image for result in results for image in result.images]
    shown += [part for part in turn.parts if isinstance(part, Text | Image)]
    if any(isinstance(part, Image) for part in shown):
        messages.append({"role": "user", "content": [_part(part) for part in shown]})
    elif shown or not results:
        messages.append(
            {"role": "user", "content": _PARAGRAPH.join(part.text for part in shown if isinstance(part, Text))}
        )
    return messages


def _part(part: Part) -> dict[str, Any]:
    if isinstance(part, Image):
        return {"type": "image_url", "image_url": {"url": f"data:{part.media_type};base64,{part.data}"}}
    assert isinstance(part, Text)
    return {"type": "text", "text": part.text}


def write_chat(
    conversation: Conversation, model: str, *, completion_limit: bool = True, include_usage: bool = True
) -> bytes:
    """The body of ``POST /v1/chat/completions`` for a provider. A stream asks for its usage chunk.

    Args:
        conversation: What to say, as `providers.conversation.fitting.fit` made it for this dialect.
        model: The provider's name of the model.
        completion_limit: The host knows ``max_completion_tokens``; many compatible hosts know ``max_tokens`` only.
        include_usage: The host knows ``stream_options.include_usage``.
    """
    sampling = _sampling(conversation.sampling)
    if completion_limit and "max_tokens" in sampling:
        sampling["max_completion_tokens"] = sampling.pop("max_tokens")
    system = {"role": "system", "content": conversation.system}
    messages: list[dict[str, Any]] = [system] if conversation.system else []
    for turn in conversation.turns:
        messages += _provider_messages(turn, conversation.tools)
    body: dict[str, Any] = {"model": model, "messages": messages, "stream": conversation.stream}
    if conversation.stream and include_usage:
        body["stream_options"] = {"include_usage": True}
    if conversation.tools:
        body["tools"] = [_provider_tool(tool) for tool in conversation.tools]
        if conversation.use is Use.REQUIRED and conversation.tool:
            kind = kind_of(conversation.tools, conversation.tool)
            body["tool_choice"] = {"type": kind, kind: {"name": conversation.tool}}
        elif conversation.use is not None:
            body["tool_choice"] = conversation.use
        if conversation.parallel is not None:
            body["parallel_tool_calls"] = conversation.parallel
    if conversation.schema:
        body["response_format"] = {"type": "json_schema", "json_schema": schema_form(conversation)}
    elif conversation.json:
        body["response_format"] = {"type": "json_object"}
    if conversation.effort is not None:
        body["reasoning_effort"] = conversation.effort
    if conversation.verbosity:
        body["verbosity"] = conversation.verbosity
    if conversation.choices > 1:
        body["n"] = conversation.choices
    return _encode(body | sampling)


def _provider_tool(tool: Tool) -> dict[str, Any]:
    if tool.one_text:
        custom: dict[str, Any] = {"name": tool.name}
        if tool.description:
            custom["description"] = tool.description
        if tool.grammar:
            custom["format"] = msgspec.Raw(tool.grammar)
        return {"type": "custom", "custom": custom}
    made = _tool(tool)
    if tool.strict is not None:
        made["function"]["strict"] = tool.strict
    return made


def _provider_messages(turn: Turn, tools: Sequence[Tool]) -> list[dict[str, Any]]:
    match turn.role:
        case Role.SYSTEM:
            return [{"role": "system", "content": _content(turn.parts)}]
        case Role.USER:
            messages: list[dict[str, Any]] = [
                {"role": "tool", "tool_call_id": part.id, "content": part.text}
                for part in turn.parts
                if isinstance(part, ToolResult)
            ]
            shown = [part for part in turn.parts if not isinstance(part, ToolResult)]
            return [*messages, {"role": "user", "content": _content(shown)}] if shown or not messages else messages
        case Role.ASSISTANT:
            return [_said(turn, tools)]


def _said(turn: Turn, tools: Sequence[Tool]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant"}
    texts = [part for part in turn.parts if isinstance(part, Text)]
    calls = [_called(part, tools) for part in turn.parts if isinstance(part, ToolUse)]
    refused = "".join(part.text for part in turn.parts if isinstance(part, RefusalText))
    message["content"] = _content(texts) if texts else None if calls or refused else ""
    if refused:
        message["refusal"] = refused
    reasoning = [part for part in turn.parts if isinstance(part, Reasoning)]
    if reasoning:
        message["reasoning_details"] = write_details(reasoning)
    if calls:
        message["tool_calls"] = calls
    return message


def _called(part: ToolUse, tools: Sequence[Tool]) -> dict[str, Any]:
    if kind_of(tools, part.name) == "custom":
        return {"id": part.id, "type": "custom", "custom": {"name": part.name, "input": input_of(part.arguments)}}
    return {
        "id": part.id,
        "type": "function",
        "function": {"name": part.name, "arguments": part.arguments.decode()},
    }


def _content(parts: Sequence[Part]) -> str | list[dict[str, Any]]:
    if len(parts) == 1 and isinstance(parts[0], Text):
        return parts[0].text
    return [_shown(part) for part in parts]


def _shown(part: Part) -> dict[str, Any]:
    match part:
        case Text(text):
            return {"type": "text", "text": text}
        case Image():
            image = {"url": url_of(part)}
            return {"type": "image_url", "image_url": image | {"detail": part.detail} if part.detail else image}
        case File(media_type, data) if (form := audio_format(media_type)) is not None:
            return {"type": "input_audio", "input_audio": {"data": data, "format": form}}
        case File(name=name):
            return {"type": "file", "file": {"filename": name or "file.pdf", "file_data": url_of(part)}}
    raise TypeError  # `fit` leaves nothing else
