"""How slow this machine is now, for bounds on processor time: a loop of known length tells."""

from __future__ import annotations

import time
from collections.abc import Callable

TRIES = 5  # of what a neighbour of this machine may have made slow, but not each time
REFERENCE_SECONDS = 0.020
_ROUNDS = 330_000  # of the loop, which take `REFERENCE_SECONDS` on the machine on which the bounds were chosen


def slowness() -> float:
    """How many times longer than on that machine work may take now: twice what the loop does; 1 at least."""
    slowest = 0.0
    for _ in range(3):
        begun = time.thread_time()
        total = 0
        for number in range(_ROUNDS):
            total += number & 3
        slowest = max(slowest, time.thread_time() - begun)
    return max(1.0, slowest * 2 / REFERENCE_SECONDS)


def fastest(work: Callable[[], object]) -> float:
    """The processor time of the fastest of `TRIES` tries, in seconds."""

    def once() -> float:
        begun = time.thread_time()
        work()
        return time.thread_time() - begun

    return min(once() for _ in range(TRIES))
