import asyncio

import pytest
from redis.exceptions import ConnectionError as Away

from metering.accounts.retention import Retention
from metering.accounts.sweeper import ELECTION, Sweeper

DAY = 86_400_000


@pytest.fixture
def make(store, ledger):
    def make(**options):
        return Sweeper(store, Retention(store, ledger), **options)

    return make


async def test_one_of_many_sweeps_in_an_interval(make, store):
    swept, idle = [], []
    one, two = make(on_swept=swept.append), make(on_swept=swept.append, on_idle=lambda: idle.append(2))
    assert [await one.turn(), await two.turn(), await one.turn()] == [True, False, False]
    assert (len(swept), idle) == (1, [2])
    assert 3_500_000 < await store.client.pttl(ELECTION) <= 3_600_000
    await store.client.delete(ELECTION)  # the interval is over
    assert await two.turn()


async def test_a_sweep_that_fails_is_told_and_tried_again_by_anyone(make):
    failures, broken = [], True

    async def also():
        if broken:
            raise Away

    one = make(also=also, on_failure=failures.append)
    assert not await one.turn()
    assert [type(error) for error in failures] == [Away]
    broken = False
    assert await make().turn()


async def test_it_deletes_what_is_past_its_days(store, ledger, make_record):
    await ledger.grant("p1", 100, "g")
    await ledger.settle([make_record("r1", "p1")])
    deleted = []
    sweeper = Sweeper(store, Retention(store, ledger, days=-1), on_swept=lambda swept: deleted.append(swept.aged))
    sweeper.start()
    while not deleted:
        await asyncio.sleep(0.005)
    await sweeper.close()
    assert deleted == [1]
