"""Finds revoked sessions that still run here although their announcement was lost.

Rules:

1. It asks only where something may have been missed: after a gap, and every `EVERY_S` seconds for as long as
   nothing is heard. With the cache's 5 seconds this bounds how long a revoked session runs on.
2. A session is ended only where the store says that it was revoked. A store that does not answer, or does not
   know the session, ends nothing; it is asked again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection

from redis.exceptions import RedisError

from gateway.auth.principal import Client, session_key
from metering.background import Background

EVERY_S = 2.0
AGAIN_S = 0.5  # after the store failed
BATCH = 500
STORE_TIMEOUT = 2.0


class Recheck(Background):
    """One worker's. Call `start` from the running loop.

    Args:
        client: The store.
        running: The sessions that have requests running.
        listening: Whether announcements are heard.
        revoked: Called for each session that was revoked.
    """

    def __init__(
        self,
        client: Client,
        *,
        running: Callable[[], Collection[str]],
        listening: Callable[[], bool],
        revoked: Callable[[str], None],
    ) -> None:
        self._client = client
        self._running = running
        self._listening = listening
        self._revoked = revoked
        self._missed = asyncio.Event()

    def soon(self) -> None:
        """Something may have been missed: look now."""
        self._missed.set()

    async def look(self) -> None:
        """Ask about every session that runs. Raises redis-py's errors, OSError and TimeoutError."""
        sids = tuple(self._running())
        for begin in range(0, len(sids), BATCH):
            batch = sids[begin : begin + BATCH]
            async with asyncio.timeout(STORE_TIMEOUT), self._client.pipeline(transaction=False) as pipeline:
                for sid in batch:
                    pipeline.hexists(session_key(sid), "revoked")
                found = await pipeline.execute()
            for sid, was_revoked in zip(batch, found, strict=True):
                if was_revoked:
                    self._revoked(sid)

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
