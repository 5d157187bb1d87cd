"""Weighs the input of Gemini's requests (``google.genai.types``), in either spelling."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from providers.document.look import Look, objects_of
from providers.document.members import ABSENT, Members, given, is_object, is_string, read_nested, word
from providers.document.objects import Objects, Part
from providers.measures import Weight
from providers.steps import Steps
from providers.weight.tally import Tally

_DEEPEST: Final = 3
_RESULTS: Final = ("functionResponse", "function_response")
_CALLS: Final = ("functionCall", "function_call", *_RESULTS)
_BLOBS: Final = ("inlineData", "inline_data", "fileData", "file_data")
_FURTHER: Final = frozenset(
    (*_CALLS, *_BLOBS, "thought", "thoughtSignature", "thought_signature", "executableCode", "codeExecutionResult")
)
"""What a part has beside its text."""


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


class _Level(msgspec.Struct):
    level: msgspec.Raw = ABSENT


_CALL: Final = Look(_Call)
_BLOB: Final = Look(_Blob)
_SNAKE_BLOB: Final = Look(_SnakeBlob)
_LEVEL: Final = Look(_Level)


def weigh(members: Members, body: int) -> Steps[Weight]:
    """The weight of a request to ``generateContent``, ``countTokens`` or the embeddings."""
    tally = Tally()
    yield from _request(tally, members)
    nested = read_nested(members, "generateContentRequest", "generate_content_request")
    if nested is not None:
        yield from _request(tally, nested)
    for batch in _one_or_more(members.objects, members.raws.get("requests")):
        for request in batch:
            yield from _contents(tally, members.objects, request.get("content", ABSENT))
        yield
    return (yield from tally.weight(body))


def _one_or_more(objects: Objects, raw: msgspec.Raw | None) -> Iterable[list[Part]]:
    """The objects of a list; a single object is read as a list of one."""
    if raw is None or not is_object(raw):
        return objects_of(objects, raw)
    one = objects.decoded(raw)
    return () if one is None else (one,)


def _request(tally: Tally, members: Members) -> Steps[None]:
    objects = members.objects
    config = read_nested(members, "generationConfig", "generation_config")
    resolution = None if config is None else config.raw("mediaResolution", "media_resolution")
    system = members.raw("systemInstruction", "system_instruction")
    if system is not None:
        tally.instructed = True
        yield from _contents(tally, objects, system)
    for name in ("contents", "content"):
        raw = members.raw(name)
        if raw is not None:
            yield from _contents(tally, objects, raw, resolution)
    for batch in _one_or_more(objects, members.raws.get("tools")):
        for tool in batch:
            yield from tally.define(tool.get("functionDeclarations"), objects)
            yield from tally.define(tool.get("function_declarations"), objects)
        yield
    if config is not None:
        tally.schema(config.raw("responseSchema", "response_schema", "responseJsonSchema", "response_json_schema"))


def _contents(tally: Tally, objects: Objects, raw: msgspec.Raw, resolution: msgspec.Raw | None = None) -> Steps[None]:
    if is_string(raw):
        tally.turns += 1
        tally.text(raw)
        return
    for batch in _one_or_more(objects, raw):
        for content in batch:
            tally.turns += 1
            asks = word(content.get("role", ABSENT)) != b'"model"'
            for parts in _one_or_more(objects, content.get("parts")):
                if asks and not any(map(_has_result, parts)):
                    tally.ask()
                asks = False  # the first parts decide
                yield from _parts(tally, objects, parts, resolution, 0)
                yield
            if asks:
                tally.ask()
        yield


def _parts(
    tally: Tally, objects: Objects, parts: list[Part], resolution: msgspec.Raw | None, depth: int
) -> Steps[None]:
    for part in parts:
        if part.keys().isdisjoint(_FURTHER):
            tally.text(part.get("text", ABSENT))
        elif _is_usual(part):
            yield from _part(tally, objects, part, resolution, depth)


def _is_usual(part: Part) -> bool:
    """Whether its calls and results are objects, as those of every part that the API takes."""
    return all(is_object(part[name]) or not given(part[name]) for name in part.keys() & _CALLS)


def _has_result(part: Part) -> bool:
    return (
        not part.keys().isdisjoint(_RESULTS)
        and _is_usual(part)
        and any(given(part[name]) for name in part.keys() & _RESULTS)
    )


def _part(tally: Tally, objects: Objects, part: Part, resolution: msgspec.Raw | None, depth: int) -> Steps[None]:
    if word(part.get("thought", ABSENT)) == b"true":
        tally.thought(part.get("text", ABSENT))
    else:
        tally.text(part.get("text", ABSENT))
    tally.signed += len(part.get("thoughtSignature", ABSENT)) + len(part.get("thought_signature", ABSENT))
    for name in _BLOBS:
        if name in part:
            _blob(tally, part[name], _closer(part) or resolution)
    calls = [call for name in _CALLS if name in part and (call := _CALL.single(part[name])) is not None]
    for call in calls:
        tally.calls += 1
        tally.data(call.args)
        tally.data(call.response)
    tally.data(part.get("executableCode", ABSENT))
    tally.data(part.get("codeExecutionResult", ABSENT))
    for call in calls if depth < _DEEPEST else ():
        for parts in _one_or_more(objects, call.parts):  # of a function's response
            yield from _parts(tally, objects, parts, resolution, depth + 1)
            yield


def _closer(part: Part) -> msgspec.Raw | None:
    for name in ("mediaResolution", "media_resolution"):
        if name in part:
            raw = part[name]
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
