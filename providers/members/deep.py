"""Members that stand in the parts of a conversation and do not pass: found in the bytes, removed where they stand.

A conversation is not decoded to look for them. One search of the bytes tells whether a name is there at all, or an
escape that could hide it; only then the parts are walked.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import msgspec

from providers.dialect import Family
from providers.document.look import Look
from providers.document.members import is_list, is_object, read_object
from providers.document.splice import Edits

PART_METADATA: Final = "partMetadata"
BREAKPOINT: Final = "prompt_cache_breakpoint"

_RAW: Final = Look(msgspec.Raw)
_DEEPEST: Final = 8  # contents, content, parts, part, functionResponse, parts, part
_HIDDEN: Final = re.compile(rb"\\u00[4-7]")  # a letter that is written as an escape
_NEEDLES: Final = {Family.GOOGLE: (b"artMetadata", b"art_metadata"), Family.OPENAI: (b"prompt_cache_breakpoint",)}
_INTO: Final = {
    Family.GOOGLE: frozenset((
        "contents", "content", "parts", "functionResponse", "function_response", "systemInstruction",
        "system_instruction", "requests", "generateContentRequest", "generate_content_request",
    )),
    Family.OPENAI: frozenset(("messages", "input", "content", "output")),
}  # fmt: skip
_USUAL_TTL: Final = (b'"30m"', b"null")


def may_hold(family: Family, body: bytes) -> bool:
    """Whether a body may have what `clean` removes."""
    needles = _NEEDLES.get(family, ())
    if any(needle in body for needle in needles):
        return True
    return bool(needles) and b"\\u00" in body and _HIDDEN.search(body) is not None


def clean(family: Family, edits: Edits, *, extended_cache: bool) -> None:
    """Remove from the parts of a request what names a file or a source, and lifetimes of hours of a prompt cache."""
    if family is Family.GOOGLE:
        _walk(edits, _INTO[family], _without_metadata, 0)
    elif not extended_cache:
        _walk(edits, _INTO[family], _without_lifetime, 0)


def _without_metadata(part: Edits) -> None:
    part.remove(PART_METADATA)
    part.remove("part_metadata")


def _without_lifetime(part: Edits) -> None:
    part.edit_object(BREAKPOINT, _usual_lifetime)


def _usual_lifetime(mark: Edits) -> None:
    if mark.value("ttl") not in (None, *_USUAL_TTL):
        mark.remove("ttl")


def _walk(edits: Edits, into: frozenset[str], change: Callable[[Edits], None], depth: int) -> None:
    change(edits)
    if depth < _DEEPEST:
        for name in edits.names():
            if name in into:
                edits.rewrite(name, lambda value: _cleaned(value, into, change, depth + 1))


def _cleaned(value: bytes, into: frozenset[str], change: Callable[[Edits], None], depth: int) -> bytes:
    raw = msgspec.Raw(value)
    if is_object(raw):
        members = read_object(value)
        if members is None:
            return value
        inner = Edits(value, members.spans)
        _walk(inner, into, change, depth)
        return inner.build()
    if not is_list(raw) or depth > _DEEPEST:
        return value
    before = [bytes(element) for element in _RAW.elements(raw)]
    after = [_cleaned(element, into, change, depth) if element[:1] in b"{[" else element for element in before]
    return value if after == before else b"[" + b",".join(after) + b"]"
