"""Notices that an account's credit is low or exhausted, and tells it once for each crossing of the mark.

Rules:

1. `settled` is synchronous and cheap; the account is looked at a moment later, off the path, many in one
   round trip.
2. The watched amount is granted - spent. Holds change with each request and would cross the mark back and forth.
3. The level that was last told is in the store (``m:{p}:level:<pid>``), so that only one process of
   several tells it. A watch that can't reach the store tells nothing; the next settlement looks again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from redis.exceptions import RedisError

from metering import keys
from metering.background import Background
from metering.clock import DAY_SECONDS
from metering.ledger.ledger import Account, Ledger, LedgerConflict, LedgerUnavailable
from metering.store.link import StoreError
from metering.store.store import Store
from metering.usage import UsageRecord

GATHER_SECONDS = 0.5
KEEP_SECONDS = 90 * DAY_SECONDS
ENOUGH, LOW, OUT = 0, 1, 2
Tell = Callable[[str, int], None]


def level_key(pid: str) -> str:
    return f"{keys.tag(keys.partition(pid))}level:{pid}"


class CreditWatch(Background):
    """``low`` is the mark in micro-credits; the callbacks take the pid and what is left (may be negative)."""

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        *,
        low: int,
        on_low: Tell,
        on_exhausted: Tell,
        gather_seconds: float = GATHER_SECONDS,
    ) -> None:
        self._client: Any = store.client
        self._ledger = ledger
        self._low = low
        self._on_low = on_low
        self._on_exhausted = on_exhausted
        self._gather = gather_seconds
        self._pids: set[str] = set()
        self._wake = asyncio.Event()

    def settled(self, record: UsageRecord) -> None:
        """A settlement was accepted."""
        self._pids.add(record.pid)
        self._wake.set()

    async def look(self) -> None:
        """Look at the accounts that settled since the last time; tell of those that crossed."""
        pids, self._pids = self._pids, set()
        self._wake.clear()
        try:
            found = await asyncio.gather(*map(self._ledger.account, pids))
            accounts = [account for account in found if account is not None]
            pipeline = self._client.pipeline(transaction=False)
            for account in accounts:
                name, level = level_key(account.pid), self._level(account)
                if level:
                    pipeline.set(name, level, ex=KEEP_SECONDS, get=True)
                else:
                    pipeline.getdel(name)
            before = await pipeline.execute() if accounts else []
        except (RedisError, OSError, LedgerUnavailable, LedgerConflict, StoreError):
            return
        for account, told in zip(accounts, before, strict=True):
            level = self._level(account)
            if level > int(told or ENOUGH):
                (self._on_exhausted if level == OUT else self._on_low)(account.pid, account.granted - account.spent)

    def _level(self, account: Account) -> int:
        left = account.granted - account.spent
        if left <= 0:
            return OUT
        return LOW if left < self._low else ENOUGH

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            await asyncio.sleep(self._gather)
            await self.look()


async def forget(store: Store, pid: str) -> None:
    """Forget the level that was told: the account was erased or topped up."""
    await store.client.delete(level_key(pid))
