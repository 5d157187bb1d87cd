"""Reads a generateContent request into a conversation.

Every member is accepted in camelCase and in snake_case, and a single object as a list of one, as Google
does. Google's schemas have types in capitals and ``nullable``; they become JSON Schema.
Tool calls without an id are numbered, and results are matched to them by name.

A signature is a seal: that of its thought, or, on a text or call, a seal before that part. Safety settings are left
out. Features that the hub does not have are refused, such as tools that run at the provider.

https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from providers.conversation.conversation import (
    Conversation,
    Effort,
    File,
    Image,
    Part,
    Reasoning,
    Role,
    Sampling,
    Text,
    Tool,
    ToolResult,
    ToolUse,
    Turn,
    Use,
    gathered,
)
from providers.conversation.engine import for_engine
from providers.conversation.envelope import opened
from providers.dialect import Family, Refusal

_FORM: Final = "The request does not have the form of generateContent."
_PART: Final = (
    "This kind of part can't be put into the form of the API that this model is served through: send text, files as "
    "inlineData, function calls and function responses."
)
_TOOLS: Final = (
    "The model of this request is served through another API, which has functions only: remove the other tools."
)
_MORE: Final = (
    "The model of this request is served through another API, with one candidate, in text: remove this member."
)
_FILE: Final = "Files kept at a provider are not served: send the file's data as inlineData."
_KEPT: Final = "https://generativelanguage.googleapis.com/"
UNSEALED: Final = "skip_thought_signature_validator"
"""Google's marker for a call without a known signature: https://ai.google.dev/gemini-api/docs/thought-signatures"""
_EFFORTS: Final = {
    "MINIMAL": Effort.MINIMAL,
    "LOW": Effort.LOW,
    "MEDIUM": Effort.MEDIUM,
    "HIGH": Effort.HIGH,
    "XHIGH": Effort.XHIGH,
}
_USES: Final = {"AUTO": Use.AUTO, "ANY": Use.REQUIRED, "NONE": Use.NONE, "VALIDATED": Use.AUTO}
_UNSUPPORTED: Final[tuple[tuple[str, frozenset[object]], ...]] = (
    ("responseModalities", frozenset(("TEXT",))),
    ("speechConfig", frozenset()),
    ("imageConfig", frozenset()),
)

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.decode
_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
Object = Mapping[str, Any]


def read_conversation(body: bytes, *, stream: bool) -> Conversation:
    """The conversation that a generateContent request holds, as a local engine takes it.

    Raises:
        Refusal: ``invalid_request`` for another form, ``unsupported_feature`` for what has no place in chat.
    """
    return for_engine(read_request(body, stream=stream), "contents")


def read_request(body: bytes, *, stream: bool) -> Conversation:
    """The conversation that a generateContent request holds.

    Raises:
        Refusal: ``invalid_request`` for another form, ``unsupported_feature`` for what has no place in the hub.
    """
    try:
        request = _decode(body)
        _expect(isinstance(request, dict))
        return _Reader().read(request, stream=stream)
    except (*_UNREADABLE, AttributeError, KeyError, TypeError):  # another form meets one of these on its way
        raise Refusal("invalid_request", _FORM) from None


def _expect(condition: object) -> None:
    if not condition:
        raise TypeError


def _get(item: Object, name: str) -> Any:
    """The member in either spelling."""
    if name in item:
        return item[name]
    return item.get("".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name))


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _text(value: Any) -> str:
    _expect(value is None or isinstance(value, str))
    return value or ""


def _number(value: Any, kind: type[int | float]) -> Any:
    if value is None:
        return None
    _expect(isinstance(value, (int, float)) and not isinstance(value, bool))
    return kind(value)


