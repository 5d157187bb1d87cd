"""How much a stream has produced, from a sample of its events.

Rules that everything here obeys:

1. Every event of the first `EARLY` is looked at, then one in `EACH`. Which they are follows from their number alone, so
   that the estimate does not depend on how the stream was cut.
2. An event that is looked at is searched for the strings that hold output, which are counted and forgotten: no event
   is decoded or kept.
3. The estimate is without bias, so that it may be charged: it is what a provider bills that never gets to report it.
"""

from __future__ import annotations

import re
from typing import Final, Protocol

from providers.weight.text import count_bytes, unescaped
from providers.weight.tokens import Tokenizer

EARLY: Final = 16
EACH: Final = 16
_LARGEST: Final = 256 * 1024  # an event above it is no text
_LARGEST_TEXT: Final = 16 * 1024  # that is counted of one event; of more, a share

_DATA: Final = re.compile(rb"(?:^|[\r\n])(?:\xef\xbb\xbf)?data:")


class Output(Protocol):
    """What a dialect says of one event: output tokens in it, in thousandths. ``event`` is its data, and more."""

    def __call__(self, event: bytes) -> int: ...


class Produced:
    """The sample of one stream. Numbers only.

    Args:
        output: The dialect's.
    """

    __slots__ = ("_early", "_early_events", "_late", "_late_events", "_output")

    def __init__(self, output: Output) -> None:
        self._output = output
        self._early = self._early_events = 0
        self._late = self._late_events = 0

    @staticmethod
    def due(before: int, count: int) -> bool:
        """Of ``count`` events that come after ``before`` others, one is looked at."""
        return before < EARLY or (before + count - 1) // EACH > (before - 1) // EACH

    def take(self, block: bytes, before: int) -> None:
        """Look at those events of ``block`` that are due; ``before``: events that came before it.

        Call it if `due`. An event is a line of data, as `providers.answers.sse.count_events` counts them.
        """
        for index, event in enumerate(_DATA.split(block)[1:], before):
            if (index < EARLY or index % EACH == 0) and len(event) <= _LARGEST:
                self.one(event, index)

    def one(self, event: bytes, index: int) -> None:
        """Look at one event, the ``index``-th of the stream."""
        tokens = self._output(event)
        if index < EARLY:
            self._early += tokens
            self._early_events += tokens > 0 or self._early > 0
        else:
            self._late += tokens
            self._late_events += 1

    def tokens(self, events: int) -> int:
        """Output tokens of a stream of so many events."""
        later = events - EARLY
        total = self._early
        if later > 0:
            looked, found = self._late_events, self._late
            if not looked:  # the early events say what the few after them hold, from the first output on
                looked, found = max(1, self._early_events), self._early
            total += found * later // looked
        return -(-total // 1_000)


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
            if event[start : start + 1] in b" ":  # one space at most, or the end
                start += 1
            if event[start : start + 1] == b'"':
                end = event.find(b'"', start + 1)
                if event[end - 1 : end] == b"\\":
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
    found = count_bytes(unescaped(text))
    wide = found.two * tokenizer.two + found.three * tokenizer.three + found.four * tokenizer.four
    return share * (found.plain * tokenizer.plain // 1_000 + wide)
