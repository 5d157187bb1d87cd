"""Deletes what may no longer be kept: old records, and the records of erased accounts.

Rules:

1. A record goes after ``days``, exactly, but not before every billing consumer has booked it.
2. That wait has an end: after ``longest_days`` it goes unread. `on_unread` says how many.
3. A consumer that lags by more than a day is called out at every sweep (`on_lag`).
4. Records of erased accounts go as soon as they are booked; of each, the charge joins its day's
   total, which is linked to nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from metering import keys
from metering.clock import DAY_MS
from metering.ledger.ledger import Ledger
from metering.reading.positions import EVERYTHING, StreamId, floors, format_id, parse_id, positions
from metering.store.store import Store
from metering.stripe import customers as stripe_customers

PAGE = 100
AUDIT_DAYS = 400


@dataclass(slots=True)
class Swept:
    """What one sweep did: records deleted by age, of erased accounts, and never read by billing."""

    aged: int = 0
    erased: int = 0
    unread: int = 0


class Retention:
    """The sweeper; to be called hourly by one process (the one that reaps) and after an erasure."""

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        *,
        days: int = 90,
        longest_days: int = 120,
        on_lag: Callable[[str, int], None] | None = None,
        on_unread: Callable[[int], None] | None = None,
    ) -> None:
        self._store = store
        self._client: Any = store.client
        self._ledger = ledger
        self._days = days
        self._longest_days = max(days, longest_days)
        self._on_lag = on_lag
        self._on_unread = on_unread

    async def sweep(self) -> Swept:
        """Delete everything that is due, in all partitions.

        Raises redis-py's errors and `LedgerUnavailable` when the store is away; what was deleted by
        then is deleted.
        """
        swept = Swept()
        now = await self._now()
        found = await positions(self._store, range(keys.PARTITIONS))
        floor = floors(found)
        await self._call_out(now, [(position.group, position.partition, position.booked) for position in found])
        for p in range(keys.PARTITIONS):
            booked = floor.get(p, EVERYTHING)
            await self._trim(p, min(booked, (now - self._days * DAY_MS, 0)), swept)
            unread = swept.aged
            await self._trim(p, (now - self._longest_days * DAY_MS, 0), swept)
            swept.unread += swept.aged - unread
            await self._forget_all(p, booked, swept)
        await self._client.xtrim("audit", minid=str(now - AUDIT_DAYS * DAY_MS), approximate=False)
        if swept.unread and self._on_unread is not None:
            self._on_unread(swept.unread)
        return swept

    async def forget(self, pid: str) -> Swept:
        """Delete what billing has booked of one erased account. Raises as `sweep`."""
        swept = Swept()
        p = keys.partition(pid)
        floor = floors(await positions(self._store, [p]))
        await self._forget(p, pid, floor.get(p, EVERYTHING), swept)
        return swept

    async def _now(self) -> int:
        seconds, microseconds = await self._client.time()
        return int(seconds) * 1000 + int(microseconds) // 1000

    async def _call_out(self, now: int, booked: Sequence[tuple[str, int, StreamId]]) -> None:
        """Tell of each group how old the oldest record is that it has not booked, if over a day."""
        pipeline: Any = self._client.pipeline(transaction=False)
        for _, p, position in booked:
            pipeline.xrange(keys.usage_stream(p), f"({format_id(position)}", "+", count=1)
        worst: dict[str, int] = {}
        for (group, _, _), entries in zip(booked, await pipeline.execute() if booked else [], strict=True):
            if entries:
                age = now - parse_id(entries[0][0])[0]
                worst[group] = max(worst.get(group, 0), age)
        for group, age in worst.items():
            if age > DAY_MS and self._on_lag is not None:
                self._on_lag(group, age)

    async def _trim(self, p: int, newest: StreamId, swept: Swept) -> None:
        """Delete the records of a partition up to and including ``newest``."""
        t = keys.tag(p)
        while True:
            entries = await self._client.xrange(keys.usage_stream(p), "-", format_id(newest), count=PAGE)
            if not entries:
                return
            pids = sorted({fields[b"pid"].decode() for _, fields in entries if b"pid" in fields})
            names = [keys.usage_stream(p), keys.replaced(p), *(f"{t}ids:{pid}" for pid in pids)]
            ids = [name for name, _ in entries]
            await self._ledger.calls.run(p, ("FCALL", "cgx2_trim", len(names), *names, ids[-1], *ids))
            swept.aged += len(ids)

    async def _forget_all(self, p: int, booked: StreamId, swept: Swept) -> None:
        for pid in await self._client.smembers(f"{keys.tag(p)}erasures"):
            await self._forget(p, pid.decode(), booked, swept)

    async def _forget(self, p: int, pid: str, booked: StreamId, swept: Swept) -> None:
        t = keys.tag(p)
        waiting = f"{t}erase:{pid}"
        while True:
            ids = await self._client.lrange(waiting, 0, PAGE - 1)
            due = [name for name in ids if parse_id(name) <= booked]
            if not due:
                await stripe_customers.forget(self._store, pid)
                return
            pipeline: Any = self._client.pipeline(transaction=False)
            for name in due:
                pipeline.xrange(keys.usage_stream(p), name, name)
            rids = [entries[0][1][b"rid"].decode() if entries else "none" for entries in await pipeline.execute()]
            names = [
                keys.usage_stream(p),
                keys.replaced(p),
                f"{t}unlinked",
                waiting,
                f"{t}erasures",
                *(f"{t}req:{rid}" for rid in rids),
            ]
            await self._ledger.calls.run(p, ("FCALL", "cgx2_forget", len(names), *names, pid, *due))
            swept.erased += len(due)
