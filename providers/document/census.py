"""Counts the values of a JSON body before anything is built from it: a decoded tiny value takes thirty times its size.

Rules that everything here obeys:

1. Only bytes outside of strings are counted, so that code in a prompt is not structure. Strings end by the rules of
   JSON; if the body is not JSON, the decoder stops at the same byte, so the counts after it do not matter.
2. The work is linear, a step is `STEP_BYTES`, and it stops at the first bound that is exceeded.
3. A body that is far from the bounds is not counted: a sample decides (`is_plain`), a sixteenth of the body at
   random positions that no sender can know.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterator
from itertools import accumulate
from typing import Final

from providers import bounds
from providers.bounds import STEP_BYTES
from providers.dialect import Refusal
from providers.steps import Steps

TOO_MANY: Final = "The request body holds too many JSON values: send less at a time."
TOO_DEEP: Final = "The request body is nested too deeply."
TOO_MANY_MEMBERS: Final = "The request body has too many members."
_LONG_NAME: Final = "The request body has a member with too long a name."
_LOOSE: Final = "The request body holds too much between its strings (blanks, numbers): send less at a time."
_ESCAPED: Final = "The request body holds too many escapes: send text as UTF-8, or less at a time."

_SAMPLE: Final = 4_096  # bytes of each `STEP_BYTES`
_SHARE: Final = STEP_BYTES // _SAMPLE
_STRIPES: Final = 32  # samples in one step
_FEW_NAMES: Final = bounds.OBJECT_MEMBERS  # with fewer members, no object can have too many
_BLANK: Final = b" \t\r\n"
_LISTS: Final = bytes.maketrans(b"{}", b"[]")
_LEVELS: Final = bytes.maketrans(b"{}[]", b"\x01\xff\x01\xff")  # as signed: one level down, one up
_NO_BRACKETS: Final = bytes(code for code in range(256) if code not in b"{}[]")
_NO_STRUCTURE: Final = bytes(code for code in range(256) if code not in b"{}[]:")
_NO_MARKS: Final = bytes(code for code in range(256) if code not in b'{[",\\')
_OPEN: Final = b"{["
_COLON: Final = ord(":")


def is_plain(body: bytes) -> Steps[bool]:
    """Whether the body is so far from every bound that it need not be counted."""
    size = len(body)
    if size <= bounds.UNCOUNTED_BYTES:
        return True
    containers = commas = strings = backslashes = loose = 0
    for number, stripe in enumerate(range(0, size, STEP_BYTES), 1):
        start = stripe + int(random.random() * (STEP_BYTES - _SAMPLE))  # noqa: S311 - a sample, not a secret
        sample = body[start : start + _SAMPLE]
        marks = sample.translate(None, _NO_MARKS)  # a tenth of text, which is quick to count
        quotes, escapes = marks.count(b'"'), marks.count(b"\\")
        # There is never a backslash before the start of a string, so this is at least the number of strings.
        strings += quotes - (sample.count(b'\\"') if quotes and escapes else 0)
        containers += marks.count(b"{") + marks.count(b"[")
        commas += marks.count(b",")
        backslashes += escapes
        loose += not quotes  # one long string, or blanks, or a number
        if (
            containers * _SHARE >= bounds.CONTAINERS // 2
            or commas * _SHARE >= bounds.VALUES // 2
            or strings * _SHARE >= 2 * _FEW_NAMES
            or backslashes * _SHARE >= bounds.BACKSLASHES // 2
            or loose * STEP_BYTES >= bounds.LOOSE_BYTES // 8
        ):
            return False
        if number % _STRIPES == 0:
            yield
    return True


def census(body: bytes, *, values: int = bounds.VALUES) -> Steps[int]:
    """Refuse a body that exceeds a bound. Raises `Refusal` (``invalid_request``).

    Args:
        body: The whole body.
        values: How many values it may have.

    Returns:
        The number of its objects, lists and names.
    """
    containers = commas = names = loose = backslashes = 0
    structure: list[bytes] = []
    length = 0  # of the string in which the step starts
    long = False  # a string too long for a name has ended, and only blanks have followed
    for parts, inside, found in _steps_of(body):
        backslashes += found
        outside = b"".join(parts[inside::2])
        loose += len(outside)
        containers += outside.count(b"{") + outside.count(b"[")
        commas += outside.count(b",")
        names += outside.count(b":")
        structure.append(outside.translate(None, _NO_STRUCTURE))
        if long or length + len(parts[0]) > bounds.NAME_BYTES or max(map(len, parts)) > bounds.NAME_BYTES:
            long = _refuse_long_name(parts, length, long, inside=inside)
        ends_inside = inside ^ (not len(parts) & 1)
        length = len(parts[-1]) + (length if len(parts) == 1 else 0) if ends_inside else 0
        if containers > bounds.CONTAINERS or commas > values:
            raise Refusal("invalid_request", TOO_MANY)
        if loose > bounds.LOOSE_BYTES:
            raise Refusal("invalid_request", _LOOSE)
        if backslashes > bounds.BACKSLASHES:
            raise Refusal("invalid_request", _ESCAPED)
        yield
    shape = b"".join(structure)
    yield from _check_depth(shape.translate(_LISTS, b":"))
    if names > _FEW_NAMES:
        yield from _check_members(shape)
    return containers + names


def refuse_deep(text: bytes) -> Steps[None]:
    """Refuse a text that is nested deeper than `bounds.UNCOUNTED_DEPTH`. Raises `Refusal` (``invalid_request``).

    Decoders are no such bound: up to CPython 3.13 they stop below 1,000 levels, from 3.14 on where the stack ends.
    """
    depth = 0
    for parts, inside, _ in _steps_of(text):
        levels = [*accumulate(array("b", b"".join(parts[inside::2]).translate(_LEVELS, _NO_BRACKETS)), initial=depth)]
        if max(levels) > bounds.UNCOUNTED_DEPTH:
            raise Refusal("invalid_request", TOO_DEEP)
        depth = levels[-1]
        yield


def _steps_of(text: bytes) -> Iterator[tuple[list[bytes], bool, int]]:
    """A text in steps: each split at its quotes, whether it starts inside of a string, and its backslashes."""
    inside = escaped = False  # the step starts inside a string; it starts with an escaped character
    for start in range(0, len(text), STEP_BYTES):
        piece = text[start + escaped : start + STEP_BYTES]
        if inside and b'"' not in piece and b"\\" not in piece:  # in the middle of a long text or an image
            escaped = False
            yield [piece], inside, 0
            continue
        escaped, backslashes = False, 0
        if b"\\" in piece:
            backslashes = piece.count(b"\\")
            escaped = bool((len(piece) - len(piece.rstrip(b"\\"))) & 1)
            if escaped:
                piece = piece[:-1]
            piece = piece.replace(b"\\\\", b"").replace(b'\\"', b"")
        parts = piece.split(b'"')
        yield parts, inside, backslashes
        inside ^= not len(parts) & 1


def _refuse_long_name(parts: list[bytes], length: int, long: bool, *, inside: bool) -> bool:
    """Check the strings of one step; returns the value of ``long`` after it."""
    for number, part in enumerate(parts, 1):
        if not inside:
            after = part.lstrip(_BLANK) if long else b""
            if after.startswith(b":"):
                raise Refusal("invalid_request", _LONG_NAME)
            long = long and not after
        elif number < len(parts):  # it ends here
            long = length + len(part) > bounds.NAME_BYTES
        inside, length = not inside, 0
    return long


def _check_depth(brackets: bytes) -> Steps[None]:
    # Remove the innermost pairs repeatedly, as often as the nesting is deep. Invalid JSON leaves a rest too.
    for _ in range(bounds.DEPTH):
        left = brackets.replace(b"[]", b"")
        if len(left) == len(brackets):
            return
        brackets = left
        yield
    if brackets:
        raise Refusal("invalid_request", TOO_DEEP)


def _check_members(shape: bytes) -> Steps[None]:
    depth = 0
    members = [0] * (bounds.DEPTH + 1)
    step = STEP_BYTES // 8
    for start in range(0, len(shape), step):
        for code in shape[start : start + step]:
            if code in _OPEN:
                depth += 1
                if depth > bounds.DEPTH:
                    return  # brackets that do not match: not JSON
                members[depth] = 0
            elif code != _COLON:
                depth -= 1
                if depth < 0:
                    return
            else:
                members[depth] += 1
                if members[depth] > (bounds.MEMBERS if depth <= bounds.UPPER_LEVELS else bounds.OBJECT_MEMBERS):
                    raise Refusal("invalid_request", TOO_MANY_MEMBERS)
        yield
