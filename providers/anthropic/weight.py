"""Weighs the input of a Messages request (``anthropic.types``)."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from providers.document.look import Look, objects_of
from providers.document.members import ABSENT, Members, is_list, is_object, is_string, word
from providers.document.objects import Objects, Part
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
_FURTHER: Final = frozenset(
    ("thinking", "signature", "data", "source", "content", "input", "title", "context")
)  # of a block
_DEEPEST: Final = 6  # as deep as `providers.anthropic.messages` looks


class _Source(msgspec.Struct):
    media_type: msgspec.Raw = ABSENT
    data: msgspec.Raw = ABSENT
    url: msgspec.Raw = ABSENT
    content: msgspec.Raw = ABSENT


class _Format(msgspec.Struct):
    schema: msgspec.Raw = ABSENT


class _Config(msgspec.Struct):
    format: _Format | None = None


_SOURCE: Final = Look(_Source)
_FORMAT: Final = Look(_Format)
_CONFIG: Final = Look(_Config)


def weigh_messages(members: Members, body: int) -> Steps[Weight]:
    """The weight of a request to ``/v1/messages`` or ``/v1/messages/count_tokens``."""
    tally, objects = Tally(), members.objects
    system = members.raw("system")
    if system is not None:
        tally.instructed = True
        yield from _content(tally, system, objects)
    for batch in objects_of(objects, members.raws.get("messages")):
        for message in batch:
            tally.turns += 1
            content = message.get("content", ABSENT)
            if word(message.get("role", ABSENT)) == b'"user"' and not _RESULT.search(memoryview(content)[:_OPENING]):
                tally.ask()
            if is_string(content):
                tally.text(content)
            else:
                yield from _content(tally, content, objects)
        yield
    yield from _tools(tally, members.raws.get("tools"), objects)
    thinking = members.raw("thinking")
    tally.thinks = thinking is not None and b'"disabled"' not in bytes(memoryview(thinking)[:_OPENING])
    stated = members.raw("output_format")
    if stated is not None and (form := _FORMAT.single(stated)) is not None:
        tally.schema(form.schema)
    stated = members.raw("output_config")
    if stated is not None and (config := _CONFIG.single(stated)) is not None and config.format is not None:
        tally.schema(config.format.schema)
    return (yield from tally.weight(body))


def _tools(tally: Tally, raw: msgspec.Raw | None, objects: Objects) -> Steps[None]:
    yield from tally.define(raw, objects)
    own = 0
    for batch in objects_of(objects, raw):
        for tool in batch:
            # The types of Anthropic's own tools have a date.
            if "type" in tool and own < _MOST_OWN and (found := _OWN_TOOL.fullmatch(word(tool["type"]))):
                tally.tokens += _OWN_TOOLS[found[1]]
                own += 1
        yield


def _content(tally: Tally, raw: msgspec.Raw, objects: Objects, depth: int = 0) -> Steps[None]:
    if is_string(raw):
        tally.text(raw)
    elif is_list(raw) and depth <= _DEEPEST:
        for batch in objects_of(objects, raw):
            for block in batch:
                if "text" in block:
                    tally.text(block["text"])
                if not block.keys().isdisjoint(_FURTHER):
                    yield from _block(tally, block, objects, depth)
            yield


def _block(tally: Tally, block: Part, objects: Objects, depth: int) -> Steps[None]:
    """What a block has beside its text."""
    tally.thought(block.get("thinking", ABSENT))
    tally.text(block.get("title", ABSENT))
    tally.text(block.get("context", ABSENT))
    tally.signed += len(block.get("signature", ABSENT)) + len(block.get("data", ABSENT))
    if "input" in block:
        tally.calls += 1
        tally.data(block["input"])
    if "source" in block:
        yield from _source(tally, block, objects, depth)
    if "content" in block:
        content = block["content"]
        if "type" in block and not is_object(content):
            tally.calls += 1
        yield from _content(tally, content, objects, depth + 1)


def _source(tally: Tally, block: Part, objects: Objects, depth: int) -> Steps[None]:
    source = _SOURCE.single(block["source"])
    if source is None:
        return  # the source of a search result is a string
    kind = Kind.IMAGE if word(block.get("type", ABSENT)) == b'"image"' else Kind.PDF
    if len(source.data):
        if word(source.media_type) == b'"text/plain"':
            tally.text(source.data)  # plain text, not base64
        else:
            tally.media.add(source.data, source.media_type, kind=kind)
    elif len(source.url):
        tally.media.remote(kind)
    elif len(source.content):
        yield from _content(tally, source.content, objects, depth + 1)
