"""Weighs the input of a Messages request (``anthropic.types``)."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from providers.document.look import Look
from providers.document.members import ABSENT, Members, is_list, is_object, is_string, word
from providers.measures import Kind, Weight
from providers.steps import Steps
from providers.weight.tally import Tally

# Tokens of the definition of Anthropic's own tools, which the request only names:
# https://platform.claude.com/docs/en/agents-and-tools/tool-use/overview#pricing, and the recordings for computer use.
_OWN_TOOLS: Final = {b"computer": 1_200, b"bash": 245, b"text_editor": 700}
_OWN_TOOL: Final = re.compile(rb'"(computer|bash|text_editor)_20\d{6}"')
_MOST_OWN: Final = 8
_RESULT: Final = re.compile(rb'"tool_result"')
_OPENING: Final = 512  # bytes of a message that contain the type of its first block
_DEEPEST: Final = 6  # as deep as `providers.anthropic.messages` looks


class _Source(msgspec.Struct):
    media_type: msgspec.Raw = ABSENT
    data: msgspec.Raw = ABSENT
    url: msgspec.Raw = ABSENT
    content: msgspec.Raw = ABSENT


class _Block(msgspec.Struct):
    type: msgspec.Raw = ABSENT
    text: msgspec.Raw = ABSENT
    thinking: msgspec.Raw = ABSENT
    signature: msgspec.Raw = ABSENT
    data: msgspec.Raw = ABSENT
    source: msgspec.Raw = ABSENT
    content: msgspec.Raw = ABSENT
    input: msgspec.Raw = ABSENT
    title: msgspec.Raw = ABSENT
    context: msgspec.Raw = ABSENT


class _Message(msgspec.Struct):
    role: msgspec.Raw = ABSENT
    content: msgspec.Raw = ABSENT


class _Format(msgspec.Struct):
    schema: msgspec.Raw = ABSENT


class _Config(msgspec.Struct):
    format: _Format | None = None


class _Tool(msgspec.Struct):
    type: msgspec.Raw = ABSENT


_TOOLS: Final = Look(_Tool)
_MESSAGES: Final = Look(_Message)
_BLOCKS: Final = Look(_Block)
_SOURCE: Final = Look(_Source)
_FORMAT: Final = Look(_Format)
_CONFIG: Final = Look(_Config)


def weigh_messages(members: Members, body: int) -> Steps[Weight]:
    """The weight of a request to ``/v1/messages`` or ``/v1/messages/count_tokens``."""
    tally = Tally()
    system = members.raw("system")
    if system is not None:
        tally.instructed = True
        yield from _content(tally, system)
    for batch in _MESSAGES.batches(members.raws.get("messages")):
        for message in batch:
            tally.turns += 1
            if word(message.role) == b'"user"' and not _RESULT.search(memoryview(message.content)[:_OPENING]):
                tally.ask()
            if is_string(message.content):
                tally.text(message.content)
            else:
                yield from _content(tally, message.content)
        yield
    yield from _tools(tally, members.raws.get("tools"))
    thinking = members.raw("thinking")
    tally.thinks = thinking is not None and b'"disabled"' not in bytes(memoryview(thinking)[:_OPENING])
    stated = members.raw("output_format")
    if stated is not None and (form := _FORMAT.single(stated)) is not None:
        tally.schema(form.schema)
    stated = members.raw("output_config")
    if stated is not None and (config := _CONFIG.single(stated)) is not None and config.format is not None:
        tally.schema(config.format.schema)
    return (yield from tally.weight(body))


def _tools(tally: Tally, raw: msgspec.Raw | None) -> Steps[None]:
    yield from tally.define(raw)
    own = 0
    for batch in _TOOLS.batches(raw):
        for tool in batch:
            # The types of Anthropic's own tools have a date.
            if len(tool.type) and (found := _OWN_TOOL.fullmatch(word(tool.type))) and own < _MOST_OWN:
                tally.tokens += _OWN_TOOLS[found[1]]
                own += 1
        yield


def _content(tally: Tally, raw: msgspec.Raw, depth: int = 0) -> Steps[None]:
    if is_string(raw):
        tally.text(raw)
    elif is_list(raw) and depth <= _DEEPEST:
        for batch in _BLOCKS.batches(raw):
            for block in batch:
                yield from _block(tally, block, depth)
            yield


def _block(tally: Tally, block: _Block, depth: int) -> Steps[None]:
    tally.text(block.text)
    tally.thought(block.thinking)
    tally.text(block.title)
    tally.text(block.context)
    tally.signed += len(block.signature) + len(block.data)
    if len(block.input):
        tally.calls += 1
        tally.data(block.input)
    if len(block.source):
        yield from _source(tally, block, depth)
    if len(block.content):
        if len(block.type) and not is_object(block.content):
            tally.calls += 1
        yield from _content(tally, block.content, depth + 1)


def _source(tally: Tally, block: _Block, depth: int) -> Steps[None]:
    source = _SOURCE.single(block.source)
    if source is None:
        return  # the source of a search result is a string
    kind = Kind.IMAGE if word(block.type) == b'"image"' else Kind.PDF
    if len(source.data):
        if word(source.media_type) == b'"text/plain"':
            tally.text(source.data)  # plain text, not base64
        else:
            tally.media.add(source.data, source.media_type, kind=kind)
    elif len(source.url):
        tally.media.remote(kind)
    elif len(source.content):
        yield from _content(tally, source.content, depth + 1)
