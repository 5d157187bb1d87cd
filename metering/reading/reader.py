"""Reads usage records, oldest first, over all 256 partitions.

Rules:

1. Records are ordered by the time at which the ledger accepted them (the stream id), not by ``settled_ms``.
   A settlement that is replayed after an outage appears when it arrived, so a reader
   that has already passed its ``settled_ms`` still gets it.
2. Of the records of one rid, only the one with the highest ``rev`` is returned. The ledger notes which
   entries were replaced, so the reader keeps no state.
3. An entry that is written after a reading started is left for the next reading.
"""

from __future__ import annotations

import heapq
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from metering import keys
from metering.ledger import records
from metering.numbers import whole_number
from metering.reading.positions import NOTHING, StreamId, before, format_id, parse_id, positions
from metering.store.store import Store
from metering.usage import UsageRecord

PAGE = 200
FEW = 16  # entries of each partition that one page over HTTP may look at in one round trip
HORIZON_MS = 2000
GIVEN = "given"  # sorted set: service -> Unix milliseconds of the latest cursor that it was given
Entry = tuple[bytes, dict[bytes, bytes]]
Cursor = tuple[StreamId, int]  # an entry's id and its partition: a position in the merged order


class NotGiven(Exception):
    """The cursor is after every page that the service was given, so the service cannot have booked up to it."""


@dataclass(slots=True)
class _PartitionReading:
    """The progress of reading one partition."""

    partition: int
    start: str
    end: str
    replaced: frozenset[bytes]
    size: int
    page: list[Entry] = field(default_factory=list)
    at: int = 0
    done: bool = False

    def take(self, page: Sequence[Entry]) -> None:
        self.done = len(page) < self.size
        self.page = [entry for entry in page if entry[0] not in self.replaced]
        self.at = 0
        if page:
            self.start = "(" + page[-1][0].decode()

    @property
    def current(self) -> Entry | None:
        return self.page[self.at] if self.at < len(self.page) else None


@dataclass(frozen=True, slots=True)
class Page:
    """Some records, oldest first.

    ``after`` is the cursor of the next page, and the argument of `book`. No record of the page is later than
    ``reached_ms``.
    """

    records: tuple[UsageRecord, ...]
    after: str
    reached_ms: int


async def read_usage(
    store: Store, *, pid: str | None = None, since_ms: int | None = None
) -> AsyncIterator[UsageRecord]:
    """Every usage record (of one account), oldest first.

    ``since_ms``: only records that the ledger accepted at or after this Unix time in milliseconds.
    Raises redis-py's errors when the store goes away.
    """
    if pid is None:
        starts = dict.fromkeys(range(keys.PARTITIONS), f"{since_ms or 0}-0")
        async for _, fields in _merged(store, starts, PAGE):
            yield records.decode(fields)
        return
    async for fields in _of_account(store, pid, since_ms or 0):
        yield records.decode(fields)


async def _of_account(store: Store, pid: str, since_ms: int) -> AsyncIterator[dict[bytes, bytes]]:
    """An account's entries by its list of ids, without reading those of other accounts in the partition."""
    p = keys.partition(pid)
    names: list[Any] = await store.client.lrange(f"{keys.tag(p)}ids:{pid}", 0, -1)
    due = [name for name in names if parse_id(name)[0] >= since_ms]
    for at in range(0, len(due), PAGE):
        page = due[at : at + PAGE]
        pipeline: Any = store.client.pipeline(transaction=False)
        pipeline.zmscore(keys.replaced(p), page)
        for name in page:
            pipeline.xrange(keys.usage_stream(p), name, name)
        replaced, *entries = await pipeline.execute()
        for score, found in zip(replaced, entries, strict=True):
            if score is None and found:
                yield found[0][1]


async def read_page(store: Store, *, after: str = "", limit: int = 500) -> Page:
    """Up to ``limit`` records after a cursor, for readers that keep their own.

    ``after`` is the cursor of an earlier page, a Unix time in milliseconds, or empty for the start.
    The last two seconds are left out: a record could still be added before them by the clock of another node.

    Raises:
        ValueError: ``after`` is none of these.
    """
    cursor = parse_cursor(after)
    starts = {p: _start(cursor, p) for p in range(keys.PARTITIONS)}
    seconds, microseconds = await store.client.time()
    horizon = int(seconds) * 1000 + int(microseconds) // 1000 - HORIZON_MS
    found: list[UsageRecord] = []
    async for (position, p), fields in _merged(store, starts, FEW, until_ms=horizon):
        found.append(records.decode(fields))
        cursor = (position, p)
        if len(found) >= limit:
            break
    return Page(tuple(found), format_cursor(cursor) if found else after, min(cursor[0][0], horizon))


async def note_given(store: Store, service: str, page: Page) -> None:
    """Note that a service gets this page: it may book up to the page's end, or up to the cursor that it sent."""
    client: Any = store.client
    await client.zadd(GIVEN, {service: page.reached_ms}, gt=True)


