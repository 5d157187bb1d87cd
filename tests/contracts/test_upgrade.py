"""A rolling upgrade and an emptied primary: gateways of two versions serve on one store, and none needs a hand."""

import asyncio

import pytest

from metering.ledger.calls import LIBRARY, Calls, source
from metering.ledger.ledger import Ledger, Limits, Reservation, Reserved, Verdict

PID = "pupgrade"


class NextCalls(Calls):
    """The calls of version N+1: its own library and its own function names, as rule 5 of ``ledger.lua`` has it."""

    async def load(self):
        text = source().replace(LIBRARY.encode(), b"codegrex_v2").replace(b"cgx1_", b"cgx2_")
        await self.store.on_primaries("FUNCTION", "LOAD", "REPLACE", text)
        await self._topology.connect()

    def send(self, p, command):
        return super().send(p, (command[0], str(command[1]).replace("cgx1_", "cgx2_"), *command[2:]))


@pytest.fixture
async def newer(store):
    ledger = Ledger(store, timeout=5)
    await ledger.calls.close()
    ledger.calls = NextCalls(store, timeout=5)
    await ledger.load()
    yield ledger
    await ledger.close()


def asks(rid):
    return Reservation(rid, PID, 10, 0, 60_000, Limits())


async def test_requests_that_one_version_reserved_are_settled_by_the_other(ledger, newer, new_rid, make_record):
    await ledger.grant(PID, 1_000, "g")
    old = [new_rid() for _ in range(20)]
    new = [new_rid() for _ in range(20)]
    reserved = await asyncio.gather(
        *(ledger.reserve(asks(rid)) for rid in old), *(newer.reserve(asks(rid)) for rid in new)
    )
    assert all(isinstance(answer, Reserved) for answer in reserved)
    both = await asyncio.gather(
        newer.settle_each([make_record(rid, PID, charge=3) for rid in old]),
        ledger.settle_each([make_record(rid, PID, charge=3) for rid in new]),
    )
    assert {verdict for verdicts in both for verdict in verdicts} == {Verdict.SETTLED}
    account = await newer.account(PID)
    assert (account.spent, account.held) == (120, 0)
    assert account == await ledger.account(PID)


async def test_the_older_version_goes_on_after_the_newer_has_loaded_and_the_reverse(ledger, newer):
    await ledger.grant(PID, 100, "g")
    await newer.load()
    await ledger.load()
    assert (await ledger.account(PID)).granted == (await newer.account(PID)).granted == 100


async def test_a_store_whose_functions_are_gone_gets_them_at_the_next_call(ledger, store, new_rid, make_record):
    await ledger.grant(PID, 100, "g")
    rid = new_rid()
    await store.on_primaries("FUNCTION", "FLUSH")
    assert isinstance(await ledger.reserve(asks(rid)), Reserved)
    await store.on_primaries("FUNCTION", "FLUSH")
    assert await ledger.settle_each([make_record(rid, PID, charge=3)]) == [Verdict.SETTLED]
    await store.on_primaries("FUNCTION", "FLUSH")
    assert (await ledger.account(PID)).spent == 3


async def test_many_calls_that_miss_the_functions_at_once_all_succeed(ledger, store, new_rid):
    await ledger.grant(PID, 10_000, "g")
    await store.on_primaries("FUNCTION", "FLUSH")
    answers = await asyncio.gather(*(ledger.reserve(asks(new_rid())) for _ in range(50)))
    assert all(isinstance(answer, Reserved) for answer in answers)
