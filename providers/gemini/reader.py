"""Reads a generateContent request into a conversation.

Every member is taken in camelCase and in snake_case, and a lone object as a list of one, as Google
reads them. Google's schemas write types in capitals and know ``nullable``; they become JSON Schema.
Calls of tools may come without an id: then they are numbered, and results find theirs by name.

Removed, so that the engine does not get them: safety settings, ``thoughtSignature``, and earlier thoughts. What else
has no place in chat is refused.

https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from providers.conversation.conversation import (
    OMITTED,
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
from providers.dialect import Refusal

_FORM: Final = "The request does not have the form of generateContent."
_PART: Final = (
    "This kind of part can't be put into the chat form of a local engine: send text, images as inlineData, function "
    "calls and function responses."
)
_REMOTE: Final = "In local mode nothing is fetched from the network: send the data as inlineData."
_TOOLS: Final = "A local engine has only function declarations: remove the other tools."
_MORE: Final = "A local engine gives one candidate, in text: remove this member."
_USES: Final = {"AUTO": Use.AUTO, "ANY": Use.REQUIRED, "NONE": Use.NONE, "VALIDATED": Use.AUTO}
_UNSUPPORTED: Final[tuple[tuple[str, frozenset[object]], ...]] = (
    ("responseModalities", frozenset(("TEXT",))),
    ("speechConfig", frozenset()),
    ("responseLogprobs", frozenset((False,))),
    ("imageConfig", frozenset()),
)

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.decode
_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
Object = Mapping[str, Any]


def read_conversation(body: bytes, *, stream: bool) -> Conversation:
    """The conversation that a generateContent request holds.

    Raises:
        Refusal: ``invalid_request`` for another form, ``unsupported_feature`` for what has no place in chat.
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
        if (_get(config, "candidateCount") or 1) != 1:
            raise Refusal("unsupported_feature", _MORE, "candidateCount")
        turns = tuple(self._turn(content) for content in _list(_get(request, "contents")))
        system = [part for content in _list(_get(request, "systemInstruction")) for part in _parts(content)]
        use, name, tools = _tools(request)
        thinking = _get(config, "thinkingConfig") or {}
        schema = _schema_of(config)
        return Conversation(
            turns=turns,
            system="\n\n".join(_text(part["text"]) for part in system if "text" in part),
            tools=tools,
            use=use,
            tool=name,
            sampling=Sampling(
                max_tokens=_number(_get(config, "maxOutputTokens"), int),
                temperature=_number(_get(config, "temperature"), float),
                top_p=_number(_get(config, "topP"), float),
                top_k=_number(_get(config, "topK"), int),
                seed=_number(_get(config, "seed"), int),
                presence_penalty=_number(_get(config, "presencePenalty"), float),
                frequency_penalty=_number(_get(config, "frequencyPenalty"), float),
                stop=tuple(_text(item) for item in _list(_get(config, "stopSequences"))),
            ),
            json=_get(config, "responseMimeType") == "application/json",
            schema=schema,
            reasoning=bool(_get(thinking, "includeThoughts")),
            stream=stream,
        )

    def _turn(self, content: Any) -> Turn:
        if isinstance(content, str):
            return Turn(Role.USER, (Text(content),))
        role = Role.ASSISTANT if content.get("role") == "model" else Role.USER
        return Turn(role, tuple(part for item in _parts(content) if (part := self._part(item)) is not None))

    def _part(self, part: Object) -> Part | None:
        if part.get("thought") is True:
            return None
        if _get(part, "inlineData") is not None or _get(part, "fileData") is not None:
            return _file(part)
        if (call := _get(part, "functionCall")) is not None:
            name = _text(call["name"])
            self._count += 1
            identity = _text(call.get("id")) or f"call_{self._count}"
            self._open[name].append(identity)
            return ToolUse(identity, name, _encode(call.get("args") or {}))
        if (result := _get(part, "functionResponse")) is not None:
            files = [_file(each) for each in _list(result.get("parts"))]
            texts = [_encode(result.get("response") or {}).decode(), *(f.text for f in files if isinstance(f, Text))]
            images = tuple(file for file in files if isinstance(file, Image))
            return ToolResult(self._answered(result), "\n\n".join(texts), images)
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


def _file(part: Object) -> Image | Text:
    """An image, or what stands for another file."""
    data = _get(part, "inlineData")
    if data is None:
        raise Refusal("unsupported_feature", _REMOTE if _get(part, "fileData") is not None else _PART, "contents")
    media_type, text = _text(_get(data, "mimeType")), _text(data["data"])
    if not media_type.startswith("image/"):
        return Text(OMITTED)
    # Google takes both alphabets of base64; a data URL takes one.
    return Image(media_type, text.replace("-", "+").replace("_", "/"))


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
    """Google's schema object as JSON Schema: types in small letters, ``nullable`` as a type of its own."""
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
