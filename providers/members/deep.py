"""Removes members from the parts of a conversation, such as file names, sources and cache markers.

`clean` is for every request, `uncache` for a request of which nothing may be cached. A request without such a member is
not walked again: `providers.members.parts` tells whether it has seen one. Where it does not look, one search of the
bytes shows whether a name occurs at all, or an escape that could hide it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from functools import partial
from typing import Final

import msgspec

from providers.bounds import STEP_ELEMENTS
from providers.dialect import Family
from providers.document.look import values
from providers.document.members import Members, is_list, is_object, is_string, read_object
from providers.document.splice import Edits
from providers.steps import Steps

PART_METADATA: Final = "partMetadata"
BREAKPOINT: Final = "prompt_cache_breakpoint"

_WINDOW: Final = 262_144  # bytes that are searched in one step
_SEAM: Final = 32  # longer than every needle
_DEEPEST: Final = 8  # contents, content, parts, part, functionResponse, parts, part
_HIDDEN: Final = re.compile(rb"\\u00[4-7]")  # a letter written as an escape
_NEEDLES: Final = {Family.GOOGLE: (b"artMetadata", b"art_metadata"), Family.OPENAI: (b"prompt_cache_breakpoint",)}
INTO: Final = {
    Family.GOOGLE: frozenset((
        "contents", "content", "parts", "functionResponse", "function_response", "systemInstruction",
        "system_instruction", "requests", "generateContentRequest", "generate_content_request",
    )),
    Family.OPENAI: frozenset(("messages", "prediction", "input", "content", "output")),
    Family.ANTHROPIC: frozenset((
        "system", "messages", "content", "source", "tools", "tool", "definition", "tool_changes", "tool_references",
    )),
}  # fmt: skip
"""The members that contain parts."""

REMOVED: Final[dict[Family, frozenset[str]]] = {
    Family.OPENAI: frozenset((BREAKPOINT,)),
    Family.ANTHROPIC: frozenset(),
    Family.GOOGLE: frozenset((PART_METADATA, "part_metadata")),
}
"""Members of an object that `clean` removes or changes."""

MARKS: Final = {Family.OPENAI: (BREAKPOINT,), Family.ANTHROPIC: ("cache_control", "caching"), Family.GOOGLE: ()}
"""Members that mark the end of a cached prefix."""
_USUAL_TTL: Final = (b'"30m"', b"null")


def may_hold(family: Family, members: Members, walked: Collection[str]) -> Steps[bool]:
    """Whether a request has a member that `clean` removes at its top level, or may have one in its parts.

    ``walked``: the members that `providers.members.parts` walks.
    """
    if not members.raws.keys().isdisjoint(REMOVED[family]):
        return True
    for name in members.raws.keys() & INTO[family]:
        if name not in walked and not is_string(members.raws[name]):
            return (yield from _holds(members.body, _NEEDLES.get(family, ())))
    return False


def _holds(body: bytes, needles: tuple[bytes, ...]) -> Steps[bool]:
    """Whether one of these needles occurs in the bytes, or an escape that could hide one."""
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
    """Remove names of files and sources from the parts of a request, and cache lifetimes of hours."""
    if family is Family.GOOGLE:
        yield from _walk(edits, INTO[family], _without_metadata, 0)
    elif not extended_cache:
        yield from _walk(edits, INTO[family], _without_lifetime, 0)


def uncache(family: Family, edits: Edits) -> Steps[None]:
    """Remove every cache marker. Arguments of tools are not changed, whatever their names are."""
    marks = MARKS[family]
    if (yield from _holds(edits.text, tuple(name.encode() for name in marks))):
        yield from _walk(edits, INTO[family], partial(_without, marks), 0)


def _without(names: tuple[str, ...], part: Edits) -> None:
    for name in names:
        part.remove(name)


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
