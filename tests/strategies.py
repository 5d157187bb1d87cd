"""Ways to cut a byte string into pieces: the result of a parser never depends on the cut."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise

from hypothesis import strategies as st

# Where a cut is most likely to hurt: before a continuation byte of UTF-8, between CR and LF, after
# a backslash, after a quote, between two line ends, inside the digits of an escape.
_AWKWARD = re.compile(rb"[\x80-\xbf]|(?<=\r)\n|(?<=\\).|(?<=\")|(?<=\n)[\r\n]|(?<=\\u..).", re.DOTALL)


def cut(data: bytes, positions: Iterable[int]) -> list[bytes]:
    """``data`` cut at ``positions``; no piece is empty."""
    edges = sorted({0, len(data), *(position for position in positions if 0 < position < len(data))})
    return [data[start:end] for start, end in pairwise(edges)]


def every_byte(data: bytes) -> list[bytes]:
    """``data`` byte by byte."""
    return [data[index : index + 1] for index in range(len(data))]


def awkward(data: bytes) -> list[int]:
    """Positions inside characters, line ends and escapes of ``data``."""
    return [found.start() for found in _AWKWARD.finditer(data)]


def pieces(data: bytes) -> st.SearchStrategy[list[bytes]]:
    """``data`` whole, byte by byte, cut at random, and cut where it hurts."""
    choices = [st.just([data] if data else []), st.just(every_byte(data))]
    if len(data) > 1:
        anywhere = st.integers(1, len(data) - 1)
        choices.append(st.builds(cut, st.just(data), st.lists(anywhere, max_size=12)))
        places = awkward(data)
        if places:
            choices.append(st.builds(cut, st.just(data), st.lists(st.sampled_from(places), max_size=12)))
    return st.one_of(choices)


@st.composite
def cut_up(draw: st.DrawFn, data: st.SearchStrategy[bytes]) -> tuple[bytes, list[bytes]]:
    """A byte string and pieces of it."""
    whole = draw(data)
    return whole, draw(pieces(whole))
