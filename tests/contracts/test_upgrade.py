"""A rolling upgrade and an emptied primary: gateways of two versions serve on one store, and none needs a hand.

``ledger_before.lua`` is the library's text as gateways before this version load it, under the same name. A release
replaces it with the text that it ships.
"""

import asyncio
from pathlib import Path

import pytest

from metering.ledger.calls import LIBRARY, Calls, source
from metering.ledger.ledger import Ledger, Limits, Reservation, Reserved, Touched, Verdict

PID = "pupgrade"
BEFORE = Path(__file__).with_name("ledger_before.lua").read_bytes()


class PreviousCalls(Calls):
    """The calls of version N-1: the same names, and each load puts back its own text of the library."""

    async def load(self):
        await self.store.on_primaries("FUNCTION", "LOAD", "REPLACE", BEFORE)
        await self._topology.connect()


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


@pytest.fixture
async def older(store):
    ledger = Ledger(store, timeout=5)
    await ledger.calls.close()
    ledger.calls = PreviousCalls(store, timeout=5)
    await ledger.load()
    yield ledger
    await ledger.close()


async def loaded(store):
    """The library's text on each primary."""
    listed = await store.on_primaries("FUNCTION", "LIST", "LIBRARYNAME", LIBRARY, "WITHCODE")
    return [_text(library) for libraries in listed for library in libraries]


def _text(library):
    fields = library if isinstance(library, dict) else dict(zip(library[::2], library[1::2], strict=True))
    return fields.get(b"library_code", fields.get("library_code"))


async def loads(store):
    """How often a library was loaded, on all primaries together."""
    found = await store.on_primaries("INFO", "commandstats")
    return sum(int(stats.get("cmdstat_function|load", {"calls": 0})["calls"]) for stats in found)


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


async def test_a_store_takes_the_changed_text_once(ledger, older, store):
    assert set(await loaded(store)) == {BEFORE}
    before = await loads(store)
    await ledger.load()
    assert set(await loaded(store)) == {source()}
    once = await loads(store)
    assert once > before
    await ledger.load()
    await ledger.grant(PID, 100, "g")
    assert await loads(store) == once


async def test_gateways_of_two_texts_serve_one_account_while_each_puts_its_own_back(
    ledger, older, store, new_rid, make_record
):
    await older.grant(PID, 10_000, "g")
    before, now = [new_rid() for _ in range(10)], [new_rid() for _ in range(10)]
    assert all(
        isinstance(answer, Reserved) for answer in await asyncio.gather(*(map(older.reserve, map(asks, before))))
    )
    await ledger.load()  # a host of the fleet has the new version
    assert all(isinstance(answer, Reserved) for answer in await asyncio.gather(*(map(ledger.reserve, map(asks, now)))))
    await older.load()  # another host of the old version starts again
    assert await ledger.touch(PID, now[0], lease_ms=60_000, amount=20) is Touched.HELD
    await ledger.load()
    assert await older.touch(PID, before[0], lease_ms=60_000, amount=20) is Touched.HELD
    assert await ledger.account(PID) == await older.account(PID)
    assert (await ledger.account(PID)).held == 220
    limits = Limits(requests_per_minute=60, concurrent=40, daily=5_000)
    assert [(window.policy, window.remaining) for window in await ledger.limits(PID, limits)] == [
        (window.policy, window.remaining) for window in await older.limits(PID, limits)
    ]
    verdicts = [
        *await ledger.settle_each([make_record(rid, PID, charge=3) for rid in before]),
        *await older.settle_each([make_record(rid, PID, charge=3) for rid in now]),
    ]
    assert set(verdicts) == {Verdict.SETTLED}
    account = await ledger.account(PID)
    assert (account.spent, account.held) == (60, 0)


async def test_a_gateway_of_the_new_text_serves_where_only_the_old_one_is_loaded(ledger, older, new_rid, make_record):
    await ledger.load()
    await older.load()  # the new version's calls find every function, so they do not load again
    await ledger.grant(PID, 1_000, "g")
    rid = new_rid()
    assert isinstance(await ledger.reserve(asks(rid)), Reserved)
    assert await ledger.touch(PID, rid, lease_ms=60_000, amount=20) is Touched.HELD
    assert await ledger.settle_each([make_record(rid, PID, charge=3)]) == [Verdict.SETTLED]
    assert (await ledger.record(PID, rid)).charge == 3
