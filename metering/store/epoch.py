"""Notices that the store was away, restarted or failed over, since it may have lost its last seconds then.

An epoch is identified by the run id and replication id of each primary. A change, or a time in
which they did not answer, starts a new epoch. Those that must react (the spool replays, the reaper
waits, a billing reader reads again) compare `number`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from hashlib import sha256

from redis.exceptions import RedisError

from metering.background import Background
from metering.store.store import Store, info_fields

INTERVAL = 1.0


class Epoch(Background):
    """One process's view of the store's continuity.

    Attributes:
        number: Grows by one with each epoch.
        reachable: Whether the last look succeeded.
    """

    def __init__(self, store: Store, *, interval: float = INTERVAL) -> None:
        self._store = store
        self._interval = interval
        self._seen: frozenset[tuple[str, str]] | None = None
        self._listeners: list[Callable[[], Awaitable[None]]] = []
        self.number = 0
        self.reachable = False

    @property
    def identity(self) -> str:
        """A text that identifies the epoch, the same in every process; empty before the first look."""
        return "" if self._seen is None else sha256(repr(sorted(self._seen)).encode()).hexdigest()[:16]

    def on_change(self, listener: Callable[[], Awaitable[None]]) -> None:
        """Await ``listener`` at the start of each later epoch; it must not raise."""
        self._listeners.append(listener)

    async def look(self) -> bool:
        """Compare once; return whether the store answers and the epoch is the same as before."""
        try:
            async with asyncio.timeout(self._interval * 5):
                now = await self._identities()
        except (RedisError, OSError):
            self.reachable = False
            return False
        same = self.reachable and now == self._seen
        first = self._seen is None
        self._seen = now
        self.reachable = True
        if same or first:
            return True
        self.number += 1
        for listener in self._listeners:
            await listener()
        return False

    async def _run(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(self._interval)

    async def _identities(self) -> frozenset[tuple[str, str]]:
        servers = await self._store.on_primaries("INFO", "server")
        replications = await self._store.on_primaries("INFO", "replication")
        return frozenset(
            (info_fields(server).get("run_id", ""), info_fields(replication).get("master_replid", ""))
            for server, replication in zip(servers, replications, strict=True)
        )
