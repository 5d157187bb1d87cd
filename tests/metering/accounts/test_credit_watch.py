import asyncio

import pytest

from metering.accounts.credit_watch import CreditWatch, forget, level_key


@pytest.fixture
def told():
    return []


@pytest.fixture
def make(store, ledger, told):
    def make():
        return CreditWatch(
            store,
            ledger,
            low=50,
            on_low=lambda pid, left: told.append(("low", pid, left)),
            on_exhausted=lambda pid, left: told.append(("exhausted", pid, left)),
            gather_seconds=0.001,
        )

    return make


async def test_each_crossing_is_told_once_by_one_of_many(make, ledger, store, make_record, told):
    watches = [make(), make()]
    await ledger.grant("p1", 100, "g")

    async def settle(rid, charge):
        record = make_record(rid, "p1", charge=charge)
        await ledger.settle([record])
        for watch in watches:
            watch.settled(record)
            await watch.look()

    await settle("r1", 40)
    assert told == []
    await settle("r2", 20)
    await settle("r3", 5)
    assert told == [("low", "p1", 40)]
    await settle("r4", 35)
    await settle("r5", 1)
    assert told[1:] == [("exhausted", "p1", 0)]
    await ledger.grant("p1", 100, "g2")
    await settle("r6", 1)  # 98 are left: enough again
    assert await store.client.get(level_key("p1")) is None
    await settle("r7", 60)
    assert told[2:] == [("low", "p1", 38)]


async def test_a_top_up_makes_the_next_crossing_count_again(make, ledger, store, make_record, told):
    watch = make()
    await ledger.grant("p1", 10, "g")
    for rid in ("r1", "r2"):
        record = make_record(rid, "p1", charge=1)
        await ledger.settle([record])
        watch.settled(record)
        await watch.look()
        await forget(store, "p1")
    assert [kind for kind, *_ in told] == ["low", "low"]


async def test_it_looks_by_itself_after_a_settlement(make, ledger, make_record, told):
    watch = make()
    watch.start()
    await ledger.grant("p1", 10, "g")
    await ledger.settle([make_record("r1", "p1", charge=10)])
    watch.settled(make_record("r1", "p1"))
    while not told:
        await asyncio.sleep(0.005)
    await watch.close()
    assert told == [("exhausted", "p1", 0)]
