import itertools

import pytest

from metering import keys
from metering.reading.consumer import BillingReader
from metering.store.epoch import Epoch

PIDS = [next(p for p in (f"p{i}" for i in itertools.count()) if keys.partition(p) == k) for k in (0, 9, 255)]


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def epoch(store):
    epoch = Epoch(store)
    await epoch.look()
    return epoch


@pytest.fixture
def join(store, epoch, clock):
    async def join(consumer, **options):
        reader = BillingReader(store, epoch, group="billing", consumer=consumer, clock=clock, **options)
        await reader.open()
        return reader

    return join


def rids(deliveries):
    return [delivery.record.rid for delivery in deliveries]


async def test_records_of_all_partitions_come_once(join, ledger, make_record):
    reader = await join("one")
    await ledger.settle([make_record(f"r{number}", PIDS[number % 3]) for number in range(30)])
    deliveries = await reader.read()
    assert sorted(rids(deliveries)) == sorted(f"r{number}" for number in range(30))
    await reader.ack(deliveries)
    assert await reader.read() == []


async def test_what_was_there_before_the_first_reader_is_delivered(join, ledger, make_record):
    await ledger.settle([make_record("early", PIDS[0])])
    assert rids(await (await join("one")).read()) == ["early"]


async def test_a_restarted_consumer_gets_again_what_it_did_not_book(join, ledger, make_record):
    first = await join("one")
    await ledger.settle([make_record(f"r{number}", PIDS[0]) for number in range(3)])
    deliveries = await first.read()
    await first.ack(deliveries[:1])
    again = await join("one")
    assert rids(await again.read()) == ["r1", "r2"]
    assert await again.read() == []


async def test_two_consumers_share_and_one_takes_over_what_the_other_left(join, ledger, make_record, clock):
    first, second = await join("one", idle_ms=0), await join("two", idle_ms=0)
    await ledger.settle([make_record("r1", PIDS[0])])
    assert rids(await first.read()) == ["r1"]
    assert rids(await second.read()) == ["r1"]  # it stayed away for longer than idle_ms


async def test_a_consumer_that_is_slow_to_book_loses_nothing(join, ledger, make_record, clock):
    reader = await join("one", idle_ms=0)
    await ledger.settle([make_record("r1", PIDS[0])])
    first = await reader.read()
    clock.now += 100
    assert rids(await reader.read()) == ["r1"]  # claimed back from itself, unbooked as it is
    await reader.ack(first)
    clock.now += 100
    assert await reader.read() == []


async def test_a_record_that_nobody_can_book_goes_to_the_dead_letters(join, ledger, store, make_record, clock):
    reader = await join("one", idle_ms=0, most_deliveries=3)
    await ledger.settle([make_record("bad", PIDS[0])])
    times = 0
    while await reader.read():
        times += 1
        clock.now += 100
    assert times == 3
    assert reader.dead == 1
    ((_, entry),) = await store.client.xrange(f"{keys.tag(0)}dead")
    assert (entry[b"why"], entry[b"rid"]) == (b"unbooked", b"bad")


async def test_a_higher_rank_is_delivered_after_a_lower_one(join, ledger, make_record):
    reader = await join("one")
    await ledger.settle([make_record("r1", PIDS[0], rev=0, charge=9)])
    first = await reader.read()
    await reader.ack(first)
    await ledger.settle([make_record("r1", PIDS[0], rev=1, charge=4)])
    assert [(d.record.rev, d.record.charge) for d in await reader.read()] == [(1, 4)]


async def test_after_a_failover_the_overlap_is_read_and_the_known_left_out(join, ledger, store, epoch, make_record):
    reader = await join("one")
    await ledger.settle([make_record(f"r{number}", PIDS[0]) for number in range(3)])
    await reader.ack(await reader.read())
    fresh = await join("two")  # another process of the service, which remembers nothing
    epoch._seen = frozenset()
    await epoch.look()
    assert await reader.read() == []
    await epoch.look()
    fresh._overlap = True
    assert rids(await fresh.read()) == ["r0", "r1", "r2"]


async def test_a_store_that_lost_everything_is_read_from_the_begin(join, ledger, store, make_record):
    reader = await join("one")
    await ledger.settle([make_record("r1", PIDS[0])])
    await reader.ack(await reader.read())
    await store.client.flushall()
    await ledger.settle([make_record("r1", PIDS[0]), make_record("r2", PIDS[1])])
    while not (deliveries := await reader.read()):
        pass
    assert rids(deliveries) == ["r2"]


async def test_records_trimmed_before_they_were_booked_disappear(join, ledger, store, make_record):
    reader = await join("one")
    await ledger.settle([make_record("r1", PIDS[0])])
    await reader.read()
    await store.client.xtrim(keys.usage_stream(0), maxlen=0)
    assert await (await join("one")).read() == []
    assert (await store.client.xpending(keys.usage_stream(0), "billing"))["pending"] == 0


async def test_iterating_waits_for_more(join, ledger, make_record, monkeypatch):
    monkeypatch.setattr("metering.reading.consumer.POLL_SECONDS", 0)
    reader = await join("one")
    await ledger.settle([make_record("r1", PIDS[0])])
    seen = []
    async for delivery in reader:
        seen.append(delivery.record.rid)
        await reader.ack([delivery])
        if len(seen) == 2:
            break
        await ledger.settle([make_record("r2", PIDS[2])])
    assert seen == ["r1", "r2"]


@pytest.mark.parametrize("name", ["", "a b", "x" * 65])
async def test_a_consumers_name_is_an_id(store, epoch, name):
    with pytest.raises(ValueError, match="ids"):
        BillingReader(store, epoch, group="billing", consumer=name)
