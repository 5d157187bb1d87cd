"""Ends an answer at a stop sequence, for an API that has none: what is shown is what another API would have shown.

Rules that everything here obeys:

1. The events do not depend on how the text was cut into deltas.
2. The sequence that is complete first ends the text; of several that end at the same character, the longest. It is not
   part of the text.
3. Text that may be the beginning of a sequence is held back until it is known, or until something else than text comes:
   a sequence does not reach across a call or a thought.
4. After the sequence only counts, a failure and the end are passed on. The provider does not know of it and writes on,
   so that the counts are of all that it wrote.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from providers.conversation.conversation import Cited, Counts, Event, Failed, Finish, Reason, TextDelta

MOST_SEQUENCES: Final = 16
LONGEST_SEQUENCE: Final = 256
"""Characters; the search for the beginning of a sequence at the end of each delta is bounded by it."""


class StopSequences:
    """Watches the events of one answer. ``met``: the sequence that ended it, or ``None`` so far."""

    __slots__ = ("_held", "_stop", "met")

    def __init__(self, stop: Iterable[str]) -> None:
        self._stop = tuple(filter(None, stop))
        self._held = ""
        self.met: str | None = None

    def cut(self, events: Iterable[Event]) -> Iterator[Event]:
        """The events to pass on for the next ones of the answer."""
        for event in events:
            if self.met is not None:
                if isinstance(event, Finish):
                    yield Finish(Reason.STOP_SEQUENCE, self.met)
                elif isinstance(event, Counts | Failed):
                    yield event
            elif not self._stop:
                yield event
            elif isinstance(event, TextDelta):
                yield from self._text(self._held + event.text)
            else:
                if not isinstance(event, Cited | Counts):
                    yield from self._release()
                yield event

    def _text(self, text: str) -> Iterator[Event]:
        ends = [(start + len(stop), start, stop) for stop in self._stop if (start := text.find(stop)) >= 0]
        if ends:
            _, start, self.met = min(ends)
            self._held = ""
        else:
            start = min(_beginning(text, stop) for stop in self._stop)
            self._held = text[start:]
        if start:
            yield TextDelta(text[:start])

    def _release(self) -> Iterator[Event]:
        held, self._held = self._held, ""
        if held:
            yield TextDelta(held)


def _beginning(text: str, stop: str) -> int:
    """Where the longest end of a text begins that is the beginning of a sequence; the text's length if none is."""
    start = max(0, len(text) - len(stop) + 1)
    while (start := text.find(stop[0], start)) >= 0:
        if stop.startswith(text[start:]):
            return start
        start += 1
    return len(text)
