r"""Finds duplicate members of JSON objects: of two values with one name, parsers differ in which one they take.

Rules that everything here obeys:

1. The search is exact and goes to any depth. Names are compared after unescaping: ``"a"`` and ``"\u0061"`` are equal.
   The inside of a string is content, even if it is JSON itself.
2. A decoder that detects duplicates and does not cache strings gets up to `PIECE_BYTES` at a time; its result is
   dropped at once.
3. A larger list of objects is decoded to their members, whose values stay undecoded, and is kept for those who look at
   it later (`providers.document.objects`). If the members are as long as the list, it has no other member and no blank:
   a decoder keeps one of two members with one name, so the other one would be missing. If blanks are between few long
   members, the list is walked. Only the objects and lists in it are looked at further.
4. The decoder of rule 2 gets any other large value if that is mostly text, by a sample. Else it is split into its
   members or elements, so that long strings are skipped.
5. A refusal is a fixed sentence: the decoder's own message would quote the name.
"""

from __future__ import annotations

import json
import random
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, NoReturn

import jiter
import msgspec

from providers import bounds
from providers.bounds import STEP_BYTES
from providers.dialect import Refusal
from providers.document.census import TOO_DEEP, refuse_deep
from providers.document.objects import Objects, Part
from providers.steps import Steps

NOT_JSON: Final = "The request body is not valid JSON (a lone surrogate is not valid either)."
NAMED_TWICE: Final = (
    "An object in the request body has a duplicate member, and JSON parsers differ in which value they use: send one."
)

PIECE_BYTES: Final = STEP_BYTES // 2
_SPARSE_BYTES: Final = 16 * STEP_BYTES
_SPARSE: Final = 8_000  # commas in a value, by a sample: that of few values, or of 250 KB of code
_SAMPLE: Final = 2_048  # bytes of each `STEP_BYTES`
_AT_A_TIME: Final = 500  # members or elements of one step
_LONG: Final = 2_048  # bytes of a member, on average
_MOST_LEVELS: Final = 6  # more than those of messages, their parts, and the parts of a result
_MOST_SKIPPED: Final = 512 << 20  # bytes, over all levels: large values are not nested deeply

_OPENING: Final = b"{["
_LIST: Final = ord("[")

_FIRST = re.compile(rb'[ \t\n\r]*\{[ \t\n\r]*"([^"\\]*(?:\\.[^"\\]*)*)"[ \t\n\r]*:[ \t\n\r]*')
_NEXT = re.compile(rb'[ \t\n\r]*,[ \t\n\r]*"([^"\\]*(?:\\.[^"\\]*)*)"[ \t\n\r]*:[ \t\n\r]*')
_GAP = re.compile(rb"[ \t\n\r]*,?[ \t\n\r]*")
_CLOSE = re.compile(rb"[ \t\n\r]*\}")
_EMPTY = re.compile(rb"\{[ \t\n\r]*\}")
_END = re.compile(rb"[ \t\n\r]*\]")
_LAST = re.compile(rb"[ \t\n\r]*\}[ \t\n\r]*\Z")

_TEXT = msgspec.json.Decoder(str)
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ELEMENTS_OF = msgspec.json.Decoder(list[msgspec.Raw])


def find_spans(
    body: bytes, raws: Mapping[str, msgspec.Raw], position: int = 0, end: int = sys.maxsize
) -> Steps[dict[str, tuple[int, int]] | None]:
    """The span of each member's value in an object, or None if a name occurs twice.

    Args:
        body: The bytes that contain the object.
        raws: Its members as `msgspec` decodes them: a duplicate has its first position and its last value.
        position: The start of the object.
        end: The end of the object.
    """
    spans: dict[str, tuple[int, int]] = {}
    if size_of((raws,)) == min(end, len(body)) - position:
        position += 1
        for name, raw in raws.items():
            start = position + len(name) + 3
            position = start + len(raw)
            spans[name] = (start, position)
            position += 1
        return spans
    # A duplicate shows as a value that is not at its expected position, or as members left after the last name.
    pattern = _FIRST
    for name, raw in raws.items():
        found = pattern.match(body, position, end)
        if found is None:
            return None
        start = found.end()
        if not _is_name(found[1], name) or not body.startswith(raw, start):
            return None
        position = start + len(raw)
        spans[name] = (start, position)
        pattern = _NEXT
        if len(spans) % _AT_A_TIME == 0:
            yield
    if raws and _LAST.match(body, position, end) is None:
        return None
    return spans


