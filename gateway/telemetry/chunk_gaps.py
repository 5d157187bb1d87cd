"""The time between the chunks of a stream, of every sixteenth stream of a worker.

A chunk of the other streams costs nothing: only a stream of the sample has a clock in front of its scanner
(`gateway.inference.relay.Relay.open`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

STREAMS_PER_SAMPLE: Final = 16

Tick = Callable[[], None]


class ChunkGaps:
    """Decides which streams are measured; they are the first one and every sixteenth after it."""

    __slots__ = ("_clock", "_observe", "_streams")

    def __init__(self, observe: Callable[[float], None], clock: Callable[[], float] = time.monotonic) -> None:
        """Build it.

        Args:
            observe: Takes each time between two chunks, in seconds.
            clock: In seconds. Not the loop's: uvloop's stands still while the loop works, and has milliseconds.
        """
        self._observe = observe
        self._clock = clock
        self._streams = 0

    def begin(self) -> Tick | None:
        """What to call at each chunk of the stream that begins now; ``None`` if it is not in the sample."""
        streams, self._streams = self._streams, self._streams + 1
        return None if streams % STREAMS_PER_SAMPLE else _ticking(self._observe, self._clock)


def _ticking(observe: Callable[[float], None], clock: Callable[[], float]) -> Tick:
    last = clock()

    def tick() -> None:
        nonlocal last
        now = clock()
        observe(now - last)
        last = now

    return tick
