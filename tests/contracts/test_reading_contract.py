"""What a billing service reads is the same on every kind of store, a Cluster of three real nodes among them."""

from __future__ import annotations

import itertools

import pytest

from metering import keys
from metering.accounts.retention import Retention
from metering.reading import reader
from metering.reading.consumer import BillingReader
from metering.reading.positions import floors, positions
from metering.reading.reader import book, read_page, read_usage
from metering.store.epoch import Epoch

PIDS = [next(p for p in (f"p{i}" for i in itertools.count()) if keys.partition(p) == k) for k in (0, 9, 100, 255)]


@pytest.fixture
def settle(ledger, make_record):
    async def settle(*rids, rev=1, charge=5):
        await ledger.settle([make_record(rid, PIDS[int(rid[1:]) % 4], rev=rev, charge=charge) for rid in rids])

    return settle


RIDS = [f"r{number}" for number in range(12)]


async def test_all_partitions_are_read_in_one_order_and_the_highest_rank_stands(store, settle):
    await settle(*RIDS)
    await settle("r3", "r5", rev=2, charge=7)
    found = [record async for record in read_usage(store)]
    assert sorted(record.rid for record in found) == sorted(RIDS)
    assert {record.rid for record in found if record.rev == 2} == {"r3", "r5"}
    assert [record.rid async for record in read_usage(store, pid=PIDS[1])] == ["r1", "r9", "r5"]


async def test_pages_join_without_a_gap_and_what_is_booked_is_noted(store, settle, monkeypatch):
    monkeypatch.setattr(reader, "HORIZON_MS", -1000)
    await settle(*RIDS)
    await book(store, "billing", "")
    assert set(floors(await positions(store, range(keys.PARTITIONS))).values()) == {(0, 0)}
    seen, after = [], ""
    while records := (page := await read_page(store, after=after, limit=5)).records:
        seen += [record.rid for record in records]
        after = page.after
    assert sorted(seen) == sorted(RIDS)
    await book(store, "billing", after)
    await settle("r99")
    late = await read_page(store, after=after)
    assert [record.rid for record in late.records] == ["r99"]


async def test_a_group_delivers_until_it_is_acknowledged_and_retention_waits_for_it(store, ledger, settle):
    epoch = Epoch(store)
    await epoch.look()

    async def join(consumer):
        joined = BillingReader(store, epoch, group="billing", consumer=consumer, idle_ms=0)
        await joined.open()
        return joined

    first = await join("one")
    await settle(*RIDS)
    deliveries = await first.read()
    assert len(deliveries) == 12
    await first.ack(deliveries[:6])
    swept = await Retention(store, ledger, days=-1, longest_days=1).sweep()
    assert 0 < swept.aged <= 6
    taken_over = await (await join("two")).read()
    assert {one.record.rid for one in taken_over} == {one.record.rid for one in deliveries[6:]}
    await (await join("two")).ack(taken_over)
    assert (await Retention(store, ledger, days=-1, longest_days=1).sweep()).aged == 12 - swept.aged
    assert [record async for record in read_usage(store)] == []
