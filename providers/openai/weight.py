"""Weighs the input of OpenAI's requests: chat, responses, completions and embeddings.

The fields are those of the SDK's types (``openai.types.chat``, ``openai.types.responses``), and parts of
compatible hosts (``video_url``, ``document_url``).
"""

from __future__ import annotations

from typing import Final

import msgspec

from providers.document.look import Look, objects_of
from providers.document.members import ABSENT, Members, is_list, is_object, is_string, read_nested, word
from providers.document.objects import Objects, Part
from providers.measures import Kind, Weight
from providers.steps import Steps
from providers.weight.tally import Tally


class _Address(msgspec.Struct):
    url: msgspec.Raw = ABSENT
    detail: msgspec.Raw = ABSENT
    data: msgspec.Raw = ABSENT
    format: msgspec.Raw = ABSENT
    file_data: msgspec.Raw = ABSENT
    file_url: msgspec.Raw = ABSENT


class _Function(msgspec.Struct):
    arguments: msgspec.Raw = ABSENT
    input: msgspec.Raw = ABSENT


class _Call(msgspec.Struct):
    function: _Function | None = None
    custom: _Function | None = None


class _Format(msgspec.Struct):
    schema: msgspec.Raw = ABSENT


class _ResponseFormat(msgspec.Struct):
    json_schema: _Format | None = None


class _Text(msgspec.Struct):
    format: _Format | None = None


_COMPACTED_BYTES: Final = 10  # for one token, from the recordings
_NO_EFFORT: Final = frozenset(("none", "minimal"))
_PRO_TOKENS: Final = 1_500  # that the provider adds in the mode "pro", from the recordings
_MEDIA: Final = frozenset(
    ("image_url", "input_audio", "file", "file_data", "file_url", "video_url", "document_url")
)  # of a part
_OF_CALLS: Final = frozenset(("output", "arguments", "input", "code"))  # of an item
_CALLS: Final = Look(_Call)
_FUNCTION: Final = Look(_Function)
_ADDRESS: Final = Look(_Address)
_RESPONSE_FORMAT: Final = Look(_ResponseFormat)
_TEXT: Final = Look(_Text)


def weigh_chat(members: Members, body: int) -> Steps[Weight]:
    """The weight of a request to ``/v1/chat/completions``."""
    tally, objects = Tally(), members.objects
    for batch in objects_of(objects, members.raws.get("messages")):
        for message in batch:
            tally.turns += 1
            content = message.get("content", ABSENT)
            if is_string(content):
                tally.text(content)
            else:
                for parts in objects_of(objects, content):
                    for part in parts:
                        _part(tally, part)
                    yield
            if "tool_calls" in message:
                for calls in _CALLS.batches(message["tool_calls"]):
                    for call in calls:
                        _call(tally, call.function or call.custom)
                    yield
            if "function_call" in message:
                _call(tally, _FUNCTION.single(message["function_call"]))
        yield
    yield from tally.define(members.raws.get("tools"), objects)
    yield from tally.define(members.raws.get("functions"), objects)
    tally.thinks = members.text("reasoning_effort") not in _NO_EFFORT
    stated = members.raw("response_format")
    if stated is not None and (form := _RESPONSE_FORMAT.single(stated)) is not None and form.json_schema is not None:
        tally.schema(form.json_schema.schema)
    return (yield from tally.weight(body))


def weigh_responses(members: Members, body: int) -> Steps[Weight]:
    """The weight of a request to ``/v1/responses``, ``/compact`` or ``/input_tokens``."""
    tally, objects = Tally(), members.objects
    instructions = members.raw("instructions")
    if instructions is not None:
        tally.instructed = True
        tally.turns += 1
        yield from _content(tally, instructions, objects)
    given = members.raw("input")
    if given is not None and is_string(given):
        tally.turns += 1
        tally.text(given)
    for batch in objects_of(objects, given):
        for item in batch:
            yield from _item(tally, item, objects)
        yield
    yield from tally.define(members.raws.get("tools"), objects)
    reasoning = read_nested(members, "reasoning")
    tally.thinks = reasoning is None or reasoning.text("effort") not in _NO_EFFORT
    if reasoning is not None and reasoning.text("mode") == "pro":
        tally.tokens += _PRO_TOKENS
    stated = members.raw("text")
    if stated is not None and (text := _TEXT.single(stated)) is not None and text.format is not None:
        tally.schema(text.format.schema)
    return (yield from tally.weight(body))


