"""Walks the objects of a conversation, of its parts and of its tools, and calls a judge for each.

Rules that everything here obeys:

1. No object is skipped. A walked member is an object or a list of objects, as the API defines it. A null, a string or a
   number in such a list is refused, since a parser that skips it and one that stops at it read different requests. A
   single object is read as a list of one: Google's parser does so, and others refuse it.
2. Names are known in the spelling of the API. A name that differs from a known one only by case or kind of letters is
   refused; other names are not checked here, but by `providers.members.deep` and the API itself.
3. Content is not walked: arguments and results of calls, schemas, results of searches.
4. An object deeper than `_DEEPEST` is refused: no API has parts there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from providers.bounds import STEP_ELEMENTS
from providers.dialect import Family, Refusal
from providers.document.census import TOO_DEEP
from providers.document.look import Misfit, all_objects
from providers.document.members import Members, given
from providers.document.objects import Part
from providers.document.strings import folded, snake
from providers.members import anthropic, deep, google, openai
from providers.members.register import REGISTER, SPELLED, tables_of
from providers.steps import Steps

Judge: TypeAlias = "Callable[[str, str, Part], None]"
"""Called with the request's member, the innermost member, and the object in it; raises `Refusal`."""

SHAPE: Final = (
    "A part of the request does not have the API's form: messages, their parts, tools and the like must be objects, "
    "or lists that hold only objects."
)

_DEEPEST: Final = 12
_LONGEST: Final = 64  # longer than any name in an API
_QUOTE: Final = ord('"')


def _both(*names: str) -> frozenset[str]:
    return frozenset((*names, *map(snake, names)))


_INTO: Final = {
    Family.OPENAI: deep.INTO[Family.OPENAI].union((
        "file", "image_url", "input_audio", "audio_url", "video_url", "document_url", deep.BREAKPOINT, "tools",
        "container", "environment", "input_image_mask",
    )),
    Family.ANTHROPIC: deep.INTO[Family.ANTHROPIC].union(deep.MARKS[Family.ANTHROPIC]),
    Family.GOOGLE: deep.INTO[Family.GOOGLE] | _both("fileData", "inlineData"),
}  # fmt: skip
"""Members of an object that are walked: those in which something is removed or refused."""

_TEXTS: Final = {
    Family.OPENAI: frozenset((
        "input", "instructions", "content", "output", "image_url", "audio_url", "video_url", "document_url",
        "container", "environment", "tool_choice",
    )),
    Family.ANTHROPIC: frozenset(("system", "tool_choice", "content", "source", "fallbacks")),
    Family.GOOGLE: frozenset[str](),
}  # fmt: skip
"""Walked members that may be a string instead."""

_NESTED: Final = {
    Family.OPENAI: openai.NESTED,
    Family.ANTHROPIC: anthropic.NESTED,
    Family.GOOGLE: google.NESTED,
}


def _known(family: Family) -> frozenset[str]:
    names = set(_NESTED[family])
    for operation, table in REGISTER.items():
        if operation.family is family:
            names.update(*tables_of(table))
    return _both(*names) if family is Family.GOOGLE else frozenset(names)


_KNOWN: Final = {family: _known(family) for family in Family}
_FOLDED: Final = {family: frozenset(map(folded, names)) for family, names in _KNOWN.items()}


def walk(family: Family, members: Members, roots: tuple[str, ...], judge: Judge) -> Steps[bool]:
    """Walk every object in some members of a request.

    Args:
        family: The API of the request.
        members: The request's members, or those of an object in it.
        roots: The members to walk.
        judge: Called for each object.

    Returns:
        An object has a member that `providers.members.deep` removes.

    Raises:
        Refusal: ``invalid_request``, or what ``judge`` raises.
    """
    known, into, texts, removed = _KNOWN[family], _INTO[family], _TEXTS[family], deep.REMOVED[family]
    found = not members.raws.keys().isdisjoint(removed)
    for root in roots:
        raw = members.raws.get(root)
        if raw is None:
            continue
        todo = [(root, raw, 0)]
        seen = 0
        while todo:
            name, raw, depth = todo.pop()
            if not given(raw):
                continue
            opening = memoryview(raw)[0]
            if opening == _QUOTE and name in texts:
                continue
            if depth > _DEEPEST:
                raise Refusal("invalid_request", TOO_DEEP)
            try:
                for batch in all_objects(members.objects, raw):
                    for part in batch:
                        if not part.keys() <= known:
                            _refuse_spelled(family, part)
                        judge(root, name, part)
                        found = found or not part.keys().isdisjoint(removed)
                        todo += [(inner, part[inner], depth + 1) for inner in part.keys() & into]
                    seen += len(batch)
                    if seen >= STEP_ELEMENTS:
                        seen = 0
                        yield
            except Misfit:
                raise Refusal("invalid_request", SHAPE, root) from None
        yield
    return found


def _refuse_spelled(family: Family, part: Part) -> None:
    known, spelled = _KNOWN[family], _FOLDED[family]
    for name in part:
        if name not in known and len(name) < _LONGEST and folded(name) in spelled:
            raise Refusal("invalid_request", SPELLED)
