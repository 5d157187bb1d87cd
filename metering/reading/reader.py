"""Reads usage records, oldest first, over all 256 partitions.

Rules:

1. The order is the time at which the ledger accepted a record (its stream id), not ``settled_ms``:
   a settlement replayed after an outage appears when it arrived, so that a reader never misses one
   behind its back.
2. Of the records of one rid only the one with the highest ``rev`` is given. The ledger notes which
   entries were replaced, so nothing has to be remembered while reading.
3. What is written after the reading began is left for the next reading.
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
GIVEN = "given"  # sorted set: a service -> Unix milliseconds of the furthest place that it was given
Entry = tuple[bytes, dict[bytes, bytes]]
Place = tuple[StreamId, int]


class NotGiven(Exception):
    """A place that lies beyond everything that a service was given: it cannot have booked that."""


@dataclass(slots=True)
class _Cursor:
    """Where the reading of one partition stands."""

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

    ``after`` leads to the next page, and is what `book` takes. ``reached_ms``: nothing later was given with it.
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
    """An account's own entries by its list of ids: the partition's other accounts cost nothing."""
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
    """Up to ``limit`` records behind ``after``, for readers that keep their own place.

    ``after`` is a place from an earlier page, a Unix time in milliseconds, or empty for the begin.
    The last two seconds are left out: another node's clock could still put a record before them.

    Raises:
        ValueError: ``after`` is none of these.
    """
    place = parse_place(after)
    starts = {p: _start(place, p) for p in range(keys.PARTITIONS)}
    seconds, microseconds = await store.client.time()
    horizon = int(seconds) * 1000 + int(microseconds) // 1000 - HORIZON_MS
    found: list[UsageRecord] = []
    async for (position, p), fields in _merged(store, starts, FEW, until_ms=horizon):
        found.append(records.decode(fields))
        place = (position, p)
        if len(found) >= limit:
            break
    return Page(tuple(found), format_place(place) if found else after, min(place[0][0], horizon))


async def note_given(store: Store, service: str, page: Page) -> None:
    """A service gets this page: it may book up to there. What it asked to read behind counts as given, too."""
    client: Any = store.client
    await client.zadd(GIVEN, {service: page.reached_ms}, gt=True)


async def check_given(store: Store, service: str, after: str) -> None:
    """Whether a service may book up to this place; one that only books, what any service was given.

    Raises:
        NotGiven: It was never given anything that late.
        ValueError: ``after`` is no place.
    """
    (reached, _), _ = parse_place(after)
    client: Any = store.client
    given = await client.zscore(GIVEN, service)
    if given is None:
        furthest = await client.zrange(GIVEN, -1, -1, withscores=True)
        given = furthest[0][1] if furthest else 0
    if reached > given:
        raise NotGiven


async def book(store: Store, group: str, after: str) -> None:
    """Note that the billing consumer ``group`` has booked everything up to this place.

    Retention and erasure wait for it (`metering.reading.positions`). A place further back changes nothing.
    Raises ValueError for a place that is none.
    """
    place = parse_place(after)
    known = {
        position.partition: position.booked
        for position in await positions(store, range(keys.PARTITIONS))
        if position.group == group
    }
    pipeline: Any = store.client.pipeline(transaction=False)
    for p in range(keys.PARTITIONS):
        position = place[0] if p <= place[1] else before(place[0])
        if p not in known:
            pipeline.xgroup_create(keys.usage_stream(p), group, id=format_id(position), mkstream=True)
        elif position > known[p]:
            pipeline.xgroup_setid(keys.usage_stream(p), group, id=format_id(position))
    await pipeline.execute()


def parse_place(text: str) -> Place:
    """``ms-sequence-partition``, ``ms`` or nothing, as a place in the merged order."""
    match [whole_number(part) for part in text.split("-")] if text else [0]:
        case [int(milliseconds)]:
            return (milliseconds, 0), -1
        case [int(milliseconds), int(sequence), int(partition)] if partition < keys.PARTITIONS:
            return (milliseconds, sequence), partition
    raise ValueError("a place is milliseconds, or what a page gave")


def format_place(place: Place) -> str:
    return f"{format_id(place[0])}-{place[1]}"


def _start(place: Place, p: int) -> str:
    """Where a partition's entries behind ``place`` begin: those of one id are ordered by partition."""
    return f"({format_id(place[0])}" if p <= place[1] else format_id(place[0])


async def _merged(
    store: Store, starts: Mapping[int, str], size: int, *, until_ms: int | None = None
) -> AsyncIterator[tuple[Place, dict[bytes, bytes]]]:
    """The entries of several partitions in one order, without the replaced ones."""
    cursors = await _begin(store, starts, size, until_ms)
    heap: list[Place] = []
    await _turn(store, [cursor for cursor in cursors.values() if not cursor.done])
    for cursor in cursors.values():
        await _advance(store, cursor, heap)
    while heap:
        place = heapq.heappop(heap)
        cursor = cursors[place[1]]
        fields = cursor.page[cursor.at][1]
        cursor.at += 1
        yield place, fields
        await _advance(store, cursor, heap)


async def _begin(store: Store, starts: Mapping[int, str], size: int, until_ms: int | None) -> dict[int, _Cursor]:
    """Where each partition's stream ends now, and which of its entries were replaced."""
    pipeline: Any = store.client.pipeline(transaction=False)
    for p in starts:
        pipeline.xrevrange(keys.usage_stream(p), count=1)
        pipeline.zrange(keys.replaced(p), 0, -1)
    replies = await pipeline.execute()
    cursors: dict[int, _Cursor] = {}
    for (p, start), newest, replaced in zip(starts.items(), replies[::2], replies[1::2], strict=True):
        end = parse_id(newest[0][0]) if newest else NOTHING
        if until_ms is not None:
            end = min(end, (until_ms, 0))
        cursors[p] = _Cursor(p, start, format_id(end), frozenset(replaced), size, done=not newest)
    return cursors


async def _turn(store: Store, cursors: Sequence[_Cursor]) -> None:
    """The next page of each, in one round trip a node."""
    if not cursors:
        return
    pipeline: Any = store.client.pipeline(transaction=False)
    for cursor in cursors:
        pipeline.xrange(keys.usage_stream(cursor.partition), cursor.start, cursor.end, count=cursor.size)
    for cursor, page in zip(cursors, await pipeline.execute(), strict=True):
        cursor.take(page)


async def _advance(store: Store, cursor: _Cursor, heap: list[Place]) -> None:
    """Put the cursor's next entry on the heap, reading on where its page is used up."""
    while cursor.current is None and not cursor.done:
        await _turn(store, [cursor])
    if cursor.current is not None:
        heapq.heappush(heap, (parse_id(cursor.current[0]), cursor.partition))
