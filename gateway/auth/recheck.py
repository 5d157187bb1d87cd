"""Finds revoked sessions that still run here although their announcement was lost.

Rules:

1. It asks the store only if an announcement may have been missed (`gateway.auth.missed`). With the cache's 5 seconds
   this bounds how long a revoked session can run.
2. A session is ended only if the store says that it was revoked. If the store does not answer, or does not know the
   session, nothing is ended, and the store is asked again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from gateway.auth.missed import STORE_TIMEOUT, LooksAgain
from gateway.auth.principal import Client, session_key

BATCH = 500


class Recheck(LooksAgain):
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
        super().__init__(listening)
        self._client = client
        self._running = running
        self._revoked = revoked

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
