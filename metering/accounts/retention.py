"""Deletes what may no longer be kept: old records, and the records of erased accounts.

Rules:

1. A record is deleted exactly after ``days``, but not before every billing consumer has booked it.
2. That wait is bounded: after ``longest_days`` a record is deleted unread. `on_unread` is told how many.
3. A consumer that lags by more than a day is reported at every sweep (`on_lag`).
4. Records of an erased account are deleted as soon as they are booked; the charge of each is added to its day's
   total, which is linked to nobody.
5. A reader of records may keep something about an account until its last record is booked, and hands over a
   `Forgetter` for it. The forgetter is called each time after booked records of an erased account were deleted, and
   decides itself whether the remaining ones still need what it keeps.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from metering import keys
from metering.clock import DAY_MS
from metering.ledger.ledger import Ledger
from metering.reading.positions import EVERYTHING, StreamId, floors, format_id, parse_id, positions
from metering.store.store import Store

PAGE = 100
AUDIT_DAYS = 400
Forgetter = Callable[[str], Awaitable[object]]  # deletes what another part holds about a pid; idempotent


@dataclass(slots=True)
class Swept:
    """How many records one sweep deleted: by age, of erased accounts, and unread by billing."""

    aged: int = 0
    erased: int = 0
    unread: int = 0


class Retention:
    """Deletes what is due. One process calls it hourly (`metering.accounts.sweeper`), and every erasure does.

    ``consumers`` are the forgetters of those who read records.
    """

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        *,
        days: int = 90,
        longest_days: int = 120,
        consumers: Sequence[Forgetter] = (),
        on_lag: Callable[[str, int], None] | None = None,
        on_unread: Callable[[int], None] | None = None,
    ) -> None:
        self._store = store
        self._client: Any = store.client
        self._ledger = ledger
        self._days = days
        self._longest_days = max(days, longest_days)
        self._consumers = consumers
        self._on_lag = on_lag
        self._on_unread = on_unread

    async def sweep(self) -> Swept:
        """Delete everything that is due, in all partitions.

        Raises redis-py's errors and `LedgerUnavailable` when the store is away; what was deleted before stays deleted.
        """
        swept = Swept()
        now = await self._now()
        found = await positions(self._store, range(keys.PARTITIONS))
        floor = floors(found)
        await self._call_out(now, [(position.group, position.partition, position.booked) for position in found])
        for p in await self._occupied():
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

    async def _occupied(self) -> list[int]:
        """The partitions that hold records or erasures: of a small store few do, and none else has to be visited."""
        pipeline: Any = self._client.pipeline(transaction=False)
        for p in range(keys.PARTITIONS):
            pipeline.xlen(keys.usage_stream(p))
            pipeline.scard(f"{keys.tag(p)}erasures")
        found = await pipeline.execute()
        return [p for p in range(keys.PARTITIONS) if found[2 * p] or found[2 * p + 1]]

    async def _now(self) -> int:
        seconds, microseconds = await self._client.time()
        return int(seconds) * 1000 + int(microseconds) // 1000

    async def _call_out(self, now: int, booked: Sequence[tuple[str, int, StreamId]]) -> None:
        """Report the age of the oldest record that a group has not booked, if it is more than a day."""
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
                for forget in self._consumers:
                    await forget(pid)
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
