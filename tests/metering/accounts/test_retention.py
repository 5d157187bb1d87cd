import itertools

import pytest

from metering import keys
from metering.accounts.retention import DAY_MS, Retention
from metering.ledger import records
from metering.reading.reader import read_usage

PID = next(p for p in (f"p{i}" for i in itertools.count()) if keys.partition(p) == 3)
STREAM = keys.usage_stream(3)


@pytest.fixture
async def now(store):
    seconds, _ = await store.client.time()
    return seconds * 1000


@pytest.fixture
def aged(store, make_record, now):
    """A record as it would stand there after so many days."""

    async def add(rid, days, pid=PID):
        flat = records.encode(make_record(rid, pid)).split("\n")[:-1]
        name = await store.client.execute_command("XADD", STREAM, f"{now - int(days * DAY_MS)}-*", *flat)
        await store.client.rpush(f"m:{{3}}:ids:{pid}", name)
        return name

    return add


async def test_old_records_go_exactly_and_leave_their_accounts_lists(store, ledger, aged):
    other = next(p for p in (f"q{i}" for i in itertools.count()) if keys.partition(p) == 3)
    for number, days in enumerate((100, 91, 90.5, 89.5, 1)):
        await aged(f"r{number}", days, pid=(PID, other)[number % 2])
    swept = await Retention(store, ledger).sweep()
    assert (swept.aged, swept.unread) == (3, 0)
    assert [r.rid async for r in read_usage(store)] == ["r3", "r4"]
    assert await store.client.llen(f"m:{{3}}:ids:{PID}") == 1
    assert await store.client.llen(f"m:{{3}}:ids:{other}") == 1


async def test_an_empty_store_is_swept_in_a_few_round_trips(store, ledger):
    await Retention(store, ledger).sweep()
    before = (await store.client.info("stats"))["total_reads_processed"]
    await Retention(store, ledger).sweep()
    after = (await store.client.info("stats"))["total_reads_processed"]
    assert after - before < keys.PARTITIONS / 4


async def test_many_pages(store, ledger, aged):
    for number in range(250):
        await aged(f"r{number}", 100)
    assert (await Retention(store, ledger).sweep()).aged == 250
    assert await store.client.exists(f"m:{{3}}:ids:{PID}") == 0


async def test_billing_is_waited_for_but_not_for_ever(store, ledger, aged):
    lags, lost = {}, []
    retention = Retention(store, ledger, on_lag=lags.__setitem__, on_unread=lost.append)
    await aged("ancient", 121)
    name = await aged("old", 95)
    await store.client.xgroup_create(STREAM, "billing", id="0")
    swept = await retention.sweep()
    assert (swept.aged, swept.unread) == (1, 1)
    assert lost == [1]
    assert lags["billing"] > 94 * DAY_MS
    assert [r.rid async for r in read_usage(store)] == ["old"]
    await store.client.xgroup_setid(STREAM, "billing", name)
    lags.clear()
    assert (await retention.sweep()).aged == 1
    assert lags == {}


async def test_a_consumer_that_keeps_up_is_not_called_out(store, ledger, aged):
    lags = {}
    await aged("fresh", 0.5)
    await store.client.xgroup_create(STREAM, "billing", id="0")
    await Retention(store, ledger, on_lag=lags.__setitem__).sweep()
    assert lags == {}


async def test_a_replaced_record_goes_with_its_note(store, ledger, aged, make_record):
    name = await aged("r1", 100)
    await store.client.zadd(keys.replaced(3), {name: 1})
    await Retention(store, ledger).sweep()
    assert await store.client.exists(keys.replaced(3)) == 0


async def test_the_audit_is_kept_for_four_hundred_days(store, ledger, now):
    for days in (401, 399):
        await store.client.xadd("audit", {"actor": "a", "action": "b", "pid": ""}, id=f"{now - days * DAY_MS}-0")
    await Retention(store, ledger).sweep()
    assert await store.client.xlen("audit") == 1
