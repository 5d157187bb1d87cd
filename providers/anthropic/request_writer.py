"""Writes a conversation as a Messages request.

https://platform.claude.com/docs/en/api/messages
"""

from __future__ import annotations

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
    Sampling,
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

_encode: Final = msgspec.json.Encoder().encode
_NO_PARAMETERS: Final = b'{"type":"object","properties":{}}'


def write_messages(conversation: Conversation, model: str) -> bytes:
    """The body of ``POST /v1/messages``.

    Args:
        conversation: What to say, as `providers.conversation.fitting.fit` made it for this dialect.
        model: The provider's name of the model.
    """
    sampling = conversation.sampling
    body: dict[str, Any] = {
        "model": model,
        "max_tokens": sampling.max_tokens,
        "messages": [_message(turn) for turn in conversation.turns],
    }
    if conversation.system:
        body["system"] = conversation.system
    if conversation.tools:
        body["tools"] = [_tool(tool) for tool in conversation.tools]
        choice = _choice(conversation)
        if choice is not None:
            body["tool_choice"] = choice
    if conversation.cache:
        body["cache_control"] = {"type": "ephemeral"}
    if conversation.stream:
        body["stream"] = True
    return _encode(body | _thinking(conversation) | _sampling(sampling))


def _sampling(sampling: Sampling) -> dict[str, Any]:
    return stated(
        {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k,
            "stop_sequences": list(sampling.stop) or None,
        }
    )


def _thinking(conversation: Conversation) -> dict[str, Any]:
    """A budget is a number of tokens; an effort lets the model decide how much to think."""
    display = {} if conversation.reasoning else {"display": "omitted"}
    config: dict[str, Any] = {}
    found: dict[str, Any] = {}
    if conversation.budget is not None:
        found["thinking"] = {"type": "enabled", "budget_tokens": conversation.budget, **display}
    elif conversation.effort is Effort.NONE:
        found["thinking"] = {"type": "disabled"}
    elif conversation.effort is not None:
        found["thinking"] = {"type": "adaptive", **display}
        config["effort"] = conversation.effort
    if conversation.schema:
        config["format"] = {"type": "json_schema", "schema": msgspec.Raw(conversation.schema)}
    return found | {"output_config": config} if config else found


def _tool(tool: Tool) -> dict[str, Any]:
    found: dict[str, Any] = {"name": tool.name}
    if tool.description:
        found["description"] = tool.description
    found["input_schema"] = msgspec.Raw(tool.parameters or _NO_PARAMETERS)
    return found | {"strict": tool.strict} if tool.strict is not None else found


def _choice(conversation: Conversation) -> dict[str, Any] | None:
    parallel: dict[str, Any] = {}
    if conversation.parallel is not None and conversation.use is not Use.NONE:
        parallel["disable_parallel_tool_use"] = not conversation.parallel
    match conversation.use:
        case Use.REQUIRED if conversation.tool:
            return {"type": "tool", "name": conversation.tool, **parallel}
        case Use.REQUIRED:
            return {"type": "any", **parallel}
        case Use.NONE:
            return {"type": "none"}
        case Use.AUTO:
            return {"type": "auto", **parallel}
        case None:
            return {"type": "auto", **parallel} if parallel else None


def _message(turn: Turn) -> dict[str, Any]:
    match turn.parts:
        case (Text(text),):
            return {"role": turn.role, "content": text}
        case parts:
            return {"role": turn.role, "content": [_block(part) for part in parts]}


def _block(part: Part) -> dict[str, Any]:
    match part:
        case Text(text) | RefusalText(text):
            return {"type": "text", "text": text}
        case Image():
            return {"type": "image", "source": _source(part)}
        case File():
            document = {"type": "document", "source": _source(part)}
            return document | {"title": part.name} if part.name else document
        case Reasoning(text, seal):
            if seal is not None and seal.redacted and seal.family is Family.ANTHROPIC:
                return {"type": "redacted_thinking", "data": seal.data}
            signature = "" if seal is None else sealed_for(Family.ANTHROPIC, seal)
            return {"type": "thinking", "thinking": text, "signature": signature}
        case ToolUse(identity, name, arguments):
            return {"type": "tool_use", "id": identity, "name": name, "input": msgspec.Raw(arguments)}
        case ToolResult():
            return _result(part)


def _source(part: Image | File) -> dict[str, Any]:
    if part.url:
        return {"type": "url", "url": part.url}
    return {"type": "base64", "media_type": part.media_type, "data": part.data}


def _result(part: ToolResult) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "tool_result", "tool_use_id": part.id, "content": part.text}
    if part.images or part.files:
        held: list[Part] = [*([Text(part.text)] if part.text else []), *part.images, *part.files]
        found["content"] = [_block(one) for one in held]
    return found | {"is_error": True} if part.failed else found
