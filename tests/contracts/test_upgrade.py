"""A rolling upgrade and an emptied primary: gateways of two versions serve on one store, and none needs a hand.

``ledger_before.lua`` is the library of version N-1, as its gateways load it: `PREVIOUS`. A release replaces it with the
text that it ships.
"""

import asyncio
from pathlib import Path

import msgspec
import pytest

from metering import keys
from metering.ledger.calls import LIBRARY, Calls, source
from metering.ledger.ledger import Ledger, LedgerConflict, Limits, Reservation, Reserved, Touched, Verdict
from tests.ledger_fixtures import RaisingLedger

PID = "pupgrade"
BEFORE = Path(__file__).with_name("ledger_before.lua").read_bytes()
PREVIOUS = "codegrex_v1"
PATCHED = source() + b"\n-- A patch release: the same calls, another text.\n"


class PreviousCalls(Calls):
    """The calls of version N-1: its own library and its own function names."""

    async def load(self):
        await self.store.on_primaries("FUNCTION", "LOAD", "REPLACE", BEFORE)
        await self._topology.connect()

    def send(self, p, command):
        return super().send(p, (command[0], str(command[1]).replace("cgx2_", "cgx1_"), *command[2:]))


class PreviousLedger(Ledger):
    """The ledger of version N-1, which knows no worst case."""

    async def reserve(self, r):
        t = keys.tag(p := keys.partition(r.pid))
        reply = await self.calls.run(p, (
            "FCALL", "cgx1_reserve", 7, *(f"{t}{name}" for name in (
                f"acct:{r.pid}", f"holds:{r.pid}", f"lease:{r.pid}", "due", f"req:{r.rid}",
                f"rate:{r.pid}:requests", f"rate:{r.pid}:tokens",
            )),
            r.rid, r.pid, r.amount, r.tokens, r.lease_ms, *msgspec.structs.astuple(r.limits), "",
        ))  # fmt: skip
        return reply[0].decode()

    async def touch(self, pid, rid, *, lease_ms, amount):
        t = keys.tag(p := keys.partition(pid))
        reply = await self.calls.run(p, (
            "FCALL", "cgx1_touch", 5, f"{t}acct:{pid}", f"{t}holds:{pid}", f"{t}lease:{pid}", f"{t}due", f"{t}req:{rid}",
            rid, pid, lease_ms, amount, "", "",
        ))  # fmt: skip
        return reply[0].decode()


class PatchedCalls(Calls):
    """The calls of a patch release: the same names, and each load puts back its own text of the library."""

    async def load(self):
        await self.store.on_primaries("FUNCTION", "LOAD", "REPLACE", PATCHED)
        await self._topology.connect()


class NextCalls(Calls):
    """The calls of version N+1: its own library and its own function names, as rule 5 of ``ledger.lua`` has it."""

    async def load(self):
        text = source().replace(LIBRARY.encode(), b"codegrex_v3").replace(b"cgx2_", b"cgx3_")
        await self.store.on_primaries("FUNCTION", "LOAD", "REPLACE", text)
        await self._topology.connect()

    def send(self, p, command):
        return super().send(p, (command[0], str(command[1]).replace("cgx2_", "cgx3_"), *command[2:]))


async def opened(store, kind, calls):
    ledger = kind(store, timeout=5)
    await ledger.calls.close()
    ledger.calls = calls(store, timeout=5)
    await ledger.load()
    return ledger


@pytest.fixture
async def newer(store):
    ledger = await opened(store, Ledger, NextCalls)
    yield ledger
    await ledger.close()


@pytest.fixture
async def patched(store):
    ledger = await opened(store, RaisingLedger, PatchedCalls)
    yield ledger
    await ledger.close()


@pytest.fixture
async def older(store):
    ledger = await opened(store, PreviousLedger, PreviousCalls)
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


def may(rid, amount, worst):
    return Reservation(rid, PID, amount, 0, 60_000, Limits(), worst=worst, least=1)


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


async def test_a_store_takes_the_changed_text_once(ledger, patched, store):
    assert set(await loaded(store)) == {PATCHED}
    before = await loads(store)
    await ledger.load()
    assert set(await loaded(store)) == {source()}
    once = await loads(store)
    assert once > before
    await ledger.load()
    await ledger.grant(PID, 100, "g")
    assert await loads(store) == once


