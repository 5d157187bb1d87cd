"""Writes a conversation as a Chat Completions request, the dialect that every local engine speaks.

What differs between engines and is avoided here: ``max_completion_tokens`` (not known to all),
lists of parts where a string will do (chat templates of many models take strings alone), and tool
results with images (no engine takes them: the images follow as the user's).

https://developers.openai.com/api/docs/api-reference/chat/create
"""

from __future__ import annotations

from typing import Any

import msgspec

from providers.conversation.conversation import (
    Conversation,
    Image,
    Part,
    Role,
    Sampling,
    Text,
    Tool,
    ToolResult,
    ToolUse,
    Turn,
    Use,
)

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
    found = {
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,  # not OpenAI's: local engines know it, or skip it
        "seed": sampling.seed,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "stop": list(sampling.stop) or None,
    }
    return {name: value for name, value in found.items() if value is not None}


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
