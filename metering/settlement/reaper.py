"""Settles the requests of a dead gateway: those whose lease expired without a settlement.

Rules:

1. Such a request is charged by its last checkpoint, with rank 0 and basis ``orphan``.
   If this host's spool shows that it was never sent, it is voided. A settlement that arrives later
   (rank 1, from the spool) replaces the orphan.
2. A process does not reap for one full lease after its start and after each new epoch of the store:
   running gateways may have been unable to extend their leases before that.
3. One of several processes reaps: the one that holds the ``reaper`` key. If two do it at once, no
   harm is done: the ledger decides for each request, by its own clock.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Collection
from typing import Any, Protocol

from redis.exceptions import RedisError

from metering import keys
from metering.background import Background
from metering.ledger.ledger import Ledger
from metering.ledger.types import LedgerConflict, LedgerUnavailable
from metering.store.epoch import Epoch
from metering.store.link import Command, StoreError
from metering.store.store import Store

INTERVAL = 5.0
BATCH = 100
ELECTION = "reaper"


class Intents(Protocol):
    """Knows which requests were sent (`metering.spool.spool`)."""

    home: str

    async def sent(self, rids: Collection[str]) -> set[str]: ...


class Reaper(Background):
    """One process's reaper.

    Attributes:
        orphans: Requests settled as orphans by this process.
        voided: Requests voided because they were never sent.
    """

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        epoch: Epoch,
        *,
        lease_ms: int,
        interval: float = INTERVAL,
        intents: Intents | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._lease_ms = lease_ms
        self._interval = interval
        self._intents = intents
        self._clock = clock
        self._me = secrets.token_hex(8)
        self._not_before = clock() + lease_ms / 1000
        self._epoch = epoch
        self.orphans = 0
        self.voided = 0
        epoch.on_change(self.wait_a_lease)

    async def wait_a_lease(self) -> None:
        """Reap nothing for one lease from now."""
        self._not_before = self._clock() + self._lease_ms / 1000

    async def turn(self) -> bool:
        """Reap everything that is due, if it is time and this process holds the key; return whether it did."""
        if self._clock() < self._not_before:
            return False
        try:
            if not await self._epoch.look() or not await self._elected():
                return False
            while due := await self._due():
                if not await self._reap(due):
                    return True
        except (RedisError, OSError, LedgerUnavailable):
            await self.wait_a_lease()
            return False
        return True

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            await self.turn()

    async def _elected(self) -> bool:
        client = self._store.client
        term = int(self._interval * 3000)
        if await client.set(ELECTION, self._me, nx=True, px=term):
            return True
        if await client.get(ELECTION) != self._me.encode():
            return False
        return bool(await client.pexpire(ELECTION, term))

    async def _due(self) -> list[tuple[int, str, str]]:
        """The requests whose lease has expired, as partition, pid and rid: one page from each partition."""
        seconds, microseconds = await self._store.client.time()
        now = int(seconds) * 1000 + int(microseconds) // 1000
        pipeline: Any = self._store.client.pipeline(transaction=False)
        for p in range(keys.PARTITIONS):
            pipeline.zrangebyscore(f"{keys.tag(p)}due", "-inf", now, start=0, num=BATCH)
        found: list[tuple[int, str, str]] = []
        for p, members in enumerate(await pipeline.execute()):
            for member in members:
                pid, _, rid = member.decode().partition(":")
                found.append((p, pid, rid))
        return found

    async def _reap(self, due: list[tuple[int, str, str]]) -> bool:
        """Reap a page; false if no request of it could be ended."""
        sent = await self._intents.sent([rid for _, _, rid in due]) if self._intents is not None else None
        progress = False
        for p, pid, rid in due:
            home = self._intents.home if self._intents is not None and sent is not None and rid not in sent else ""
            t = keys.tag(p)
            command: Command = ("FCALL", "cgx2_reap", 11, *keys.of_settlement(t, pid, rid), rid, pid, home)
            try:
                fate = await self._ledger.calls.run(p, command)
            except (LedgerConflict, StoreError):
                continue
            progress = progress or fate != b"running"
            self.orphans += fate == b"orphan"
            self.voided += fate == b"voided"
        return progress
