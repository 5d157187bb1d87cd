import os
import signal

import pytest

from metering import keys
from metering.ledger.ledger import Limits, Refused, Reservation, Reserved, State, Touched
from metering.reading.reader import read_usage
from metering.settlement.reaper import Reaper
from metering.store.epoch import Epoch

PID = "preaper"
LEASE = 60.0


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


class Intents:
    home = "home1"

    def __init__(self, *rids):
        self.rids = set(rids)

    async def sent(self, rids):
        return self.rids & set(rids)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def reaper(store, ledger, clock):
    epoch = Epoch(store)
    await epoch.look()
    reaper = Reaper(store, ledger, epoch, lease_ms=int(LEASE * 1000), clock=clock)
    clock.now += LEASE
    await ledger.grant(PID, 100, "g")
    return reaper


def dead(rid, make_record, charge=7, lease_ms=0):
    orphan = None if charge is None else make_record(rid, PID, charge=charge, in_uncached=3)
    return Reservation(rid, PID, 20, 9, lease_ms, Limits(), orphan)


async def test_a_lease_that_ran_out_is_settled_as_its_checkpoint(reaper, ledger, store, make_record):
    await ledger.reserve(dead("r1", make_record))
    assert await reaper.turn()
    (record,) = [r async for r in read_usage(store)]
    assert (record.rev, record.basis, record.outcome) == (0, "orphan", "lost")
    assert (record.charge, record.in_uncached, record.model) == (7, 3, "model-a")
    account = await ledger.account(PID)
    assert (account.spent, account.held) == (7, 0)
    assert reaper.orphans == 1


async def test_a_touch_moves_the_checkpoint_and_the_lease(reaper, ledger, store, make_record):
    await ledger.reserve(dead("r1", make_record))
    better = make_record("r1", PID, charge=11, out_visible=5)
    assert await ledger.touch(PID, "r1", lease_ms=60_000, amount=30, checkpoint=better) is Touched.HELD
    assert (await ledger.account(PID)).held == 30
    await reaper.turn()
    assert await ledger.record(PID, "r1") is State.PENDING
    await ledger.touch(PID, "r1", lease_ms=0)
    await reaper.turn()
    assert (await ledger.record(PID, "r1")).charge == 11


async def test_a_touch_that_the_account_cannot_pay_extends_the_lease_alone(reaper, ledger, make_record):
    await ledger.reserve(dead("r1", make_record))
    assert await ledger.touch(PID, "r1", lease_ms=60_000, amount=101) is Touched.CREDITS
    assert (await ledger.account(PID)).held == 20
    await reaper.turn()
    assert await ledger.record(PID, "r1") is State.PENDING


async def test_a_touch_makes_a_lost_hold_again_and_never_after_the_end(reaper, ledger, make_record):
    assert await ledger.touch(PID, "lost", lease_ms=60_000, amount=15) is Touched.HELD
    assert (await ledger.account(PID)).held == 15
    await ledger.settle([make_record("lost", PID, charge=1)])
    assert await ledger.touch(PID, "lost", lease_ms=60_000, amount=15) is Touched.GONE
    assert (await ledger.account(PID)).held == 0


async def test_a_late_settlement_replaces_the_orphan(reaper, ledger, store, make_record):
    await ledger.reserve(dead("r1", make_record))
    await reaper.turn()
    assert await ledger.touch(PID, "r1", lease_ms=60_000) is Touched.HELD  # it was alive after all
    await ledger.settle([make_record("r1", PID, charge=2)])
    (record,) = [r async for r in read_usage(store)]
    assert (record.rev, record.charge) == (1, 2)
    assert (await ledger.account(PID)).spent == 2


async def test_a_running_lease_is_left_alone_even_when_asked(reaper, ledger, make_record):
    await ledger.reserve(dead("r1", make_record, lease_ms=60_000))
    assert not await reaper._reap([(keys.partition(PID), PID, "r1")])
    assert await ledger.record(PID, "r1") is State.PENDING


