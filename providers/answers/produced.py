"""How much a stream has produced, from a sample of its events.

Rules that everything here obeys:

1. All of a stream's first events are looked at, then every second, every fourth, and so on to one in `WIDEST`: each
   stands for those up to the next. Which they are follows from their number alone, so that the estimate does not
   depend on how the stream was cut.
2. An event that is looked at is searched for the strings that hold output, which are counted and forgotten: no event
   is decoded or kept.
3. The estimate is without bias, so that it may be charged: it is what a provider bills that never gets to report it.
"""

from __future__ import annotations

import re
from typing import Final, Protocol

from providers.weight.text import count_bytes, plain_tokens, unescaped
from providers.weight.tokens import Tokenizer

_EARLY: Final = 16  # all of them are looked at
_AT_EACH: Final = 3  # looks before the step doubles again
WIDEST: Final = 64
_LARGEST: Final = 256 * 1024  # an event above it is no text
_LARGEST_TEXT: Final = 16 * 1024  # that is counted of one event; of more, a share

_BACKSLASH: Final = ord("\\")
_DATA: Final = re.compile(rb"(?:^|[\r\n])(?:\xef\xbb\xbf)?data:")


class Output(Protocol):
    """What a dialect says of one event: output tokens in it, in thousandths. ``event`` is its data, and more."""

    def __call__(self, event: bytes) -> int: ...


class Produced:
    """The sample of one stream. Numbers only.

    Args:
        output: The dialect's.

    Attributes:
        next: The first event that is to be looked at, counted from 0.
    """

    __slots__ = ("_index", "_last", "_output", "_sum", "next")

    def __init__(self, output: Output) -> None:
        self._output = output
        self._sum = 0  # of the events before the last one that was looked at
        self._last = self._index = 0
        self.next = 0

    def take(self, block: bytes, before: int) -> None:
        """Look at those events of ``block`` that are due; ``before``: events that came before it.

        Call it if the block reaches `next`. An event is a line of data, as `providers.answers.sse.count_events` counts
        them.
        """
        for index, event in enumerate(_DATA.split(block)[1:], before):
            if index >= self.next and len(event) <= _LARGEST:
                self.one(event, index)

    def one(self, event: bytes, index: int) -> None:
        """Look at one event, the ``index``-th of the stream: not before `next`."""
        self._sum += self._last * (index - self._index)
        self._last, self._index = self._output(event), index
        self.next = index + step(index)

    def tokens(self, events: int) -> int:
        """Output tokens of a stream of so many events."""
        return -(-(self._sum + self._last * max(0, events - self._index)) // 1_000)


def step(index: int) -> int:
    """For how many events the ``index``-th one stands, itself included."""
    if index < _EARLY:
        return 1
    wide, end = 2, _EARLY + 2 * _AT_EACH
    while wide < WIDEST and index >= end:
        wide *= 2
        end += wide * _AT_EACH
    return wide


def strings(event: bytes, *names: bytes) -> list[bytes]:
    """The texts of an event's members of the first of these names that has any, if they are strings: without their
    quotes, escaped as they are.

    Args:
        event: JSON, and what is around it.
        names: Each with its quotes and colon, such as ``b'"text":'``. Inside a JSON string the quotes are escaped, so
            that only members match.
    """
    found: list[bytes] = []
    for name in names:
        at = event.find(name)
        while at >= 0:
            start = at + len(name)
            begun = event[start : start + 2]
            if begun == b' "':  # one space at most
                start += 1
            if begun == b' "' or begun[:1] == b'"':
                end = event.find(b'"', start + 1)
                if event[end - 1] == _BACKSLASH:
                    end = _escaped_end(event, start + 1)
                if end < 0:
                    break
                found.append(event[start + 1 : end])
                start = end
            at = event.find(name, start)
        if any(found):
            break
    return found


def _escaped_end(event: bytes, start: int) -> int:
    """Where a string ends that holds escapes; its first character is at ``start``. -1 if it does not end."""
    end = event.find(b'"', start)
    while end >= 0:
        slashes = end
        while event[slashes - 1 : slashes] == b"\\" and slashes > start:
            slashes -= 1
        if (end - slashes) % 2 == 0:
            return end
        end = event.find(b'"', end + 1)
    return -1


def milli_tokens(text: bytes, tokenizer: Tokenizer) -> int:
    """Thousandths of a token in a JSON string's text, escapes and all, without its quotes."""
    share = 1
    if len(text) > _LARGEST_TEXT:
        share = -(-len(text) // _LARGEST_TEXT)
        text = text[:_LARGEST_TEXT]
    text = unescaped(text)
    if text.isascii():
        return share * (plain_tokens(text) * tokenizer.plain // 1_000)
    found = count_bytes(text)
    wide = found.two * tokenizer.two + found.three * tokenizer.three + found.four * tokenizer.four
    return share * (found.plain * tokenizer.plain // 1_000 + wide)
