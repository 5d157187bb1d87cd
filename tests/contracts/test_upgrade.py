"""A rolling upgrade and an emptied primary: gateways of two versions serve on one store, and none needs a hand.

``ledger_before.lua`` is the library of version N-1, as its gateways load it: `PREVIOUS`. A release replaces it with the
text that it ships. ``ledger_earlier.lua`` is an earlier text of this version's library: the same functions and keys.
"""

import asyncio
import os
import random
from pathlib import Path

import msgspec
import pytest

from metering import keys
from metering.ledger.calls import LIBRARY, Calls, source
from metering.ledger.ledger import (
    Account,
    Ledger,
    LedgerConflict,
    Limits,
    Refused,
    Reservation,
    Reserved,
    Touched,
    Verdict,
)
from metering.usage import UsageRecord
from tests.ledger_fixtures import RaisingLedger, usage_record

PID = "pupgrade"
BEFORE = Path(__file__).with_name("ledger_before.lua").read_bytes()
PREVIOUS = "codegrex_v1"
EARLIER = Path(__file__).with_name("ledger_earlier.lua").read_bytes()


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
    """The calls of a release with the same names: each load puts back its own text of the library."""

    async def load(self):
        await self.store.on_primaries("FUNCTION", "LOAD", "REPLACE", EARLIER)
        await self._topology.connect()


class EarlierCalls(Calls):
    """The calls of the earlier text, under names of their own, so that both texts are loaded at once."""

    async def load(self):
        text = EARLIER.replace(LIBRARY.encode(), b"codegrex_earlier").replace(b"cgx2_", b"cgxe_")
        await self.store.on_primaries("FUNCTION", "LOAD", "REPLACE", text)
        await self._topology.connect()

    def send(self, p, command):
        return super().send(p, (command[0], str(command[1]).replace("cgx2_", "cgxe_"), *command[2:]))


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
async def earlier(store):
    ledger = await opened(store, RaisingLedger, EarlierCalls)
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
    assert set(await loaded(store)) == {EARLIER}
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


# -- two texts of one version -----------------------------------------------------------------------

SERVED = ("now", "earlier", "either")
STAMPS = tuple(f"{number:016d}" for number in range(16))


def account_of(served):
    return f"pupgrade_{served}"


def plain(answer, served):
    """An answer without what depends on the account's name or the clock."""
    if isinstance(answer, Reserved | Refused):
        windows = tuple(
            (window.policy, window.limit, window.policy in ("requests", "tokens") or window.remaining)
            for window in answer.windows
        )
        changed = {"windows": windows}
        if isinstance(answer, Refused):
            changed["retry_after_ms"] = answer.retry_after_ms > 0
        else:
            changed["replaced"] = answer.replaced.removesuffix(served)
        return msgspec.structs.replace(answer, **changed)
    if isinstance(answer, Account):
        return msgspec.structs.replace(answer, pid="")
    if isinstance(answer, UsageRecord):
        return msgspec.structs.replace(answer, pid="", rid="", started_ms=0, settled_ms=0)
    return answer


async def reaped(ledger, pid, rid, home):
    p = keys.partition(pid)
    return await ledger.calls.run(p, (
        "FCALL", "cgx2_reap", 11, *keys.of_settlement(keys.tag(p), pid, rid), rid, pid, home,
    ))  # fmt: skip


def drawn(rng):
    """One act, to be done to each account."""
    stamp, lease = rng.choice(STAMPS), rng.choice([0, 60_000])
    amount, tokens, charge, rev = (rng.randrange(0, n) for n in (120, 40, 150, 4))
    limits = Limits(600, rng.choice([0, 1_000_000]), rng.choice([0, 0, 2]), rng.choice([0, 400]), rng.choice([0, 900]))
    lane, billed = rng.choice(["", "", "s:0"]), rng.random() < 0.7
    home = rng.choice(["", "here"])

    def record(pid, rid, rank, cost):
        return usage_record(rid, pid, rev=rank, charge=cost, in_uncached=tokens)

    async def reserve(ledger, pid, rid):
        orphan = record(pid, rid, 0, charge) if billed else None
        asked = Reservation(rid, pid, amount, 20, lease, limits, orphan, lane, amount + charge, charge // 2)
        return await ledger.reserve(asked)

    acts = {
        reserve: 8,
        lambda ledger, pid, rid: ledger.touch(pid, rid, lease_ms=lease, amount=charge, most=charge,
                                              checkpoint=record(pid, rid, 0, amount) if billed else None): 4,
        lambda ledger, pid, rid: ledger.settle_each([record(pid, rid, rev, charge)]): 4,
        lambda ledger, pid, rid: ledger.void_each([(pid, rid)]): 2,
        lambda ledger, pid, rid: reaped(ledger, pid, rid, home): 4,
        lambda ledger, pid, _: ledger.restrict(pid, restricted=billed and lease > 0): 1,
        lambda ledger, pid, rid: ledger.record(pid, rid): 2,
        lambda ledger, pid, _: ledger.account(pid): 2,
    }  # fmt: skip
    (act,) = rng.choices(list(acts), list(acts.values()))

    async def done(ledger, served):
        try:
            return plain(await act(ledger, account_of(served), stamp + served), served)
        except LedgerConflict as conflict:
            return conflict.reason

    return done


async def left(store, served):
    """What the store holds about an account, without what depends on its name or the clock."""
    pid, client = account_of(served), store.client
    t = keys.tag(keys.partition(pid))
    requests = {}
    for stamp in STAMPS:
        fields = {
            name.decode(): value.decode() for name, value in (await client.hgetall(f"{t}req:{stamp}{served}")).items()
        }
        billed, has_entry = fields.pop("ck", ""), "id" in fields
        fields.pop("pid", None)
        fields.pop("id", None)
        requests[stamp] = (fields, bool(billed), has_entry, await client.pttl(f"{t}req:{stamp}{served}") > 600_000)
    ids = await client.lrange(f"{t}ids:{pid}", 0, -1)
    entries = [(await client.xrange(f"{t}usage", name, name))[0][1] for name in ids]
    return (
        await client.hgetall(f"{t}acct:{pid}"),
        {rid[:16]: hold for rid, hold in (await client.hgetall(f"{t}holds:{pid}")).items()},
        sorted(rid[:16] for rid in await client.zrange(f"{t}lease:{pid}", 0, -1)),
        sorted(
            member.split(b":")[1][:16] for member in await client.zrange(f"{t}due", 0, -1) if pid.encode() in member
        ),
        requests,
        [(entry[b"rev"], entry.get(b"charge"), entry[b"basis"], entry[b"outcome"]) for entry in entries],
        [await client.zscore(f"{t}replaced", name) is not None for name in ids],
    )


@pytest.mark.parametrize("seed", range(int(os.environ.get("UPGRADE_SEEDS", "4"))))
async def test_whichever_text_serves_a_call_the_answer_and_the_end_are_the_same(ledger, earlier, store, seed):
    rng, either = random.Random(seed), random.Random(seed + 1_000)
    ledgers = {"now": (ledger,), "earlier": (earlier,), "either": (ledger, earlier)}
    for served in SERVED:
        await ledger.grant(account_of(served), 500, "first")
    for _ in range(60):
        act = drawn(rng)
        answers = [await act(either.choice(ledgers[served]), served) for served in SERVED]
        assert answers[0] == answers[1] == answers[2]
    states = [await left(store, served) for served in SERVED]
    assert states[0] == states[1] == states[2]