def weigh_prompt(members: Members, body: int, name: str) -> Steps[Weight]:
    """The weight of legacy completions or embeddings, whose prompt is text or tokens."""
    tally = Tally()
    yield from tally.text_or_tokens(members.raw(name))
    suffix = members.raw("suffix")
    if suffix is not None:
        tally.text(suffix)
    return (yield from tally.weight(body))


def _content(tally: Tally, raw: msgspec.Raw, objects: Objects) -> Steps[None]:
    if is_string(raw):
        tally.text(raw)
    elif is_list(raw):
        for batch in objects_of(objects, raw):
            for part in batch:
                _part(tally, part)
            yield


def _call(tally: Tally, function: _Function | None) -> None:
    tally.calls += 1
    if function is not None:
        tally.data(function.arguments)
        tally.text(function.input)


def _item(tally: Tally, item: Part, objects: Objects) -> Steps[None]:
    if "role" in item:
        tally.turns += 1
        if word(item["role"]) == b'"user"':
            tally.ask()
    if "content" in item:
        yield from _content(tally, item["content"], objects)
    if not item.keys().isdisjoint(_OF_CALLS):
        yield from _item_of_call(tally, item, objects)
    if "encrypted_content" in item:
        if word(item.get("type", ABSENT)) == b'"compaction"':  # replaces the turns before it, so no later turn drops it
            tally.tokens += len(item["encrypted_content"]) // _COMPACTED_BYTES
        else:
            tally.signed += len(item["encrypted_content"])
    if "result" in item:  # a generated image
        tally.media.add(item["result"], kind=Kind.IMAGE)
    if "tools" in item:
        yield from tally.define(item["tools"], objects)


def _item_of_call(tally: Tally, item: Part, objects: Objects) -> Steps[None]:
    """A call, its result, or both."""
    if "output" in item:
        output = item["output"]
        tally.calls += 1
        if is_object(output):
            part = objects.decoded(output)
            if part is not None and "image_url" in part[0]:
                _part(tally, part[0])
            else:
                tally.data(output)
        else:
            yield from _content(tally, output, objects)
    if "arguments" in item or "input" in item or "code" in item:
        tally.calls += 1
        tally.data(item.get("arguments", ABSENT))
        tally.text(item.get("input", ABSENT))
        tally.text(item.get("code", ABSENT))


def _part(tally: Tally, part: Part) -> None:
    if "text" in part:
        tally.text(part["text"])
    if "refusal" in part:
        tally.text(part["refusal"])
    if part.keys().isdisjoint(_MEDIA):
        return
    media = tally.media
    if "image_url" in part:
        address = _address(part["image_url"])
        detail = address.detail if len(address.detail) else part.get("detail", ABSENT)
        media.add(address.url, kind=Kind.IMAGE, detail=detail)
    if "input_audio" in part:
        media.add(_address(part["input_audio"]).data, kind=Kind.AUDIO)
    if "file" in part:
        address = _address(part["file"])
        if len(address.file_data):
            media.add(address.file_data, kind=Kind.PDF)
        else:
            media.remote(Kind.PDF)
    if "file_data" in part:
        media.add(part["file_data"], kind=Kind.PDF)
    elif "file_url" in part:
        media.remote(Kind.PDF)
    if "video_url" in part:
        media.add(_address(part["video_url"]).url, kind=Kind.VIDEO)
    if "document_url" in part:
        media.add(_address(part["document_url"]).url, kind=Kind.PDF)


def _address(raw: msgspec.Raw) -> _Address:
    """A medium's address, which is an object in some APIs and a string in others."""
    return _Address(url=raw) if is_string(raw) else _ADDRESS.single(raw) or _Address()