async def check_given(store: Store, service: str, after: str) -> None:
    """Check that a service may book up to this cursor. A service that never reads may book what any service was given.

    Raises:
        NotGiven: It was never given a page that reaches this cursor.
        ValueError: ``after`` is not a cursor.
    """
    (reached, _), _ = parse_cursor(after)
    client: Any = store.client
    given = await client.zscore(GIVEN, service)
    if given is None:
        furthest = await client.zrange(GIVEN, -1, -1, withscores=True)
        given = furthest[0][1] if furthest else 0
    if reached > given:
        raise NotGiven


async def book(store: Store, group: str, after: str) -> None:
    """Note that the billing consumer ``group`` has booked everything up to this cursor.

    Retention and erasure wait for it (`metering.reading.positions`). A cursor before the current one changes nothing.
    Raises ValueError if ``after`` is not a cursor.
    """
    cursor = parse_cursor(after)
    known = {
        position.partition: position.booked
        for position in await positions(store, range(keys.PARTITIONS))
        if position.group == group
    }
    pipeline: Any = store.client.pipeline(transaction=False)
    for p in range(keys.PARTITIONS):
        position = cursor[0] if p <= cursor[1] else before(cursor[0])
        if p not in known:
            pipeline.xgroup_create(keys.usage_stream(p), group, id=format_id(position), mkstream=True)
        elif position > known[p]:
            pipeline.xgroup_setid(keys.usage_stream(p), group, id=format_id(position))
    await pipeline.execute()


def parse_cursor(text: str) -> Cursor:
    """Read ``ms-sequence-partition``, ``ms`` or an empty text as a cursor in the merged order."""
    match [whole_number(part) for part in text.split("-")] if text else [0]:
        case [int(milliseconds)]:
            return (milliseconds, 0), -1
        case [int(milliseconds), int(sequence), int(partition)] if partition < keys.PARTITIONS:
            return (milliseconds, sequence), partition
    raise ValueError("a cursor is what a page gave, or Unix milliseconds")


def format_cursor(cursor: Cursor) -> str:
    return f"{format_id(cursor[0])}-{cursor[1]}"


def _start(cursor: Cursor, p: int) -> str:
    """The first stream id of a partition after ``cursor``. Entries with the same id are ordered by partition."""
    return f"({format_id(cursor[0])}" if p <= cursor[1] else format_id(cursor[0])


async def _merged(
    store: Store, starts: Mapping[int, str], size: int, *, until_ms: int | None = None
) -> AsyncIterator[tuple[Cursor, dict[bytes, bytes]]]:
    """The entries of several partitions, merged into one order, without the replaced ones."""
    readings = await _begin(store, starts, size, until_ms)
    heap: list[Cursor] = []
    await _turn(store, [reading for reading in readings.values() if not reading.done])
    for reading in readings.values():
        await _advance(store, reading, heap)
    while heap:
        cursor = heapq.heappop(heap)
        reading = readings[cursor[1]]
        fields = reading.page[reading.at][1]
        reading.at += 1
        yield cursor, fields
        await _advance(store, reading, heap)


async def _begin(
    store: Store, starts: Mapping[int, str], size: int, until_ms: int | None
) -> dict[int, _PartitionReading]:
    """The current end of each partition's stream, and its replaced entries."""
    pipeline: Any = store.client.pipeline(transaction=False)
    for p in starts:
        pipeline.xrevrange(keys.usage_stream(p), count=1)
        pipeline.zrange(keys.replaced(p), 0, -1)
    replies = await pipeline.execute()
    readings: dict[int, _PartitionReading] = {}
    for (p, start), newest, replaced in zip(starts.items(), replies[::2], replies[1::2], strict=True):
        end = parse_id(newest[0][0]) if newest else NOTHING
        if until_ms is not None:
            end = min(end, (until_ms, 0))
        readings[p] = _PartitionReading(p, start, format_id(end), frozenset(replaced), size, done=not newest)
    return readings


async def _turn(store: Store, readings: Sequence[_PartitionReading]) -> None:
    """Read the next page of each partition, with one round trip for each node."""
    if not readings:
        return
    pipeline: Any = store.client.pipeline(transaction=False)
    for reading in readings:
        pipeline.xrange(keys.usage_stream(reading.partition), reading.start, reading.end, count=reading.size)
    for reading, page in zip(readings, await pipeline.execute(), strict=True):
        reading.take(page)


async def _advance(store: Store, reading: _PartitionReading, heap: list[Cursor]) -> None:
    """Put a partition's next entry on the heap; read its next page first if this one is used up."""
    while reading.current is None and not reading.done:
        await _turn(store, [reading])
    if reading.current is not None:
        heapq.heappush(heap, (parse_id(reading.current[0]), reading.partition))