class _Reader:
    """Numbers the calls of one request."""

    def __init__(self) -> None:
        self._count = 0
        self._open: defaultdict[str, deque[str]] = defaultdict(deque)

    def read(self, request: Object, *, stream: bool) -> Conversation:
        config = _get(request, "generationConfig") or {}
        for name, fine in _UNSUPPORTED:
            if any(value not in fine for value in _list(_get(config, name))):
                raise Refusal("unsupported_feature", _MORE, name)
        instructions = [part for content in _list(_get(request, "systemInstruction")) for part in _parts(content)]
        system, turns = gathered(
            "\n\n".join(_text(part["text"]) for part in instructions if "text" in part),
            (self._turn(content) for content in _list(_get(request, "contents"))),
        )
        use, name, tools = _tools(request)
        thinking = _get(config, "thinkingConfig") or {}
        budget = _number(_get(thinking, "thinkingBudget"), int)
        schema = _schema_of(config)
        return Conversation(
            turns=turns,
            system=system,
            tools=tools,
            use=use,
            tool=name,
            choices=max(_number(_get(config, "candidateCount"), int) or 1, 1),
            sampling=Sampling(
                max_tokens=_number(_get(config, "maxOutputTokens"), int),
                temperature=_number(_get(config, "temperature"), float),
                top_p=_number(_get(config, "topP"), float),
                top_k=_number(_get(config, "topK"), int),
                seed=_number(_get(config, "seed"), int),
                presence_penalty=_number(_get(config, "presencePenalty"), float),
                frequency_penalty=_number(_get(config, "frequencyPenalty"), float),
                stop=tuple(_text(item) for item in _list(_get(config, "stopSequences"))),
                probabilities=_number(_get(config, "logprobs"), int) or 0 if _get(config, "responseLogprobs") else None,
            ),
            json=_get(config, "responseMimeType") == "application/json",
            schema=schema,
            reasoning=bool(_get(thinking, "includeThoughts")),
            effort=Effort.NONE if budget == 0 else _EFFORTS.get(str(_get(thinking, "thinkingLevel")).upper()),
            budget=budget if budget is not None and budget > 0 else None,  # -1: the model decides
            stream=stream,
        )

    def _turn(self, content: Any) -> Turn:
        if isinstance(content, str):
            return Turn(Role.USER, (Text(content),))
        role = Role.ASSISTANT if content.get("role") == "model" else Role.USER
        return Turn(role, tuple(part for item in _parts(content) for part in self._sealed(item)))

    def _sealed(self, part: Object) -> Iterator[Part]:
        signature = _text(_get(part, "thoughtSignature"))
        seal = opened(Family.GOOGLE, signature) if signature and signature != UNSEALED else None
        if part.get("thought") is True:
            text = _text(part.get("text"))
            if text or seal is not None:
                yield Reasoning(text, seal)
            return
        if seal is not None:
            yield Reasoning("", seal)
        if seal is None or part.get("text") != "":  # a seal that no part followed stands on an empty text
            yield self._part(part)

    def _part(self, part: Object) -> Part:
        if _get(part, "inlineData") is not None or _get(part, "fileData") is not None:
            return _file(part)
        if (call := _get(part, "functionCall")) is not None:
            name = _text(call["name"])
            self._count += 1
            identity = _text(call.get("id")) or f"call_{self._count}"
            self._open[name].append(identity)
            return ToolUse(identity, name, _encode(call.get("args") or {}))
        if (result := _get(part, "functionResponse")) is not None:
            held = [_file(each) for each in _list(result.get("parts"))]
            text, failed = _result(result.get("response") or {})
            images = tuple(one for one in held if isinstance(one, Image))
            files = tuple(one for one in held if isinstance(one, File))
            return ToolResult(self._answered(result), text, images, files, failed)
        if "text" in part:
            return Text(_text(part["text"]))
        raise Refusal("unsupported_feature", _PART, "contents")

    def _answered(self, result: Object) -> str:
        waiting = self._open[_text(result["name"])]
        identity = _text(result.get("id"))
        if identity:
            if identity in waiting:
                waiting.remove(identity)
            return identity
        if not waiting:
            raise Refusal("invalid_request", "A function response has no function call before it.", "contents")
        return waiting.popleft()


