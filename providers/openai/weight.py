"""Weighs the input of OpenAI's requests: chat, responses, completions and embeddings.

The fields are those of the SDK's types (``openai.types.chat``, ``openai.types.responses``), and parts of
compatible hosts (``video_url``, ``document_url``).
"""

from __future__ import annotations

from typing import Final

import msgspec

from providers.document.look import Look
from providers.document.members import ABSENT, Members, is_list, is_object, is_string, read_nested, word
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


class _Part(msgspec.Struct):
    type: msgspec.Raw = ABSENT
    text: msgspec.Raw = ABSENT
    refusal: msgspec.Raw = ABSENT
    image_url: msgspec.Raw = ABSENT
    detail: msgspec.Raw = ABSENT
    input_audio: msgspec.Raw = ABSENT
    file: msgspec.Raw = ABSENT
    file_data: msgspec.Raw = ABSENT
    file_url: msgspec.Raw = ABSENT
    video_url: msgspec.Raw = ABSENT
    document_url: msgspec.Raw = ABSENT


class _Function(msgspec.Struct):
    arguments: msgspec.Raw = ABSENT
    input: msgspec.Raw = ABSENT


class _Call(msgspec.Struct):
    function: _Function | None = None
    custom: _Function | None = None


class _Message(msgspec.Struct):
    role: msgspec.Raw = ABSENT
    content: msgspec.Raw = ABSENT
    tool_calls: msgspec.Raw = ABSENT
    function_call: msgspec.Raw = ABSENT


class _Item(msgspec.Struct):
    type: msgspec.Raw = ABSENT
    role: msgspec.Raw = ABSENT
    content: msgspec.Raw = ABSENT
    output: msgspec.Raw = ABSENT
    arguments: msgspec.Raw = ABSENT
    input: msgspec.Raw = ABSENT
    code: msgspec.Raw = ABSENT
    action: msgspec.Raw = ABSENT
    summary: msgspec.Raw = ABSENT
    encrypted_content: msgspec.Raw = ABSENT
    result: msgspec.Raw = ABSENT  # a generated image
    tools: msgspec.Raw = ABSENT


class _Format(msgspec.Struct):
    schema: msgspec.Raw = ABSENT


class _ResponseFormat(msgspec.Struct):
    json_schema: _Format | None = None


class _Text(msgspec.Struct):
    format: _Format | None = None


_COMPACTED_BYTES: Final = 10  # for one token, from the recordings
_NO_EFFORT: Final = frozenset(("none", "minimal"))
_PRO_TOKENS: Final = 1_500  # that the provider adds in the mode "pro", from the recordings
_MESSAGES: Final = Look(_Message)
_ITEMS: Final = Look(_Item)
_PARTS: Final = Look(_Part)
_CALLS: Final = Look(_Call)
_FUNCTION: Final = Look(_Function)
_ADDRESS: Final = Look(_Address)
_RESPONSE_FORMAT: Final = Look(_ResponseFormat)
_TEXT: Final = Look(_Text)


def weigh_chat(members: Members, body: int) -> Steps[Weight]:
    """The weight of a request to ``/v1/chat/completions``."""
    tally = Tally()
    for batch in _MESSAGES.batches(members.raws.get("messages")):
        for message in batch:
            tally.turns += 1
            if is_string(message.content):
                tally.text(message.content)
            else:
                for parts in _PARTS.batches(message.content):
                    for part in parts:
                        _part(tally, part)
                    yield
            if len(message.tool_calls):
                for calls in _CALLS.batches(message.tool_calls):
                    for call in calls:
                        _call(tally, call.function or call.custom)
                    yield
            if len(message.function_call):
                _call(tally, _FUNCTION.single(message.function_call))
        yield
    yield from tally.define(members.raws.get("tools"))
    yield from tally.define(members.raws.get("functions"))
    tally.thinks = members.text("reasoning_effort") not in _NO_EFFORT
    stated = members.raw("response_format")
    if stated is not None and (form := _RESPONSE_FORMAT.single(stated)) is not None and form.json_schema is not None:
        tally.schema(form.json_schema.schema)
    return (yield from tally.weight(body))


def weigh_responses(members: Members, body: int) -> Steps[Weight]:
    """The weight of a request to ``/v1/responses``, ``/compact`` or ``/input_tokens``."""
    tally = Tally()
    instructions = members.raw("instructions")
    if instructions is not None:
        tally.instructed = True
        tally.turns += 1
        yield from _content(tally, instructions)
    given = members.raw("input")
    if given is not None and is_string(given):
        tally.turns += 1
        tally.text(given)
    for batch in _ITEMS.batches(given):
        for item in batch:
            yield from _item(tally, item)
        yield
    yield from tally.define(members.raws.get("tools"))
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


def _content(tally: Tally, raw: msgspec.Raw) -> Steps[None]:
    if is_string(raw):
        tally.text(raw)
    elif is_list(raw):
        for batch in _PARTS.batches(raw):
            for part in batch:
                _part(tally, part)
            yield


def _call(tally: Tally, function: _Function | None) -> None:
    tally.calls += 1
    if function is not None:
        tally.data(function.arguments)
        tally.text(function.input)


def _item(tally: Tally, item: _Item) -> Steps[None]:
    if len(item.role):
        tally.turns += 1
        if word(item.role) == b'"user"':
            tally.ask()
    if len(item.content):
        yield from _content(tally, item.content)
    if len(item.output):
        tally.calls += 1
        if is_object(item.output):
            part = _PARTS.single(item.output)
            if part is not None and len(part.image_url):
                _part(tally, part)
            else:
                tally.data(item.output)
        else:
            yield from _content(tally, item.output)
    if len(item.arguments) or len(item.input) or len(item.code):
        tally.calls += 1
        tally.data(item.arguments)
        tally.text(item.input)
        tally.text(item.code)
    if len(item.encrypted_content):
        if word(item.type) == b'"compaction"':  # replaces the turns before it, so no later turn drops it
            tally.tokens += len(item.encrypted_content) // _COMPACTED_BYTES
        else:
            tally.signed += len(item.encrypted_content)
    if len(item.result):
        tally.media.add(item.result, kind=Kind.IMAGE)
    if len(item.tools):
        yield from tally.define(item.tools)


def _part(tally: Tally, part: _Part) -> None:
    tally.text(part.text)
    tally.text(part.refusal)
    media = tally.media
    if len(part.image_url):
        address = _address(part.image_url)
        media.add(address.url, kind=Kind.IMAGE, detail=address.detail if len(address.detail) else part.detail)
    if len(part.input_audio):
        address = _address(part.input_audio)
        media.add(address.data, kind=Kind.AUDIO)
    if len(part.file):
        address = _address(part.file)
        if len(address.file_data):
            media.add(address.file_data, kind=Kind.PDF)
        else:
            media.remote(Kind.PDF)
    if len(part.file_data):
        media.add(part.file_data, kind=Kind.PDF)
    elif len(part.file_url):
        media.remote(Kind.PDF)
    if len(part.video_url):
        media.add(_address(part.video_url).url, kind=Kind.VIDEO)
    if len(part.document_url):
        media.add(_address(part.document_url).url, kind=Kind.PDF)


def _address(raw: msgspec.Raw) -> _Address:
    """A medium's address, which is an object in some APIs and a string in others."""
    return _Address(url=raw) if is_string(raw) else _ADDRESS.single(raw) or _Address()
