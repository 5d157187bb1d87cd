"""Members that stand in the parts of a conversation and do not pass: found in the bytes, removed where they stand.

A conversation is not decoded to look for them. One search of the bytes tells whether a name is there at all, or an
escape that could hide it; only then the parts are walked.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import msgspec

from providers.bounds import STEP_ELEMENTS
from providers.dialect import Family
from providers.document.look import values
from providers.document.members import is_list, is_object, read_object
from providers.document.splice import Edits
from providers.steps import Steps

PART_METADATA: Final = "partMetadata"
BREAKPOINT: Final = "prompt_cache_breakpoint"

_WINDOW: Final = 262_144  # bytes that are searched in one step
_SEAM: Final = 32  # more than a needle has
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


def may_hold(family: Family, body: bytes) -> Steps[bool]:
    """Whether a body may have what `clean` removes."""
    needles = _NEEDLES.get(family, ())
    if not needles:
        return False
    for start in range(0, len(body), _WINDOW):
        window = body[start : start + _WINDOW + _SEAM] if len(body) > _WINDOW else body
        if any(needle in window for needle in needles):
            return True
        if b"\\u00" in window and _HIDDEN.search(window) is not None:
            return True
        if len(body) > _WINDOW:
            yield
    return False


def clean(family: Family, edits: Edits, *, extended_cache: bool) -> Steps[None]:
    """Remove from the parts of a request what names a file or a source, and lifetimes of hours of a prompt cache."""
    if family is Family.GOOGLE:
        yield from _walk(edits, _INTO[family], _without_metadata, 0)
    elif not extended_cache:
        yield from _walk(edits, _INTO[family], _without_lifetime, 0)


def _without_metadata(part: Edits) -> None:
    part.remove(PART_METADATA)
    part.remove("part_metadata")


def _without_lifetime(part: Edits) -> None:
    part.edit_object(BREAKPOINT, _usual_lifetime)


def _usual_lifetime(mark: Edits) -> None:
    if "ttl" in mark and not any(mark.holds("ttl", usual) for usual in _USUAL_TTL):
        mark.remove("ttl")


def _walk(edits: Edits, into: frozenset[str], change: Callable[[Edits], None], depth: int) -> Steps[None]:
    change(edits)
    if depth < _DEEPEST:
        for name in edits.names():
            if name in into and (value := edits.current(name)) is not None:
                edits.replace(name, (yield from _cleaned(value, into, change, depth + 1)))


def _cleaned(value: bytes, into: frozenset[str], change: Callable[[Edits], None], depth: int) -> Steps[bytes]:
    raw = msgspec.Raw(value)
    if is_object(raw):
        members = read_object(value)
        if members is None:
            return value
        inner = Edits(value, members.spans)
        yield from _walk(inner, into, change, depth)
        return inner.build()
    if not is_list(raw) or depth > _DEEPEST:
        return value
    pieces: list[bytes] = []
    changed = False
    for number, element in enumerate(values(raw), 1):
        before = after = bytes(element)
        if before[:1] in b"{[":
            after = yield from _cleaned(before, into, change, depth)
            changed = changed or after != before
        pieces.append(after)
        if number % STEP_ELEMENTS == 0:
            yield
    return b"[" + b",".join(pieces) + b"]" if changed else value
