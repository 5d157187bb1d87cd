"""Delivers usage records to a billing service in Python, each at least once.

Rules:

1. A consumer group keeps the cursor. A record that was delivered and not acknowledged is delivered again: to the same
   consumer after a restart, to another one if the consumer stays away (`idle_ms`).
2. A record that was delivered too often without being acknowledged goes to the dead letters, so that
   one bad record cannot block the others.
3. After a new epoch of the store the last 15 minutes are read again, because the gateways replay what a failover lost
   under new stream ids.
4. A record that was acknowledged through this reader, with this or a higher ``rev``, is not delivered
   again. This memory is bounded and local to the reader: the service must still book by ``rid``, and replace a lower
   ``rev``.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import ResponseError

from metering import keys
from metering.ledger import records
from metering.reading.positions import format_id, parse_id
from metering.store.epoch import Epoch
from metering.store.store import Store
from metering.usage import UsageRecord

OVERLAP_MS = 15 * 60 * 1000
IDLE_MS = 60_000
MOST_DELIVERIES = 10
PAGE = 100
POLL_SECONDS = 0.5
REMEMBERED = 100_000


@dataclass(frozen=True, slots=True)
class Delivery:
    """A record, and what `BillingReader.ack` needs to acknowledge it."""

    record: UsageRecord
    partition: int
    name: bytes


class BillingReader:
    """One consumer of a group. Call `open` first; then `read` and `ack`, or iterate and `ack`."""

    def __init__(
        self,
        store: Store,
        epoch: Epoch,
        *,
        group: str,
        consumer: str,
        idle_ms: int = IDLE_MS,
        most_deliveries: int = MOST_DELIVERIES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not (keys.is_id(group) and keys.is_id(consumer)):
            raise ValueError("group and consumer are ids of letters, digits, - and _")
        self._client: Any = store.client
        self._group = group
        self._consumer = consumer
        self._idle_ms = idle_ms
        self._most = most_deliveries
        self._clock = clock
        self._claim_at = clock()
        self._booked: OrderedDict[str, int] = OrderedDict()
        self._history: dict[int, str] = dict.fromkeys(range(keys.PARTITIONS), "0")
        self._overlap = False
        self.dead = 0
        epoch.on_change(self._new_epoch)

    async def open(self) -> None:
        """Create the group at the start of the stream, in every partition that lacks it."""
        pipeline = self._client.pipeline(transaction=False)
        for p in range(keys.PARTITIONS):
            pipeline.xgroup_create(keys.usage_stream(p), self._group, id="0", mkstream=True)
        for reply in await pipeline.execute(raise_on_error=False):
            if isinstance(reply, Exception) and not str(reply).startswith("BUSYGROUP"):
                raise reply

    async def read(self) -> list[Delivery]:
        """The records to book next; empty if there are none. Raises redis-py's errors."""
        if self._overlap:
            await self._go_back()
            self._overlap = False
        while self._history:  # what this consumer was given before it restarted
            found = await self._given(self._history)
            last = {p: name.decode() for p, name, _ in found}
            self._history = {p: last[p] for p in self._history if p in last}
            if fresh := await self._fresh(found):
                return fresh
        if self._clock() >= self._claim_at:
            self._claim_at = self._clock() + self._idle_ms / 2000
            if fresh := await self._fresh(await self._claimed()):
                return fresh
        return await self._fresh(await self._given(dict.fromkeys(range(keys.PARTITIONS), ">")))

    async def ack(self, deliveries: Iterable[Delivery]) -> None:
        """Acknowledge records that are booked durably; they are not delivered again."""
        by_partition: dict[int, list[bytes]] = {}
        for delivery in deliveries:
            by_partition.setdefault(delivery.partition, []).append(delivery.name)
            rid, rev = delivery.record.rid, delivery.record.rev
            self._booked[rid] = max(rev, self._booked.pop(rid, -1))
        while len(self._booked) > REMEMBERED:
            self._booked.popitem(last=False)
        if not by_partition:
            return
        pipeline = self._client.pipeline(transaction=False)
        for p, names in by_partition.items():
            pipeline.xack(keys.usage_stream(p), self._group, *names)
        await pipeline.execute()

    async def __aiter__(self) -> AsyncIterator[Delivery]:
        """Yield every delivery, without end; wait while there is none. The caller must `ack` each."""
        while True:
            deliveries = await self.read()
            for delivery in deliveries:
                yield delivery
            if not deliveries:
                await asyncio.sleep(POLL_SECONDS)

    async def _new_epoch(self) -> None:
        self._overlap = True

    async def _given(self, starts: Mapping[int, str]) -> list[tuple[int, bytes, dict[bytes, bytes]]]:
        pipeline = self._client.pipeline(transaction=False)
        for p, start in starts.items():
            pipeline.xreadgroup(self._group, self._consumer, {keys.usage_stream(p): start}, count=PAGE)
        found: list[tuple[int, bytes, dict[bytes, bytes]]] = []
        for p, reply in zip(starts, await pipeline.execute(raise_on_error=False), strict=True):
            if isinstance(reply, ResponseError) and str(reply).startswith("NOGROUP"):
                await self.open()  # the store lost the stream: the next read starts over
            elif isinstance(reply, Exception):
                raise reply
            elif reply:
                entries = next(iter(reply.values()))[0] if isinstance(reply, dict) else reply[0][1]
                found.extend((p, name, fields) for name, fields in entries)
        return found

    async def _claimed(self) -> list[tuple[int, bytes, dict[bytes, bytes]]]:
        """Claim records that other consumers did not acknowledge; move those that were delivered too often to the dead
        letters.
        """
        pipeline = self._client.pipeline(transaction=False)
        for p in range(keys.PARTITIONS):
            pipeline.xautoclaim(
                keys.usage_stream(p), self._group, self._consumer, min_idle_time=self._idle_ms, count=PAGE
            )
        found: list[tuple[int, bytes, dict[bytes, bytes]]] = []
        for p, reply in enumerate(await pipeline.execute()):
            for name, fields in reply[1]:
                if fields and await self._deliveries(p, name) > self._most:
                    await self._put_aside(p, name, fields)
                else:
                    found.append((p, name, fields))
        return found

    async def _deliveries(self, p: int, name: bytes) -> int:
        pending = await self._client.xpending_range(keys.usage_stream(p), self._group, name, name, 1)
        return int(pending[0]["times_delivered"]) if pending else 0

    async def _put_aside(self, p: int, name: bytes, fields: dict[bytes, bytes]) -> None:
        pipeline = self._client.pipeline(transaction=False)
        pipeline.xadd(f"{keys.tag(p)}dead", {b"why": b"unbooked", **fields})
        pipeline.xack(keys.usage_stream(p), self._group, name)
        await pipeline.execute()
        self.dead += 1

    async def _fresh(self, found: Sequence[tuple[int, bytes, dict[bytes, bytes]]]) -> list[Delivery]:
        """The records that this reader does not know as booked, oldest first; the others are acknowledged."""
        deliveries: list[Delivery] = []
        stale: list[tuple[int, bytes]] = []
        for p, name, fields in sorted(found, key=lambda item: (parse_id(item[1]), item[0])):
            if not fields:  # trimmed meanwhile
                stale.append((p, name))
                continue
            record = records.decode(fields)
            if self._booked.get(record.rid, -1) >= record.rev:
                stale.append((p, name))
            else:
                deliveries.append(Delivery(record, p, name))
        if stale:
            pipeline = self._client.pipeline(transaction=False)
            for p, name in stale:
                pipeline.xack(keys.usage_stream(p), self._group, name)
            await pipeline.execute()
        return deliveries

    async def _go_back(self) -> None:
        """Move the group's cursor back by the overlap, in every partition."""
        await self.open()
        pipeline = self._client.pipeline(transaction=False)
        for p in range(keys.PARTITIONS):
            pipeline.xinfo_groups(keys.usage_stream(p))
        replies = await pipeline.execute()
        pipeline = self._client.pipeline(transaction=False)
        for p, groups in enumerate(replies):
            for group in groups:
                milliseconds, _ = parse_id(group["last-delivered-id"])
                if group["name"].decode() == self._group and milliseconds:
                    start = format_id((max(0, milliseconds - OVERLAP_MS), 0))
                    pipeline.xgroup_setid(keys.usage_stream(p), self._group, id=start)
        await pipeline.execute()