def refuse_duplicates(
    body: bytes,
    raws: Mapping[str, msgspec.Raw],
    spans: Mapping[str, tuple[int, int]],
    objects: Objects,
    *,
    few: bool,
) -> Steps[None]:
    """Refuse a body in which an object has a duplicate member, at any depth.

    Args:
        body: The whole body: one JSON object, whose top level is known to have no duplicates.
        raws: The members at its top level.
        spans: The spans of their values.
        objects: Gets what is decoded of it.
        few: It has so few objects and members that all of one list can be decoded in a step.

    Raises:
        Refusal: ``invalid_request``.
    """
    if len(body) <= PIECE_BYTES or (not few and _at_once(body)):
        if not _reads(body):
            yield from _read_exactly(body)
        return
    todo = [_Level(1, list(raws.values()), [start for start, _ in spans.values()])]
    while todo:
        level = todo.pop()
        for first in range(0, len(level.values), _AT_A_TIME):
            values = level.values[first : first + _AT_A_TIME]
            if sum(map(len, values)) > PIECE_BYTES:
                small: list[msgspec.Raw] = []
                for number, raw in enumerate(values, first):
                    if memoryview(raw)[0] not in _OPENING:
                        continue
                    if len(raw) <= PIECE_BYTES:
                        small.append(raw)
                        continue
                    inner = _compact(body, objects, level.starts[number], raw, level.depth) if few else None
                    if inner is not None:
                        todo.append(inner)
                        yield
                    elif _at_once(raw):
                        yield from _look(bytes(raw))
                    else:
                        todo.append((yield from _inside(body, level.starts[number], raw, level.depth)))
                values = small
            yield from _look_at(values)


class _Level(NamedTuple):
    """The values of a large object or list, with their start positions in the body."""

    depth: int
    values: list[msgspec.Raw]
    starts: list[int]


