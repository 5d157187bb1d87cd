"""Long work on the event loop, in slices between which other work runs.

Rules:

1. The work is a generator that yields after each step of bounded work; `SLICE_SECONDS` of steps are run at a time, in
   processor time, so that short work does not count as long on a busy machine.
2. The first slice runs at once, unless its holder already has long work: short work does not wait.
3. Of all longer work, one slice runs in each turn of the loop, so that the loop is occupied for one slice at a time.
   Work that has used `LIGHT_SECONDS` moves to a second queue, so that work that is nearly done does not wait for it;
   then one slice of each queue runs in a turn.
4. While other work waits on the loop, the second queue gets half of the time: a request needs several turns of the
   loop, and a slice in each of them would delay it by several slices.
5. Holders take turns, and within a holder its works, so that many works of one holder do not slow down the others. A
   holder is known only while it has long work.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator
from typing import Final, Generic, TypeVar

SLICE_SECONDS: Final = 0.0005
LIGHT_SECONDS: Final = 0.010
OTHERS_SECONDS: Final = 0.0005  # a turn of the loop is shorter if nobody else has anything to do

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

    def __init__(
        self,
        seconds: float = SLICE_SECONDS,
        clock: Callable[[], float] = time.thread_time,
        charge: Callable[[str, float], None] | None = None,
    ) -> None:
        """Build it.

        Args:
            seconds: Of processor time in a slice.
            clock: Of the processor time.
            charge: Told of a holder and the seconds that a slice of it took.
        """
        self._seconds = seconds
        self._clock = clock
        self._charge = charge
        self._light = asyncio.Lock()  # first come, first served, and one of each line at a time
        self._heavy = asyncio.Lock()
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
                self._slice(steps, holder)
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
        used = self._seconds
        try:
            while True:
                heavy = used >= LIGHT_SECONDS
                async with line.turn, self._heavy if heavy else self._light:
                    self._slice(steps, holder)
                    used += self._seconds
                    ended = self._clock()
                    await asyncio.sleep(0)
                    if heavy and self._clock() - ended > OTHERS_SECONDS:
                        await asyncio.sleep(self._seconds)
        finally:
            line.count -= 1
            if not line.count:
                del self._lines[holder]

    def _slice(self, steps: Generator[None, None, T], holder: str) -> None:
        began = self._clock()
        until = began + self._seconds
        try:
            while True:
                next(steps)
                if self._clock() >= until:
                    return
        except StopIteration as ended:
            raise _Ended(ended.value) from None
        finally:
            if self._charge is not None:
                self._charge(holder, self._clock() - began)