async def test_what_was_never_sent_is_voided(store, make_record, clock):
    from metering.ledger.ledger import Ledger

    ledger = Ledger(store, timeout=5, home="home1")
    elsewhere = Ledger(store, timeout=5, home="home2")
    await ledger.load()
    await elsewhere.load()
    await ledger.grant(PID, 100, "g")
    epoch = Epoch(store)
    await epoch.look()
    reaper = Reaper(store, ledger, epoch, lease_ms=0, intents=Intents("sent"), clock=clock)
    await ledger.reserve(dead("sent", make_record))
    await ledger.reserve(dead("unsent", make_record))
    await elsewhere.reserve(dead("foreign", make_record))  # another host's spool would know
    assert await reaper.turn()
    assert await ledger.record(PID, "unsent") is State.VOIDED
    assert sorted([r.rid async for r in read_usage(store)]) == ["foreign", "sent"]
    assert (reaper.orphans, reaper.voided) == (2, 1)
    await ledger.close()
    await elsewhere.close()


async def test_without_a_checkpoint_nothing_is_charged(reaper, ledger, make_record):
    await ledger.reserve(dead("r1", make_record, charge=None))
    await reaper.turn()
    assert await ledger.record(PID, "r1") is State.VOIDED
    assert (await ledger.account(PID)).available == 100


async def test_more_than_a_page_is_reaped_in_one_turn(reaper, ledger, store, make_record):
    await ledger.grant(PID, 100_000, "more")
    for number in range(250):
        await ledger.reserve(dead(f"r{number}", make_record, charge=1))
    await reaper.turn()
    assert (await ledger.account(PID)).held == 0
    assert reaper.orphans == 250


async def test_nobody_reaps_before_a_full_lease(store, ledger, make_record, clock):
    epoch = Epoch(store)
    await epoch.look()
    reaper = Reaper(store, ledger, epoch, lease_ms=60_000, clock=clock)
    await ledger.grant(PID, 100, "g")
    await ledger.reserve(dead("r1", make_record))
    clock.now += 59
    assert not await reaper.turn()
    clock.now += 1
    epoch._seen = frozenset()  # a failover
    assert not await reaper.turn()
    clock.now += 59
    assert not await reaper.turn()
    assert await ledger.record(PID, "r1") is State.PENDING
    clock.now += 1
    assert await reaper.turn()
    assert (await ledger.record(PID, "r1")).rev == 0


async def test_an_outage_starts_the_lease_again(store, ledger, make_record, clock):
    epoch = Epoch(store, interval=0.02)
    await epoch.look()
    reaper = Reaper(store, ledger, epoch, lease_ms=60_000, clock=clock)
    clock.now += 60
    pid = (await store.client.info("server"))["process_id"]
    os.kill(pid, signal.SIGSTOP)
    try:
        assert not await reaper.turn()
    finally:
        os.kill(pid, signal.SIGCONT)
    while not epoch.reachable:
        assert not await reaper.turn()
    clock.now += 59
    assert not await reaper.turn()
    clock.now += 1
    assert await reaper.turn()


async def test_one_of_many_reaps(store, ledger, clock):
    epoch = Epoch(store)
    await epoch.look()
    reapers = [Reaper(store, ledger, epoch, lease_ms=0, clock=clock) for _ in range(3)]
    assert [await reaper.turn() for reaper in reapers] == [True, False, False]
    assert [await reaper.turn() for reaper in reapers] == [True, False, False]
    await store.client.delete("reaper")  # the holder died and its term ran out
    assert [await reaper.turn() for reaper in reversed(reapers)] == [True, False, False]


async def test_an_orphan_is_charged_even_beyond_what_is_left(reaper, ledger, make_record):
    await ledger.reserve(dead("r1", make_record, charge=150))
    await reaper.turn()
    assert (await ledger.account(PID)).available == -50
    refused = await ledger.reserve(dead("r2", make_record))
    assert isinstance(refused, Refused)
    await ledger.grant(PID, 100, "more")
    assert isinstance(await ledger.reserve(dead("r2", make_record)), Reserved)
