"""One timer a millisecond for all streams: everything due in a tick is written in that tick."""

from __future__ import annotations

import asyncio
from typing import Protocol


class Paced(Protocol):
    def due(self, slot: int) -> None:
        """Called in the tick of ``slot``, a time in milliseconds on the loop's clock."""
        ...


class Wheel:
    """Calls `Paced.due` at a millisecond. The order within a tick is the order of `at`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._slots: dict[int, list[Paced]] = {}
        self.late = 0  # the longest delay of a tick so far, in milliseconds

    def now(self) -> int:
        return int(self._loop.time() * 1000)

    def at(self, slot: int, paced: Paced) -> None:
        waiting = self._slots.get(slot)
        if waiting is not None:
            waiting.append(paced)
            return
        self._slots[slot] = [paced]
        self._loop.call_at(slot / 1000, self._fire, slot)

    def _fire(self, slot: int) -> None:
        behind = self.now() - slot
        self.late = max(self.late, behind)
        for paced in self._slots.pop(slot):
            paced.due(slot)