async def test_gateways_of_two_texts_serve_one_account_while_each_puts_its_own_back(
    ledger, patched, store, new_rid, make_record
):
    await patched.grant(PID, 10_000, "g")
    before, now = [new_rid() for _ in range(10)], [new_rid() for _ in range(10)]
    assert all(
        isinstance(answer, Reserved) for answer in await asyncio.gather(*(map(patched.reserve, map(asks, before))))
    )
    await ledger.load()
    assert all(isinstance(answer, Reserved) for answer in await asyncio.gather(*(map(ledger.reserve, map(asks, now)))))
    await patched.load()  # a host of the fleet with the other text starts again
    assert await ledger.touch(PID, now[0], lease_ms=60_000, amount=20) is Touched.HELD
    await ledger.load()
    assert await patched.touch(PID, before[0], lease_ms=60_000, amount=20) is Touched.HELD
    assert await ledger.account(PID) == await patched.account(PID)
    assert (await ledger.account(PID)).held == 220
    limits = Limits(requests_per_minute=60, concurrent=40, daily=5_000)
    assert [(window.policy, window.remaining) for window in await ledger.limits(PID, limits)] == [
        (window.policy, window.remaining) for window in await patched.limits(PID, limits)
    ]
    verdicts = [
        *await ledger.settle_each([make_record(rid, PID, charge=3) for rid in before]),
        *await patched.settle_each([make_record(rid, PID, charge=3) for rid in now]),
    ]
    assert set(verdicts) == {Verdict.SETTLED}
    account = await ledger.account(PID)
    assert (account.spent, account.held) == (60, 0)


async def test_a_gateway_of_the_new_text_serves_where_only_the_other_one_is_loaded(
    ledger, patched, new_rid, make_record
):
    await ledger.load()
    await patched.load()  # this version's calls find every function, so they do not load again
    await ledger.grant(PID, 1_000, "g")
    rid = new_rid()
    assert isinstance(await ledger.reserve(asks(rid)), Reserved)
    assert await ledger.touch(PID, rid, lease_ms=60_000, amount=20) is Touched.HELD
    assert await ledger.settle_each([make_record(rid, PID, charge=3)]) == [Verdict.SETTLED]
    assert (await ledger.record(PID, rid)).charge == 3


async def test_the_previous_version_reads_what_the_new_one_holds_and_the_reverse(
    ledger, older, store, new_rid, make_record
):
    await ledger.grant(PID, 100, "g")
    one, two, three, four = (new_rid() for _ in range(4))
    assert await older.reserve(asks(one)) == "ok"
    assert (await ledger.reserve(may(two, 10, 60))).most == 60
    assert (await ledger.account(PID)).held == (await older.account(PID)).held == 20
    limits = Limits(daily=1_000)
    assert [window.remaining for window in await ledger.limits(PID, limits)] == [
        window.remaining for window in await older.limits(PID, limits)
    ]
    # What the previous version holds may cost more than it says: it is taken for what it may cost.
    assert (await ledger.reserve(may(three, 10, 60))).most == 30
    assert await older.reserve(asks(four)) == "ok"
    assert await older.touch(PID, one, lease_ms=60_000, amount=15) == "ok"
    assert await ledger.touch(PID, two, lease_ms=60_000, amount=20) is Touched.HELD
    libraries = {bytes(library[1]) for found in await store.on_primaries("FUNCTION", "LIST") for library in found}
    assert {LIBRARY.encode(), PREVIOUS.encode()} <= libraries
    # A gateway of either version ends the other's requests: by a replay from its spool, or as the reaper.
    assert await older.settle_each([make_record(rid, PID, charge=3) for rid in (two, three)]) == [Verdict.SETTLED] * 2
    assert await ledger.settle_each([make_record(rid, PID, charge=3) for rid in (one, four)]) == [Verdict.SETTLED] * 2
    account = await older.account(PID)
    assert (account.spent, account.held) == (12, 0)


async def test_what_the_previous_version_reserved_is_voided_by_the_new_one(ledger, older, new_rid):
    await ledger.grant(PID, 1_000, "g")
    rid = new_rid()
    assert await older.reserve(asks(rid)) == "ok"
    with pytest.raises(LedgerConflict):  # other arguments: a rid belongs to the gateway that drew it
        await ledger.reserve(asks(rid))
    await ledger.void(PID, rid)
    assert (await older.account(PID)).held == 0
