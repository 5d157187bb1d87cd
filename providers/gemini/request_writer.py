"""Writes a conversation as a generateContent request.

Schemas are sent as JSON Schema (``parametersJsonSchema``, ``responseJsonSchema``). A result has the name of its call. A
call without a known signature (from another model) has a marker instead, since newer models refuse calls without one.

https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from providers.conversation.arguments import read_object
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
from providers.gemini.reader import UNSEALED

_encode: Final = msgspec.json.Encoder().encode
_ROLES: Final = {Role.USER: "user", Role.ASSISTANT: "model", Role.SYSTEM: "user"}
_MODES: Final = {Use.AUTO: "AUTO", Use.REQUIRED: "ANY", Use.NONE: "NONE"}
_LEVELS: Final = {
    Effort.MINIMAL: "MINIMAL",
    Effort.LOW: "LOW",
    Effort.MEDIUM: "MEDIUM",
    Effort.HIGH: "HIGH",
    Effort.XHIGH: "XHIGH",
}


def write_generate(conversation: Conversation) -> bytes:
    """The body of ``generateContent`` and of ``streamGenerateContent``; the model is in the path.

    Args:
        conversation: What to say, as `providers.conversation.fitting.fit` made it for this dialect.
    """
    names = {part.id: part.name for turn in conversation.turns for part in turn.parts if isinstance(part, ToolUse)}
    body: dict[str, Any] = {
        "contents": [{"role": _ROLES[turn.role], "parts": list(_parts(turn, names))} for turn in conversation.turns],
    }
    if conversation.system:
        body["systemInstruction"] = {"parts": [{"text": conversation.system}]}
    if conversation.tools:
        body["tools"] = [{"functionDeclarations": [_tool(tool) for tool in conversation.tools]}]
        if conversation.use is not None:
            calling: dict[str, Any] = {"mode": _MODES[conversation.use]}
            if conversation.use is Use.REQUIRED and conversation.tool:
                calling["allowedFunctionNames"] = [conversation.tool]
            body["toolConfig"] = {"functionCallingConfig": calling}
    config = _config(conversation)
    if config:
        body["generationConfig"] = config
    return _encode(body)


def _config(conversation: Conversation) -> dict[str, Any]:
    sampling = conversation.sampling
    thinking: dict[str, Any] = {}
    if conversation.reasoning:
        thinking["includeThoughts"] = True
    if conversation.budget is not None:
        thinking["thinkingBudget"] = conversation.budget
    elif conversation.effort is Effort.NONE:
        thinking["thinkingBudget"] = 0
    elif conversation.effort is not None:
        thinking["thinkingLevel"] = _LEVELS[conversation.effort]
    return stated(
        {
            "candidateCount": conversation.choices if conversation.choices > 1 else None,
            "maxOutputTokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "topP": sampling.top_p,
            "topK": sampling.top_k,
            "seed": sampling.seed,
            "presencePenalty": sampling.presence_penalty,
            "frequencyPenalty": sampling.frequency_penalty,
            "stopSequences": list(sampling.stop) or None,
            "responseLogprobs": None if sampling.probabilities is None else True,
            "logprobs": sampling.probabilities or None,
            "responseMimeType": "application/json" if conversation.json else None,
            "responseJsonSchema": msgspec.Raw(conversation.schema) if conversation.schema else None,
            "thinkingConfig": thinking or None,
        }
    )


def _tool(tool: Tool) -> dict[str, Any]:
    found: dict[str, Any] = {"name": tool.name}
    if tool.description:
        found["description"] = tool.description
    if tool.parameters:
        found["parametersJsonSchema"] = msgspec.Raw(tool.parameters)
    return found


def _parts(turn: Turn, names: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """The parts, each with the seal before it."""
    waiting = ""
    called = False  # one call of a turn is enough: parallel calls have one signature
    for part in turn.parts:
        seal = sealed_for(Family.GOOGLE, part.seal) if isinstance(part, Reasoning) and part.seal is not None else ""
        if isinstance(part, Reasoning) and waiting:
            yield {"text": "", "thoughtSignature": waiting}
            waiting = ""
        if isinstance(part, Reasoning) and part.text:
            thought = {"text": part.text, "thought": True}
            yield thought | {"thoughtSignature": seal} if seal else thought
            continue
        if isinstance(part, Reasoning):
            waiting = seal
            continue
        if isinstance(part, ToolUse) and not waiting and not called:
            waiting = UNSEALED
        called = called or isinstance(part, ToolUse)
        made = _part(part, names)
        yield made | {"thoughtSignature": waiting} if waiting else made
        waiting = ""
    if waiting:
        yield {"text": "", "thoughtSignature": waiting}


def _part(part: Part, names: Mapping[str, str]) -> dict[str, Any]:
    match part:
        case Text(text) | RefusalText(text):
            return {"text": text}
        case Image() | File():
            return _file(part)
        case ToolUse(identity, name, arguments):
            return {"functionCall": {"id": identity, "name": name, "args": msgspec.Raw(arguments)}}
        case ToolResult():
            response: dict[str, Any] = {"id": part.id, "name": names.get(part.id, ""), "response": _response(part)}
            if part.images or part.files:
                response["parts"] = [*map(_file, part.images), *map(_file, part.files)]
            return {"functionResponse": response}
    raise TypeError  # thoughts are written by `_parts`


def _response(part: ToolResult) -> Any:
    """The API takes an object: what the tool gave if it is one, else the member that the API names for it."""
    if part.failed:
        return {"error": part.text}
    given = read_object(part.text) if part.text.startswith("{") else None
    return {"output": part.text} if given is None else given


def _file(part: Image | File) -> dict[str, Any]:
    if part.url:
        return {"fileData": {"mimeType": part.media_type or "image/*", "fileUri": part.url}}
    data = {"mimeType": part.media_type, "data": part.data}
    if isinstance(part, File) and part.name:
        data["displayName"] = part.name
    return {"inlineData": data}
