"""Long work on the event loop, in slices that let everybody else go on.

Rules:

1. The work is a generator that yields after each step of bounded work; `SLICE_SECONDS` of steps are run at a time.
2. The first slice is run at once, unless whoever it is for has long work already: what is short does not wait.
3. Of everything that is longer, one slice is run in each turn of the loop: however many long ones there are, the loop
   is held for one slice at a time.
4. The turns go round the holders, and those of a holder round its works, so that many works of one are as slow as one
   work of each for everybody else. A holder is known while it has long work, no longer.
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


class _Line:
    """The long works of one holder."""

    __slots__ = ("count", "turn")

    def __init__(self) -> None:
        self.count = 0
        self.turn = asyncio.Lock()


class Slices:
    """The turns of one worker."""

    def __init__(self, seconds: float = SLICE_SECONDS, clock: Callable[[], float] = time.perf_counter) -> None:
        self._seconds = seconds
        self._clock = clock
        self._turn = asyncio.Lock()  # first come, first served, and one of each line at a time
        self._lines: dict[str, _Line] = {}

    async def run(self, steps: Generator[None, None, T], holder: str) -> T:
        """What the generator returns. Closes it in every case.

        Args:
            steps: The work.
            holder: Whose it is, an account or an address.
        """
        try:
            line = self._lines.get(holder)
            if line is None:
                self._slice(steps)
                line = self._lines[holder] = _Line()
            await self._queue(steps, holder, line)
        except _Ended as ended:
            value: T = ended.value
            return value
        finally:
            steps.close()
        raise AssertionError  # never: the end of the work is an `_Ended`

    async def _queue(self, steps: Generator[None, None, object], holder: str, line: _Line) -> None:
        line.count += 1
        try:
            while True:
                async with line.turn, self._turn:
                    self._slice(steps)
                    await asyncio.sleep(0)
        finally:
            line.count -= 1
            if not line.count:
                del self._lines[holder]

    def _slice(self, steps: Generator[None, None, T]) -> None:
        until = self._clock() + self._seconds
        try:
            while True:
                next(steps)
                if self._clock() >= until:
                    return
        except StopIteration as ended:
            raise _Ended(ended.value) from None