def _at_once(value: bytes | msgspec.Raw) -> bool:
    """Whether a value is small, or has so few values inside that a decoder is quick with it."""
    size = len(value)
    if size <= PIECE_BYTES:
        return True
    if size > _SPARSE_BYTES:
        return False
    view = memoryview(value)
    commas = 0
    for stripe in range(0, size, STEP_BYTES):
        start = stripe + int(random.random() * (min(STEP_BYTES, size - stripe) - _SAMPLE))  # noqa: S311 - no secret
        commas += bytes(view[start : start + _SAMPLE]).count(b",")
    return commas * (STEP_BYTES // _SAMPLE) <= _SPARSE


def _look_at(values: list[msgspec.Raw]) -> Steps[None]:
    """Check values, none of which is larger than a piece."""
    piece: list[msgspec.Raw] = []
    size = 0
    for raw in values:
        if size + len(raw) > PIECE_BYTES:
            yield from _look(b"[%b]" % b",".join(piece))
            piece, size = [], 0
        piece.append(raw)
        size += len(raw)
    if piece:
        yield from _look(b"[%b]" % b",".join(piece))


def _compact(body: bytes, objects: Objects, start: int, raw: msgspec.Raw, depth: int) -> _Level | None:
    """The objects and lists among the members of a large object, or of all objects of a large list.

    None if that has elements of another kind or duplicates, or anything between many short values: blanks, escapes and
    wide letters in names.
    """
    found = objects.decoded(raw) if depth <= _MOST_LEVELS else None
    if found is None:
        return None
    listed = memoryview(raw)[0] == _LIST
    values = [value for part in found for value in part.values() if memoryview(value)[0] in _OPENING]
    large = max(map(len, values), default=0) > PIECE_BYTES
    if objects.whole is raw and not large:
        return _Level(depth + 1, values, [])
    if size_of(found) + (listed and 1 + len(found)) == len(raw):
        return _Level(depth + 1, values, _starts_of(found, start + listed) if large else [])
    walked = walk_list(body, start, found) if listed and is_long(found, len(raw)) else None
    if walked is None or walked[0] != start + len(raw):
        return None
    return _Level(depth + 1, values, walked[1])


def is_long(parts: list[Part], size: int) -> bool:
    """Whether objects of this size have so few members that `walk_list` is quicker than a decoder."""
    return size >= _LONG * sum(map(len, parts))


def walk_list(body: bytes, start: int, parts: list[Part]) -> tuple[int, list[int]] | None:
    """Where a list of these objects ends, and the objects and lists in them start; blanks may be anywhere.

    None if it has another member, such as a duplicate.
    """
    position = start + 1
    starts: list[int] = []
    for part in parts:
        pattern = _FIRST
        position = _GAP.match(body, position).end()  # type: ignore[union-attr]  # matches always
        for name, raw in part.items():
            found = pattern.match(body, position)
            if found is None or not _is_name(found[1], name) or not body.startswith(raw, found.end()):
                return None
            if memoryview(raw)[0] in _OPENING:
                starts.append(found.end())
            position = found.end() + len(raw)
            pattern = _NEXT
        closed = (_CLOSE if part else _EMPTY).match(body, position)
        if closed is None:
            return None
        position = closed.end()
    ended = _END.match(body, position)
    return None if ended is None else (ended.end(), starts)


def _is_name(written: bytes, name: str) -> bool:
    return (_unescaped(written) if b"\\" in written else written) == name.encode()


def size_of(parts: Sequence[Mapping[str, msgspec.Raw]]) -> int:
    """The least bytes that these objects take, without what is between them.

    What takes no more has no blanks, and no escapes and wide letters in names. A decoder keeps one of two members with
    one name, so there is no other one either.
    """
    size = 2 * len(parts)
    for part in parts:
        if part:  # two quotes, a colon and a comma for each member, and no comma after the last one
            size += sum(map(len, part)) + sum(map(len, part.values())) + 4 * len(part) - 1
    return size


def _starts_of(parts: list[Part], position: int) -> list[int]:
    """Where the objects and lists in these objects start, if nothing is between them but commas."""
    starts: list[int] = []
    for part in parts:
        position += 1
        for name, value in part.items():
            position += len(name) + 3
            if memoryview(value)[0] in _OPENING:
                starts.append(position)
            position += len(value) + 1
        position += 1 if part else 2
    return starts


def _inside(body: bytes, start: int, raw: msgspec.Raw, depth: int) -> Steps[_Level]:
    """The values of a large object or list, without copying."""
    if depth > bounds.DEPTH or depth * len(raw) > _MOST_SKIPPED:
        raise Refusal("invalid_request", TOO_DEEP)
    end = start + len(raw)
    if body.startswith(b"{", start):
        members = _MEMBERS.decode(raw)
        yield
        spans = yield from find_spans(body, members, start, end)
        if spans is None:
            raise Refusal("invalid_request", NAMED_TWICE)
        return _Level(depth + 1, list(members.values()), [begin for begin, _ in spans.values()])
    if body.find(b"{", start, end) < 0:  # numbers, or strings
        if body.count(b"[", start, end) > bounds.UNCOUNTED_DEPTH:
            yield from refuse_deep(body[start:end])
        return _Level(depth + 1, [], [])
    yield
    found = _ELEMENTS_OF.decode(raw)
    yield
    starts: list[int] = []
    if max(map(len, found)) > PIECE_BYTES:
        position = start + 1
        for element in found:
            position = _GAP.match(body, position).end()  # type: ignore[union-attr]  # matches always
            starts.append(position)
            position += len(element)
            if len(starts) % _AT_A_TIME == 0:
                yield
    return _Level(depth + 1, found, starts)


class _NamedTwiceError(Exception):
    """An object has a duplicate member."""


def _tell(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) != len(pairs):
        raise _NamedTwiceError


def _no_json(_word: str) -> NoReturn:
    raise ValueError


# Slower, but accepts numbers of any length, and its errors do not quote the name.
_EXACT: Final = json.JSONDecoder(object_pairs_hook=_tell, parse_int=str, parse_float=str, parse_constant=_no_json)


def _look(text: bytes) -> Steps[None]:
    if not _reads(text):
        yield from _read_exactly(text)
    yield


def _reads(text: bytes) -> bool:
    """Whether the quick decoder reads it, which takes no more than 200 levels and no very long numbers."""
    try:
        # "none": a cache of strings would outlive the request.
        jiter.from_json(text, allow_inf_nan=False, cache_mode="none", catch_duplicate_keys=True)
    except ValueError:
        return False
    return True


def _read_exactly(text: bytes) -> Steps[None]:
    yield from refuse_deep(text)
    try:
        _EXACT.decode(text.decode())
    except _NamedTwiceError:
        raise Refusal("invalid_request", NAMED_TWICE) from None
    except ValueError:
        raise Refusal("invalid_request", NOT_JSON) from None


def _unescaped(written: bytes) -> bytes:
    try:
        return _TEXT.decode(b'"%b"' % written).encode()
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return b""
