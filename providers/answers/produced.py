"""Estimates how much a stream has produced, from a sample of its events.

Rules that everything here obeys:

1. All of a stream's first events are sampled, then every second, every fourth, and so on to one in `WIDEST`. Each
   stands for the events up to the next sample. The choice depends only on the number of the event, so that the estimate
   does not depend on how the stream was cut.
2. A sampled event is searched for the strings that hold output; they are counted and not kept. No event is decoded.
3. The estimate is unbiased, so that it may be charged: it replaces the provider's count if the provider could not
   report one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, Protocol

from providers.weight.text import count_bytes, plain_tokens, unescaped
from providers.weight.tokens import Tokenizer

_EARLY: Final = 16  # the first events, all of which are sampled
_AT_EACH: Final = 3  # samples before the step doubles again
WIDEST: Final = 64
_LARGEST: Final = 256 * 1024  # a larger event is not text
_LARGEST_TEXT: Final = 16 * 1024  # bytes that are counted in one event; more is extrapolated
_NEVER: Final = 1 << 62

_BACKSLASH: Final = ord("\\")
_DATA: Final = re.compile(rb"(?:^|[\r\n])(?:\xef\xbb\xbf)?data:")


class Output(Protocol):
    """A dialect's function: the output tokens in one event, in thousandths. ``event`` may contain its framing."""

    def __call__(self, event: bytes) -> int: ...


class Produced:
    """The sample of one stream. Numbers only.

    Args:
        output: The dialect's function for output.
        thoughts: The dialect's function for shown reasoning, if reasoning has a count of its own.

    Attributes:
        next: The next event to sample, counted from 0.
    """

    __slots__ = (
        "_call", "_index", "_last", "_last_thoughts", "_mark", "_output", "_sum", "_sum_thoughts", "_thoughts", "next",
    )  # fmt: skip

    def __init__(self, output: Output, thoughts: Output | None = None) -> None:
        self._output = output
        self._thoughts = thoughts
        self._sum_thoughts = self._last_thoughts = 0
        self._sum = 0  # of the events before the last sample
        self._last = self._index = 0
        self._mark = _NEVER  # the same; once the sum is beyond it, `_call` is called
        self._call: Callable[[], None] | None = None
        self.next = 0

    def take(self, block: bytes, before: int) -> None:
        """Sample those events of ``block`` that are due; ``before``: the number of earlier events.

        Call it if the block reaches `next`. An event is a line of data, as `providers.answers.sse.count_events` counts
        them.
        """
        for index, event in enumerate(_DATA.split(block)[1:], before):
            if index >= self.next and len(event) <= _LARGEST:
                self.one(event, index)

    def one(self, event: bytes, index: int) -> None:
        """Sample one event, the ``index``-th of the stream, which must not be before `next`."""
        self._sum += self._last * (index - self._index)
        if self._thoughts is not None:
            self._sum_thoughts += self._last_thoughts * (index - self._index)
            self._last_thoughts = self._thoughts(event)
        self._last, self._index = self._output(event), index
        self.next = index + step(index)
        if self._sum > self._mark and self._call is not None:
            self._mark = _NEVER
            self._call()

    def at(self, tokens: int, call: Callable[[], None]) -> None:
        """Call ``call`` once, at the first sample with more than ``tokens`` further tokens before it."""
        self._mark, self._call = self._sum + tokens * 1_000, call

    def tokens(self, events: int) -> int:
        """An estimate of the output tokens of a stream with this number of events."""
        return -(-(self._sum + self._last * max(0, events - self._index)) // 1_000)

    def thoughts(self, events: int) -> int:
        """The same for reasoning tokens, if reasoning has a count of its own."""
        return -(-(self._sum_thoughts + self._last_thoughts * max(0, events - self._index)) // 1_000)


def step(index: int) -> int:
    """The number of events that a sample at ``index`` stands for, itself included."""
    if index < _EARLY:
        return 1
    wide, end = 2, _EARLY + 2 * _AT_EACH
    while wide < WIDEST and index >= end:
        wide *= 2
        end += wide * _AT_EACH
    return wide


def strings(event: bytes, *names: bytes) -> list[bytes]:
    """The string values of an event's members with the first of these names that has any: without their quotes, still
    escaped.

    Args:
        event: JSON, perhaps with framing around it.
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
    """The end of a string with escapes whose first character is at ``start``; -1 if it does not end."""
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
    """Thousandths of a token in the text of a JSON string, given with its escapes and without its quotes."""
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
