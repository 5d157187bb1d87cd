"""Runs retention hourly, in one of several processes.

Rules:

1. The process that sets the ``sweeper`` key, which lasts for one interval, sweeps; the others find it set.
2. A sweep that fails deletes the key, so that the next turn, here or elsewhere, tries again.
3. A turn never raises: ``on_failure`` is told what went wrong, and the next turn follows.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable

from redis.exceptions import RedisError

from metering.accounts.retention import Retention, Swept
from metering.background import Background
from metering.ledger.ledger import LedgerConflict, LedgerUnavailable
from metering.store.link import StoreError
from metering.store.store import Store

INTERVAL = 3600.0
TURN_SECONDS = 60.0
ELECTION = "sweeper"


class Sweeper(Background):
    """One process's sweeper.

    ``also`` is awaited before each sweep (it finishes erasures in progress); ``on_swept`` is told what a sweep did,
    ``on_idle`` that another process sweeps. ``interval`` is seconds between sweeps, ``turn_seconds`` between turns.
    """

    def __init__(
        self,
        store: Store,
        retention: Retention,
        *,
        interval: float = INTERVAL,
        turn_seconds: float = TURN_SECONDS,
        also: Callable[[], Awaitable[object]] | None = None,
        on_swept: Callable[[Swept], None] | None = None,
        on_idle: Callable[[], None] | None = None,
        on_failure: Callable[[Exception], None] | None = None,
    ) -> None:
        self._client = store.client
        self._retention = retention
        self._interval = interval
        self._turn_seconds = turn_seconds
        self._also = also
        self._on_swept = on_swept
        self._on_idle = on_idle
        self._on_failure = on_failure
        self._me = secrets.token_hex(8)

    async def turn(self) -> bool:
        """Sweep if it is time and no other process does; return whether this one did."""
        try:
            if not await self._client.set(ELECTION, self._me, nx=True, px=int(self._interval * 1000)):
                if self._on_idle is not None and await self._client.get(ELECTION) != self._me.encode():
                    self._on_idle()
                return False
        except (RedisError, OSError):
            return False
        try:
            if self._also is not None:
                await self._also()
            swept = await self._retention.sweep()
        except (RedisError, OSError, LedgerUnavailable, LedgerConflict, StoreError) as error:
            if self._on_failure is not None:
                self._on_failure(error)
            with contextlib.suppress(RedisError, OSError):
                if await self._client.get(ELECTION) == self._me.encode():
                    await self._client.delete(ELECTION)
            return False
        if self._on_swept is not None:
            self._on_swept(swept)
        return True

    async def _run(self) -> None:
        while True:
            await self.turn()
            await asyncio.sleep(self._turn_seconds)
