"""Weighs the input of Gemini's requests (``google.genai.types``), in either spelling."""

from __future__ import annotations

from typing import Final

import msgspec

from providers.document.look import Look
from providers.document.members import ABSENT, Members, is_string, read_nested, word
from providers.measures import Weight
from providers.steps import Steps
from providers.weight.tally import Tally

_DEEPEST: Final = 3


class _Blob(msgspec.Struct, rename="camel"):
    mime_type: msgspec.Raw = ABSENT
    data: msgspec.Raw = ABSENT
    file_uri: msgspec.Raw = ABSENT


class _SnakeBlob(msgspec.Struct):
    mime_type: msgspec.Raw = ABSENT
    data: msgspec.Raw = ABSENT
    file_uri: msgspec.Raw = ABSENT


class _Call(msgspec.Struct):
    args: msgspec.Raw = ABSENT
    response: msgspec.Raw = ABSENT
    parts: msgspec.Raw = ABSENT


class _Part(msgspec.Struct):
    thought: msgspec.Raw = ABSENT
    text: msgspec.Raw = ABSENT
    thoughtSignature: msgspec.Raw = ABSENT  # noqa: N815 - the wire's spelling
    thought_signature: msgspec.Raw = ABSENT
    inlineData: msgspec.Raw = ABSENT  # noqa: N815
    inline_data: msgspec.Raw = ABSENT
    fileData: msgspec.Raw = ABSENT  # noqa: N815
    file_data: msgspec.Raw = ABSENT
    functionCall: _Call | None = None  # noqa: N815
    function_call: _Call | None = None
    functionResponse: _Call | None = None  # noqa: N815
    function_response: _Call | None = None
    mediaResolution: msgspec.Raw = ABSENT  # noqa: N815
    media_resolution: msgspec.Raw = ABSENT
    executableCode: msgspec.Raw = ABSENT  # noqa: N815
    codeExecutionResult: msgspec.Raw = ABSENT  # noqa: N815


class _Content(msgspec.Struct):
    role: msgspec.Raw = ABSENT
    parts: msgspec.Raw = ABSENT


class _Tool(msgspec.Struct):
    functionDeclarations: msgspec.Raw = ABSENT  # noqa: N815
    function_declarations: msgspec.Raw = ABSENT


class _Request(msgspec.Struct):
    content: msgspec.Raw = ABSENT


class _Level(msgspec.Struct):
    level: msgspec.Raw = ABSENT


_CONTENTS: Final = Look(_Content)
_PARTS: Final = Look(_Part)
_BLOB: Final = Look(_Blob)
_SNAKE_BLOB: Final = Look(_SnakeBlob)
_TOOLS: Final = Look(_Tool)
_REQUESTS: Final = Look(_Request)
_LEVEL: Final = Look(_Level)


def weigh(members: Members, body: int) -> Steps[Weight]:
    """The weight of a request to ``generateContent``, ``countTokens`` or the embeddings."""
    tally = Tally()
    yield from _request(tally, members)
    nested = read_nested(members, "generateContentRequest", "generate_content_request")
    if nested is not None:
        yield from _request(tally, nested)
    for batch in _REQUESTS.one_or_more(members.raws.get("requests")):
        for request in batch:
            yield from _contents(tally, request.content)
        yield
    return (yield from tally.weight(body))


def _request(tally: Tally, members: Members) -> Steps[None]:
    config = read_nested(members, "generationConfig", "generation_config")
    resolution = None if config is None else config.raw("mediaResolution", "media_resolution")
    system = members.raw("systemInstruction", "system_instruction")
    if system is not None:
        tally.instructed = True
        yield from _contents(tally, system)
    for name in ("contents", "content"):
        raw = members.raw(name)
        if raw is not None:
            yield from _contents(tally, raw, resolution)
    for batch in _TOOLS.one_or_more(members.raws.get("tools")):
        for tool in batch:
            yield from tally.define(tool.functionDeclarations)
            yield from tally.define(tool.function_declarations)
        yield
    if config is not None:
        tally.schema(config.raw("responseSchema", "response_schema", "responseJsonSchema", "response_json_schema"))


def _contents(tally: Tally, raw: msgspec.Raw, resolution: msgspec.Raw | None = None) -> Steps[None]:
    if is_string(raw):
        tally.turns += 1
        tally.text(raw)
        return
    for batch in _CONTENTS.one_or_more(raw):  # a single object is read as a list of one
        for content in batch:
            tally.turns += 1
            asks = word(content.role) != b'"model"'
            for parts in _PARTS.one_or_more(content.parts):
                if asks and not any(part.functionResponse or part.function_response for part in parts):
                    tally.ask()
                asks = False  # the first parts decide
                for part in parts:
                    if _part(tally, part, resolution):
                        yield from _nested(tally, part, resolution, 1)
                yield
            if asks:
                tally.ask()
        yield


def _nested(tally: Tally, part: _Part, resolution: msgspec.Raw | None, depth: int) -> Steps[None]:
    """The parts of a function's response."""
    for call in (part.functionCall, part.function_call, part.functionResponse, part.function_response):
        if call is not None and len(call.parts) and depth <= _DEEPEST:
            for parts in _PARTS.one_or_more(call.parts):
                for inner in parts:
                    if _part(tally, inner, resolution):
                        yield from _nested(tally, inner, resolution, depth + 1)
                yield


def _part(tally: Tally, part: _Part, resolution: msgspec.Raw | None) -> bool:
    """Returns whether it contains further parts."""
    if len(part.thought) and word(part.thought) == b"true":
        tally.thought(part.text)
    else:
        tally.text(part.text)
    tally.signed += len(part.thoughtSignature) + len(part.thought_signature)
    for blob in (part.inlineData, part.inline_data, part.fileData, part.file_data):
        if len(blob):
            _blob(tally, blob, _closer(part) or resolution)
    nested = False
    for call in (part.functionCall, part.function_call, part.functionResponse, part.function_response):
        if call is not None:
            tally.calls += 1
            tally.data(call.args)
            tally.data(call.response)
            nested = nested or len(call.parts) > 0
    tally.data(part.executableCode)
    tally.data(part.codeExecutionResult)
    return nested


def _closer(part: _Part) -> msgspec.Raw | None:
    for raw in (part.mediaResolution, part.media_resolution):
        if len(raw):
            return raw if is_string(raw) else (_LEVEL.single(raw) or _Level()).level
    return None


def _blob(tally: Tally, raw: msgspec.Raw, resolution: msgspec.Raw | None) -> None:
    camel, snake = _BLOB.single(raw), _SNAKE_BLOB.single(raw)
    if camel is None or snake is None:
        return
    mime = camel.mime_type if len(camel.mime_type) else snake.mime_type
    if len(camel.data):
        tally.media.add(camel.data, mime, detail=resolution)
    else:
        address = camel.file_uri if len(camel.file_uri) else snake.file_uri
        tally.media.add(address, mime, detail=resolution)
