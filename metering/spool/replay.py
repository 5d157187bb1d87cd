"""Replays the spool into the ledger after a crash, an outage or a failover.

Rules:

1. The files of a dead process are adopted and replayed as soon as they are found.
2. A new epoch of the store replays everything that is still kept, acknowledged or not: the store may
   have lost it.
3. Nothing expires from the spool while the store is away.
4. Replaying waits while the settler's queue is long.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from redis.exceptions import RedisError

from metering.background import Background
from metering.ledger import records
from metering.ledger.types import LedgerUnavailable
from metering.settlement.settler import Settler
from metering.spool import frames
from metering.spool.spool import Spool
from metering.store.epoch import Epoch

INTERVAL = 2.0
MOST_PENDING = 200
PAUSE = 0.01

Erased = Callable[[str, Sequence[str]], Awaitable[None]]
Revoked = Callable[[str], Awaitable[None]]


class Replay(Background):
    """One process's replay of its spool.

    ``on_erased`` and ``on_revoked`` apply an erasure or a revocation again. They must be idempotent, and may raise
    when the store is away; then they are called again at the next turn.
    """

    def __init__(
        self,
        spool: Spool,
        settler: Settler,
        epoch: Epoch,
        *,
        interval: float = INTERVAL,
        on_erased: Erased | None = None,
        on_revoked: Revoked | None = None,
    ) -> None:
        self._spool = spool
        self._settler = settler
        self._epoch = epoch
        self._interval = interval
        self._on_erased = on_erased
        self._on_revoked = on_revoked
        self._again = asyncio.Event()
        self._unapplied: list[tuple[bytes, str]] = []  # the store was away
        self.replayed = 0
        epoch.on_change(self.everything_soon)

    async def everything_soon(self) -> None:
        """Replay everything that is kept at the next turn."""
        self._again.set()

    async def turn(self) -> None:
        """Rotate and adopt files (`Spool.tidy`), and replay what is due."""
        everything = self._again.is_set()
        self._again.clear()
        if not self._epoch.reachable:
            self._spool.stay()
        unapplied, self._unapplied = self._unapplied, []
        for kind, text in unapplied:
            await self._apply(kind, text)
        adopted = await self._spool.tidy()
        for path in self._spool.paths() if everything else adopted:
            await self._replay(path)

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(OSError):  # the disk fails; the spool refuses requests meanwhile
                await self.turn()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._interval):
                    await self._again.wait()

    async def _replay(self, path: Path) -> None:
        try:
            data = await asyncio.to_thread(path.read_bytes)
        except FileNotFoundError:
            return
        for kind, text in frames.frames(data):
            while self._settler.pending > MOST_PENDING:  # noqa: ASYNC110 - a level, not an event
                await asyncio.sleep(PAUSE)
            await self._apply(kind, text)

    async def _apply(self, kind: bytes, text: str) -> None:
        if kind == frames.SETTLED:
            self._settler.repeat(records.parse(text))
        elif kind == frames.VOIDED:
            pid, _, rid = text.partition(" ")
            self._settler.repeat_void(pid, rid)
        elif kind != frames.INTENT and not await self._again_in_store(kind, text):
            return
        self.replayed += kind != frames.INTENT

    async def _again_in_store(self, kind: bytes, text: str) -> bool:
        """Apply an erasure or a revocation again; return whether it was applied."""
        try:
            if kind == frames.ERASED and self._on_erased is not None:
                pid, *names = text.split(" ")
                await self._on_erased(pid, names)
                return True
            if kind == frames.REVOKED and self._on_revoked is not None:
                await self._on_revoked(text)
                return True
        except (RedisError, LedgerUnavailable, OSError):
            self._unapplied.append((kind, text))
        return False
