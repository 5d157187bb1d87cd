"""Long work on the event loop, in slices that let everybody else go on.

Rules:

1. The work is a generator that yields after each step of bounded work; `SLICE_SECONDS` of steps are run at a time.
2. The first slice is run at once: what is short never waits.
3. Of everything that is longer, one slice is run in each turn of the loop, in the order in which they asked: however
   many long ones there are, the loop is held for one slice at a time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator
from typing import Final, Generic, TypeVar

SLICE_SECONDS: Final = 0.002

T = TypeVar("T")


class _Ended(Exception, Generic[T]):
    """The work is done."""

    def __init__(self, value: T) -> None:
        super().__init__()
        self.value = value


class Slices:
    """The turns of one worker."""

    def __init__(self, seconds: float = SLICE_SECONDS, clock: Callable[[], float] = time.perf_counter) -> None:
        self._seconds = seconds
        self._clock = clock
        self._turn = asyncio.Lock()

    async def run(self, steps: Generator[None, None, T]) -> T:
        """What the generator returns. Closes it in every case."""
        try:
            self._slice(steps)
            while True:
                async with self._turn:
                    self._slice(steps)
                    await asyncio.sleep(0)
        except _Ended as ended:
            value: T = ended.value
            return value
        finally:
            steps.close()

    def _slice(self, steps: Generator[None, None, T]) -> None:
        until = self._clock() + self._seconds
        try:
            while True:
                next(steps)
                if self._clock() >= until:
                    return
        except StopIteration as ended:
            raise _Ended(ended.value) from None
