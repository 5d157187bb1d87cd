"""Writes a conversation as a Responses request. Nothing is stored, and encrypted reasoning is asked for.

https://developers.openai.com/api/docs/api-reference/responses/create
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, Final

import msgspec

from providers.conversation.conversation import (
    Conversation,
    Effort,
    File,
    Image,
    Part,
    Reasoning,
    RefusalText,
    Role,
    Text,
    Tool,
    ToolResult,
    ToolUse,
    Turn,
    Use,
)
from providers.conversation.envelope import sealed_for
from providers.conversation.members import stated
from providers.dialect import Family
from providers.openai.media import url_of
from providers.openai.responses_reader import INCLUDED, call_of
from providers.openai.tools import input_of, kind_of, schema_form

_encode: Final = msgspec.json.Encoder().encode
_NO_PARAMETERS: Final = b'{"type":"object","properties":{}}'


def write_responses(conversation: Conversation, model: str, *, reasons: bool = True) -> bytes:
    """The body of ``POST /v1/responses``.

    Args:
        conversation: What to say, as `providers.conversation.fitting.fit` made it for this dialect.
        model: The provider's name of the model.
        reasons: The model reasons, so that its encrypted reasoning is asked for.
    """
    custom_names = {tool.name for tool in conversation.tools if tool.one_text}
    custom_calls = frozenset(
        part.id
        for turn in conversation.turns
        for part in turn.parts
        if isinstance(part, ToolUse) and part.name in custom_names
    )
    items = [item for turn in conversation.turns for item in _items(turn, conversation.tools, custom_calls)]
    body: dict[str, Any] = {"model": model, "input": items, "store": False, "stream": conversation.stream}
    probable = conversation.sampling.probabilities is not None
    included = [*(["reasoning.encrypted_content"] if reasons else ()), *([INCLUDED] if probable else ())]
    if included:
        body["include"] = included
    if conversation.system:
        body["instructions"] = conversation.system
    if conversation.tools:
        body["tools"] = list(_tools(conversation.tools))
        if conversation.use is Use.REQUIRED and conversation.tool:
            kind = kind_of(conversation.tools, conversation.tool)
            body["tool_choice"] = {"type": kind, "name": conversation.tool}
        elif conversation.use is not None:
            body["tool_choice"] = conversation.use
        if conversation.parallel is not None:
            body["parallel_tool_calls"] = conversation.parallel
    sampling = conversation.sampling
    numbers = {
        "max_output_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_logprobs": sampling.probabilities or None,
        "text": _wording(conversation) or None,
        "reasoning": _thinking(conversation) or None,
    }
    return _encode(body | stated(numbers))


def _wording(conversation: Conversation) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if conversation.schema:
        found["format"] = {"type": "json_schema", **schema_form(conversation)}
    elif conversation.json:
        found["format"] = {"type": "json_object"}
    return found | {"verbosity": conversation.verbosity} if conversation.verbosity else found


def _thinking(conversation: Conversation) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if conversation.effort is not None:
        found["effort"] = conversation.effort
    if conversation.reasoning and conversation.effort is not Effort.NONE:
        found["summary"] = "auto"
    return found


def _items(turn: Turn, tools: Sequence[Tool], custom_calls: frozenset[str]) -> Iterator[dict[str, Any]]:
    """Consecutive parts of a message are one item; results, calls and reasoning are separate items."""
    for alone, parts in groupby(turn.parts, lambda part: isinstance(part, ToolUse | ToolResult | Reasoning)):
        if alone:
            yield from (_item(part, tools, custom_calls) for part in parts)
        else:
            yield {"type": "message", "role": turn.role, "content": [_shown(part, turn.role) for part in parts]}


def _item(part: Part, tools: Sequence[Tool], custom_calls: frozenset[str]) -> dict[str, Any]:
    match part:
        case ToolUse():
            return _call(part, tools)
        case ToolResult():
            output: str | list[dict[str, Any]] = part.text
            if part.images or part.files:
                held: list[Part] = [*([Text(part.text)] if part.text else []), *part.images, *part.files]
                output = [_shown(one, Role.USER) for one in held]
            kind = "custom_tool_call_output" if part.id in custom_calls else "function_call_output"
            return {"type": kind, "call_id": part.id, "output": output}
        case Reasoning(text, seal):
            summary = [{"type": "summary_text", "text": text}] if text else []
            item: dict[str, Any] = {"type": "reasoning", "id": seal.id if seal else "", "summary": summary}
            return item | {"encrypted_content": sealed_for(Family.OPENAI, seal)} if seal is not None else item
    raise TypeError


def _call(part: ToolUse, tools: Sequence[Tool]) -> dict[str, Any]:
    namespace, name, custom = call_of(tools, part.name)
    called: dict[str, Any] = {"call_id": part.id, "name": name}
    if custom:
        called |= {"type": "custom_tool_call", "input": input_of(part.arguments)}
    else:
        called |= {"type": "function_call", "arguments": part.arguments.decode()}
    return called | {"namespace": namespace} if namespace else called


def _shown(part: Part, role: Role) -> dict[str, Any]:
    match part:
        case Text(text):
            return {"type": "output_text" if role is Role.ASSISTANT else "input_text", "text": text}
        case RefusalText(text):
            return {"type": "refusal", "refusal": text}
        case Image(detail=detail):
            return {"type": "input_image", "image_url": url_of(part), "detail": detail or "auto"}
        case File(url=url, name=name) if url:
            return {"type": "input_file", "file_url": url} | ({"filename": name} if name else {})
        case File(name=name):
            return {"type": "input_file", "filename": name or "file.pdf", "file_data": url_of(part)}
    raise TypeError  # `fit` leaves nothing else


def _tools(tools: Sequence[Tool]) -> Iterator[dict[str, Any]]:
    for namespace, group in groupby(tools, lambda tool: tool.namespace):
        made = [_tool(tool) for tool in group]
        if namespace:
            yield {"type": "namespace", "name": namespace, "description": "", "tools": made}
        else:
            yield from made


def _tool(tool: Tool) -> dict[str, Any]:
    name = tool.name.removeprefix(f"{tool.namespace}__") if tool.namespace else tool.name
    found: dict[str, Any] = {"type": "custom" if tool.one_text else "function", "name": name}
    if tool.description:
        found["description"] = tool.description
    if tool.one_text:
        return found | {"format": msgspec.Raw(tool.grammar)} if tool.grammar else found
    # The API takes an absent ``strict`` as true, which most schemas do not satisfy.
    return found | {"parameters": msgspec.Raw(tool.parameters or _NO_PARAMETERS), "strict": bool(tool.strict)}
