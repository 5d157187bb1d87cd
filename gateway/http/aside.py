"""Long work that cannot be cut into steps (`gateway.http.slices`): on one thread beside the event loop.

Rules:

1. One work of the worker runs at a time, since threads share one interpreter with the loop.
2. Holders take turns: each has one work in the queue. A holder is known only while it has work.
3. Whoever is cancelled stops waiting. A work that has begun keeps its turn until it ends, so that leaving and coming
   again starts no second one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Aside:
    """The thread of one worker."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()  # first come, first served
        self._lines: dict[str, tuple[asyncio.Lock, int]] = {}

    async def run(self, work: Callable[[], T], holder: str) -> T:
        """What ``work`` returns or raises. It must be bounded and touch nothing of the loop's."""
        line, waiting = self._lines.get(holder) or (asyncio.Lock(), 0)
        self._lines[holder] = line, waiting + 1
        try:
            async with line:
                await self._turn.acquire()
                running = asyncio.get_running_loop().run_in_executor(None, work)
                running.add_done_callback(self._ended)
                return await asyncio.shield(running)
        finally:
            line, waiting = self._lines.pop(holder)
            if waiting > 1:
                self._lines[holder] = line, waiting - 1

    def _ended(self, running: asyncio.Future[T]) -> None:
        self._turn.release()
        if not running.cancelled():
            running.exception()  # nobody may be left to be told
