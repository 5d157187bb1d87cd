"""What announcements say is looked up in the store if one may have been missed.

The store is asked after a gap (`LooksAgain.soon`), and every `EVERY_S` seconds while announcements are not heard. If it
does not answer, it is asked again.
"""

from __future__ import annotations

import asyncio
import contextlib
from abc import abstractmethod
from collections.abc import Callable

from redis.exceptions import RedisError

from metering.background import Background

EVERY_S = 2.0
AGAIN_S = 0.5  # after the store failed
STORE_TIMEOUT = 2.0


class LooksAgain(Background):
    """One worker's. Call `start` from the running loop. ``listening``: whether announcements are heard."""

    def __init__(self, listening: Callable[[], bool]) -> None:
        self._listening = listening
        self._missed = asyncio.Event()

    def soon(self) -> None:
        """Something may have been missed, or has changed: look now."""
        self._missed.set()

    @abstractmethod
    async def look(self) -> None:
        """Ask the store. Raises redis-py's errors, OSError and TimeoutError."""

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(EVERY_S):
                    await self._missed.wait()
            if self._listening() and not self._missed.is_set():
                continue
            self._missed.clear()  # first: what is missed while this looks is looked for again
            try:
                await self.look()
            except (RedisError, OSError):  # TimeoutError is an OSError
                self._missed.set()
                await asyncio.sleep(AGAIN_S)
