"""The rate of requests that nobody pays for: counted by one worker, forgotten within a minute.

The rate is GCRA, with a burst of one minute's worth. For each name of the last minute one number is kept, in the order
of the last request, so that expired names are at the front.
"""

from __future__ import annotations

import time
from collections.abc import Callable

MINUTE = 60.0
MOST_NAMES = 50_000  # of more, the newest are not counted


class Pace:
    """The rate of each name, an account or a network."""

    __slots__ = ("_clock", "_each", "_until")

    def __init__(self, per_minute: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._each = MINUTE / per_minute
        self._clock = clock
        self._until: dict[str, float] = {}  # name -> when all that it did would have been done evenly

    def __len__(self) -> int:
        return len(self._until)

    def wait(self, name: str) -> float:
        """Seconds until the next one of ``name`` may come, 0.0 if it may now. Counts nothing."""
        until = self._until.get(name)
        if until is None:
            return 0.0
        return max(0.0, until + self._each - self._clock() - MINUTE)

    def add(self, name: str) -> None:
        """Count one. What comes although it was to wait makes it wait a minute at most."""
        now = self._clock()
        until = max(self._until.pop(name, now), now) + self._each
        self.tidy()
        if len(self._until) < MOST_NAMES:
            self._until[name] = min(until, now + 2 * MINUTE)

    def tidy(self) -> None:
        """Forget expired names. What `add` does not meet any more, this is to be called for now and then."""
        now, until = self._clock(), self._until
        while until:
            name = next(iter(until))
            if until[name] > now:
                return
            del until[name]
