"""Spool, settler and ledger together, as they come back after a crash, an outage and a failover."""

import asyncio

import pytest

from metering.ledger.ledger import State
from metering.reading.reader import read_usage
from metering.settlement.settler import Settler
from metering.spool.replay import Replay
from metering.spool.spool import Spool
from metering.store.epoch import Epoch

PID = "preplay"


class Gateway:
    """The metering half of one gateway process, which can die."""

    def __init__(self, store, ledger, folder):
        self.spool = Spool(folder)
        self.settler = Settler(ledger, journal=self.spool)
        self.epoch = Epoch(store)
        self.applied = []
        self.replay = Replay(
            self.spool,
            self.settler,
            self.epoch,
            on_erased=self.note,
            on_revoked=self.note,
        )
        self.settler.start()

    async def note(self, *what):
        self.applied.append(what)

    async def die(self):
        """As SIGKILL would: nothing is written any more, the locks are gone."""
        await self.settler.close()
        for segment in (*self.spool._mine, *self.spool._adopted):
            segment.close()
        self.spool._mine, self.spool._adopted = [], []

    async def stop(self):
        await self.settler.close()
        await self.spool.close()


@pytest.fixture
async def start(store, ledger, tmp_path):
    gateways = []

    def start():
        gateways.append(Gateway(store, ledger, tmp_path / "spool"))
        return gateways[-1]

    yield start
    for gateway in gateways:
        await gateway.stop()


async def test_an_acknowledged_settlement_is_not_owed(start, make_record):
    gateway = start()
    gateway.settler.submit(make_record("r1", PID))
    gateway.settler.void(PID, "r2")
    assert await gateway.settler.drain(20)
    assert gateway.spool.owed == 0


async def test_what_a_dead_process_had_written_is_settled_by_another(start, ledger, store, make_record):
    dead = start()
    await dead.settler.close()  # it dies before it can tell the ledger
    for number in range(20):
        dead.settler.submit(make_record(f"r{number}", PID, charge=2))
    dead.settler.void(PID, "v")
    await asyncio.sleep(0)
    await dead.die()

    living = start()
    await living.replay.turn()
    assert living.spool.owed == 21
    assert await living.settler.drain(20)
    assert living.spool.owed == 0
    assert (await ledger.account(PID)).spent == 40
    assert await ledger.record(PID, "v") is State.VOIDED
    assert len([r async for r in read_usage(store)]) == 20


async def test_a_new_epoch_replays_what_was_acknowledged_too(start, ledger, store, make_record):
    gateway = start()
    await gateway.epoch.look()
    for number in range(300):
        gateway.settler.submit(make_record(f"r{number}", PID, charge=1))
    assert await gateway.settler.drain(20)
    await store.client.flushall()  # as if a failover had lost the last seconds
    await gateway.epoch.look()
    await gateway.replay.turn()
    assert await ledger.account(PID) is None  # the same epoch: nothing to do

    gateway.epoch._seen = frozenset()  # what a restart or failover looks like
    await gateway.epoch.look()
    await gateway.replay.turn()
    assert await gateway.settler.drain(20)
    assert (await ledger.account(PID)).spent == 300
    assert len([r async for r in read_usage(store)]) == 300


async def test_replaying_what_was_not_lost_changes_nothing(start, ledger, store, make_record):
    gateway = start()
    gateway.settler.submit(make_record("r1", PID, charge=5))
    assert await gateway.settler.drain(20)
    for _ in range(3):
        await gateway.replay.everything_soon()
        await gateway.replay.turn()
        assert await gateway.settler.drain(20)
    assert (await ledger.account(PID)).spent == 5
    assert len([r async for r in read_usage(store)]) == 1


async def test_erasures_and_revocations_are_applied_again(start):
    gateway = start()
    gateway.spool.erased("p1", ["u:1", "u:2"])
    gateway.spool.revoked("s:9")
    await asyncio.sleep(0)
    await gateway.replay.everything_soon()
    await gateway.replay.turn()
    assert gateway.applied == [("p1", ["u:1", "u:2"]), ("s:9",)]


async def test_nothing_leaves_the_spool_by_its_age_while_the_store_is_away(store, start, make_record):
    gateway = start()
    now = 0.0
    gateway.spool._clock = lambda: now
    await gateway.epoch.look()
    await gateway.spool.intent(PID, "r1")
    gateway.settler.submit(make_record("r1", PID))
    assert await gateway.settler.drain(5)
    (path,) = gateway.spool.paths()
    now = 100_000.0
    gateway.epoch.reachable = False
    await gateway.replay.turn()  # the file is closed by its age, and stays
    assert path in gateway.spool.paths()
    gateway.epoch.reachable = True
    now += 901.0
    while gateway.spool._syncing is not None:  # what is not on the disk yet stays as well
        await asyncio.sleep(0.001)
    await gateway.replay.turn()
    assert path not in gateway.spool.paths()
