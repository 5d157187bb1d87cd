"""How many further attempts a worker makes: a share of its requests, so that an outage is not multiplied.

Pure, with the clock handed in. A provider that is down gets a request and one retry for each, or even more, just when
it can take least; with a budget it gets the requests and a fifth more.
"""

from __future__ import annotations

from typing import Final

SECONDS: Final = 10  # that requests count for; so is the burst that a quiet worker may make


class RetryBudget:
    """Of one worker. Within the last `SECONDS`, the further attempts are at most ``percent`` in a hundred of the
    requests, and ``per_second`` a second.
    """

    __slots__ = ("_at", "_free", "_percent", "_requests", "_retries")

    def __init__(self, percent: int, per_second: int) -> None:
        self._percent = percent
        self._free = per_second * SECONDS
        self._requests = [0] * SECONDS
        self._retries = [0] * SECONDS
        self._at = 0  # the second that is counted in

    def left(self, now: float) -> bool:
        """Whether a request may be sent once more."""
        self._slot(now)
        return (sum(self._retries) - self._free + 1) * 100 <= sum(self._requests) * self._percent

    def count(self, now: float, *, first: bool) -> None:
        """A request is sent, for the ``first`` time or once more."""
        counts = self._requests if first else self._retries
        counts[self._slot(now)] += 1

    def _slot(self, now: float) -> int:
        second = int(now)
        passed = second - self._at
        if passed > 0:
            for step in range(min(passed, SECONDS)):
                self._requests[(second - step) % SECONDS] = self._retries[(second - step) % SECONDS] = 0
            self._at = second
        return self._at % SECONDS