def _result(response: Any) -> tuple[str, bool]:
    """The text of a function's response, and whether it failed: the API names ``output`` and ``error``."""
    match response:
        case {"output": str(text), **rest} if not rest:
            return text, False
        case {"error": str(text), **rest} if not rest:
            return text, True
    return _encode(response).decode(), False


def _file(part: Object) -> Image | File:
    data = _get(part, "inlineData")
    if data is None:
        named = _get(part, "fileData")
        if named is None:
            raise Refusal("unsupported_feature", _PART, "contents")
        media_type, url = _text(_get(named, "mimeType")), _text(_get(named, "fileUri"))
        if not url.startswith("https://") or url.startswith(_KEPT):
            raise Refusal("unsupported_feature", _FILE, "contents")
        return Image("", "", url) if media_type.startswith("image/") else File(media_type, url=url)
    # Google takes both alphabets of base64; others take one.
    media_type, text = _text(_get(data, "mimeType")), _text(data["data"]).replace("-", "+").replace("_", "/")
    if media_type.startswith("image/"):
        return Image(media_type, text)
    return File(media_type, text, name=_text(_get(data, "displayName")))


def _parts(content: Any) -> Iterator[Object]:
    if isinstance(content, str):
        yield {"text": content}
        return
    yield from _list(content.get("parts"))


def _tools(request: Object) -> tuple[Use | None, str, tuple[Tool, ...]]:
    tools: list[Tool] = []
    for group in _list(_get(request, "tools")):
        if any(value is not None for key, value in group.items() if key.replace("_", "").lower() != _DECLARATIONS):
            raise Refusal("unsupported_feature", _TOOLS, "tools")
        for declared in _list(_get(group, "functionDeclarations")):
            schema = _get(declared, "parametersJsonSchema")
            if schema is None and (parameters := declared.get("parameters")) is not None:
                schema = json_schema(parameters)
            encoded = b"" if schema is None else _encode(schema)
            tools.append(Tool(_text(declared["name"]), _text(declared.get("description")), encoded))
    calling = _get(_get(request, "toolConfig") or {}, "functionCallingConfig") or {}
    mode = calling.get("mode")
    if mode in {None, "MODE_UNSPECIFIED"}:
        return None, "", tuple(tools)
    if mode not in _USES:
        raise Refusal("invalid_request", "The function calling mode is AUTO, ANY, VALIDATED or NONE.", "toolConfig")
    allowed = _list(_get(calling, "allowedFunctionNames"))
    if allowed:
        tools = [tool for tool in tools if tool.name in allowed]
        if not tools:
            raise Refusal("invalid_request", "No function that is allowed is declared: declare one.", "toolConfig")
    return _USES[mode], allowed[0] if len(allowed) == 1 and mode == "ANY" else "", tuple(tools)


_DECLARATIONS: Final = "functiondeclarations"


def _schema_of(config: Object) -> bytes:
    plain = _get(config, "responseJsonSchema")
    if plain is not None:
        return _encode(plain)
    google = _get(config, "responseSchema")
    return b"" if google is None else _encode(json_schema(google))


def json_schema(schema: Any) -> Any:
    """Google's schema object as JSON Schema: types in lower case, ``nullable`` as an additional type."""
    if not isinstance(schema, dict):
        return schema
    found: dict[str, Any] = {}
    for name, value in schema.items():
        match name:
            case "type" if isinstance(value, str):
                found["type"] = value.lower()
            case "properties":
                found[name] = {key: json_schema(item) for key, item in value.items()}
            case "items":
                found[name] = json_schema(value)
            case "anyOf" | "any_of":
                found["anyOf"] = [json_schema(item) for item in value]
            case "nullable" | "propertyOrdering" | "property_ordering" | "example":
                pass
            case _:
                camel = name.split("_")
                found[camel[0] + "".join(word.capitalize() for word in camel[1:])] = value
    if schema.get("nullable") is True and isinstance(found.get("type"), str):
        found["type"] = [found["type"], "null"]
    return found
