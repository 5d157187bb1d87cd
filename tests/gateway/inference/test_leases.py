"""The timer of running requests, on the real ledger: what is touched, what is raised, what is ended."""

import asyncio

import pytest

from gateway.errors import CreditsExhausted, TokenRevoked
from gateway.inference.leases import Leases
from metering.ledger.ledger import Limits, Reservation, Touch, Touched
from metering.store.embedded import Embedded
from metering.store.store import open_store
from metering.usage import Outcome
from tests.ledger_fixtures import RaisingLedger

PID = "pleases"


class Held:
    """A request that holds 20 and asks for ``wants`` when it is touched."""

    def __init__(self, rid, wants=0):
        self.rid, self.wants = rid, wants
        self.touched = 0
        self.rises = 0
        self.stopped = asyncio.get_running_loop().create_future()

    def touch(self):
        assert self.rid, "it has ended"
        self.touched += 1
        return Touch(PID, self.rid, 60_000, self.wants)

    def granted(self, standing):
        self.rises += standing.touched is Touched.HELD
        self.most = standing.most

    def stop(self, error, outcome):
        self.stopped.set_result((error, outcome))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("leases")
    user = asyncio.run(Embedded.attach(folder))
    yield folder
    asyncio.run(user.detach())


@pytest.fixture
async def ledger(folder):
    store = await open_store("embedded:", data_dir=folder)
    await store.client.flushall()
    ledger = RaisingLedger(store, timeout=5)
    await ledger.load()
    await ledger.grant(PID, 100, "g")
    yield ledger
    await ledger.close()
    await store.close()


@pytest.fixture
async def leases(ledger):
    leases = Leases(asyncio.get_running_loop(), ledger, every=0.0, turn=0.001)
    yield leases
    await leases.close()


async def reserve(ledger, leases, rid, wants=0):
    await ledger.reserve(Reservation(rid, PID, 20, 0, 1_000, Limits()))
    held = Held(rid, wants)
    leases.begin(held, held)
    return held


async def until(condition):
    while not condition():
        await asyncio.sleep(0.001)


async def test_a_running_request_is_touched_again_and_again_and_an_ended_one_no_more(ledger, leases):
    held = await reserve(ledger, leases, "r1")
    leases.start()
    await until(lambda: held.touched > 3)
    leases.end(held)
    assert len(leases) == 0
    seen = held.touched
    other = await reserve(ledger, leases, "r2")
    await until(lambda: other.touched > 3)
    assert held.touched == seen


async def test_one_that_is_not_due_yet_is_left_alone(ledger):
    leases = Leases(asyncio.get_running_loop(), ledger, every=3600.0, turn=0.001)
    held = await reserve(ledger, leases, "r1")
    leases.start()
    await asyncio.sleep(0.02)
    assert held.touched == 0
    await leases.close()


async def test_one_that_outgrows_what_it_may_cost_is_touched_at_once_and_once(ledger):
    leases = Leases(asyncio.get_running_loop(), ledger, every=3600.0, turn=3600.0)
    first, second = await reserve(ledger, leases, "r1", wants=30), await reserve(ledger, leases, "r2", wants=40)
    for held in (first, first, second):
        leases.hurry(held)
    await until(lambda: first.rises and second.rises)
    leases.hurry(first)  # while nobody is being touched, and while somebody is
    await until(lambda: first.rises > 1)
    assert (first.touched, second.touched) == (2, 1)
    leases.end(second)
    leases.hurry(second)
    leases.hurry(first)
    await until(lambda: first.rises > 2)
    assert second.touched == 1
    await leases.close()


async def test_one_that_ends_after_it_was_found_due_keeps_no_other_from_being_touched(ledger):
    leases = Leases(asyncio.get_running_loop(), ledger, every=3600.0, turn=3600.0)
    first, second = await reserve(ledger, leases, "r1", wants=30), await reserve(ledger, leases, "r2", wants=40)
    for held in (first, second):
        leases.hurry(held)
    await asyncio.sleep(0)  # both are due, and what touches them has not run
    leases.end(first)
    first.rid = ""
    await until(lambda: second.rises)
    assert first.touched == 0
    await leases.close()


async def test_a_growing_answer_raises_its_hold(ledger, leases):
    held = await reserve(ledger, leases, "r1", wants=70)
    await leases.touch([held])
    assert (held.rises, held.most) == (1, 70)
    assert (await ledger.account(PID)).held == 70


async def test_an_answer_that_the_account_cannot_pay_ends(ledger, leases):
    first, second = await reserve(ledger, leases, "r1", wants=30), await reserve(ledger, leases, "r2", wants=90)
    await leases.touch([first, second])
    error, outcome = await second.stopped
    assert isinstance(error, CreditsExhausted)
    assert (error.needed, error.held, error.available) == (90, 50, 50)
    assert outcome is Outcome.CREDITS_EXHAUSTED
    assert second.most == 70  # all that the account has beside the 30 of the first
    assert not first.stopped.done()
    assert (await ledger.account(PID)).held == 50


async def test_a_request_of_an_account_that_is_gone_ends(ledger, leases):
    held = await reserve(ledger, leases, "r1")
    await ledger.void(PID, "r1")
    await leases.touch([held])
    error, outcome = await held.stopped
    assert isinstance(error, TokenRevoked)
    assert outcome is Outcome.REVOKED


async def test_what_ended_while_it_was_touched_is_not_stopped(ledger, leases):
    held = await reserve(ledger, leases, "r1", wants=500)
    async with asyncio.TaskGroup() as group:
        group.create_task(leases.touch([held]))
        await asyncio.sleep(0)
        leases.end(held)
    assert not held.stopped.done()
