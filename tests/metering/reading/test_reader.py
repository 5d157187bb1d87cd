import itertools

import pytest

from metering import keys
from metering.ledger import records
from metering.reading import reader
from metering.reading.positions import positions
from metering.reading.reader import book, read_page, read_usage


def pid_in(partition):
    return next(p for p in (f"p{i}" for i in itertools.count()) if keys.partition(p) == partition)


async def add(store, record, stream_id):
    """An entry with a chosen time, as if it had been settled then."""
    flat = records.encode(record).split("\n")[:-1]
    p = keys.partition(record.pid)
    await store.client.execute_command("XADD", keys.usage_stream(p), stream_id, *flat)
    await store.client.rpush(f"{keys.tag(p)}ids:{record.pid}", stream_id)


async def test_partitions_are_merged_by_the_time_of_acceptance(store, make_record, monkeypatch):
    monkeypatch.setattr(reader, "PAGE", 3)
    pids = [pid_in(p) for p in (0, 1, 7, 255)]
    written = []
    for number in range(40):
        rid = f"r{number:02}"
        await add(store, make_record(rid, pids[(number * number) % 4]), f"{1000 + number // 2}-{number % 2}")
        written.append(rid)
    assert [r.rid async for r in read_usage(store)] == written
    assert [r.rid async for r in read_usage(store, since_ms=1010)] == written[20:]
    mine = [r.rid async for r in read_usage(store, pid=pids[1])]
    assert mine == [f"r{n:02}" for n in range(40) if (n * n) % 4 == 1]


async def test_nothing_at_all(store):
    assert [r async for r in read_usage(store)] == []


async def test_an_account_that_shares_its_partition_sees_its_own_alone(store, ledger, make_record):
    first = pid_in(3)
    second = next(p for p in (f"q{i}" for i in itertools.count()) if keys.partition(p) == 3)
    await ledger.settle([make_record("a", first), make_record("b", second)])
    assert [r.rid async for r in read_usage(store, pid=second)] == ["b"]


async def test_replaced_records_are_left_out_wherever_their_successor_stands(store, ledger, make_record, monkeypatch):
    monkeypatch.setattr(reader, "PAGE", 2)
    pid = pid_in(5)
    for number in range(6):
        await ledger.settle([make_record(f"r{number}", pid, rev=0, charge=1)])
    for number in (0, 1, 2, 3):
        await ledger.settle([make_record(f"r{number}", pid, rev=1, charge=2)])
    found = [(r.rid, r.rev) async for r in read_usage(store)]
    assert found == [("r4", 0), ("r5", 0), ("r0", 1), ("r1", 1), ("r2", 1), ("r3", 1)]


async def test_what_comes_while_reading_is_left_for_the_next_time(store, ledger, make_record, monkeypatch):
    monkeypatch.setattr(reader, "PAGE", 1)
    pid = pid_in(5)
    await ledger.settle([make_record(f"r{number}", pid) for number in range(3)])
    seen = []
    async for record in read_usage(store):
        seen.append(record.rid)
        await ledger.settle([make_record(f"later{len(seen)}", pid)])
    assert seen == ["r0", "r1", "r2"]


async def test_pages_go_through_everything_once(store, make_record, monkeypatch):
    monkeypatch.setattr(reader, "FEW", 2)
    pids = [pid_in(p) for p in (0, 1, 255)]
    for number in range(30):
        await add(store, make_record(f"r{number:02}", pids[number % 3]), f"{1000 + number // 3}-0")
    seen, after = [], ""
    while (page := await read_page(store, after=after, limit=7)).records:
        seen += [r.rid for r in page.records]
        after = page.after
    assert seen == [f"r{number:02}" for number in range(30)]
    assert page.after == after
    assert [r.rid for r in (await read_page(store, after="1009")).records] == ["r27", "r28", "r29"]


async def test_what_another_clock_could_still_precede_is_held_back(store, ledger, make_record):
    await ledger.settle([make_record("now", pid_in(3))])
    assert (await read_page(store)).records == ()


@pytest.mark.parametrize("after", ["x", "1-2", "1-2-3-4", "-1", "1.5", "\u0661"])
async def test_a_place_is_one_of_ours(store, after):
    with pytest.raises(ValueError, match="cursor"):
        await read_page(store, after=after)


async def test_booking_moves_forward_alone(store, make_record):
    pids = [pid_in(p) for p in (0, 1, 255)]
    for number, pid in enumerate(pids):
        await add(store, make_record(f"r{number}", pid), "1000-0")
    page = await read_page(store, limit=2)
    await book(store, "billing", page.after)
    booked = {p.partition: p.booked for p in await positions(store, [0, 1, 255])}
    assert booked == {0: (1000, 0), 1: (1000, 0), 255: (999, 2**64 - 1)}
    await book(store, "billing", "500")
    assert {p.partition: p.booked for p in await positions(store, [0, 1, 255])} == booked
    await book(store, "billing", "1001")
    assert {p.booked for p in await positions(store, [0, 1, 255])} == {(1000, 2**64 - 1)}
