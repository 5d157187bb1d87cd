"""What the ledger promises, on every store it is promised for."""

import asyncio
import itertools
import time

import pytest

from metering import keys
from metering.ledger.calls import LIBRARY
from metering.ledger.ledger import (
    LedgerConflict,
    LedgerUnavailable,
    Limits,
    Refused,
    Reservation,
    Reserved,
    State,
    Touched,
    Verdict,
)
from metering.reading.reader import read_usage
from metering.store.link import StoreError

PID = "pcontract"
LARGEST = 2**53 - 1


def asks(rid, *, amount=10, tokens=0, lease_ms=60_000, limits=Limits(), pid=PID):  # noqa: B008 - frozen
    return Reservation(rid, pid, amount, tokens, lease_ms, limits)


def may(rid, amount, worst, least):
    """A request that usually costs ``amount``, at most ``worst``, and can be limited to ``least``."""
    return Reservation(rid, PID, amount, 0, 60_000, Limits(), worst=worst, least=least)


def key(name, pid=PID):
    return f"m:{{{keys.partition(pid)}}}:{name}"


async def leftovers(store):
    """What must be empty at rest: holds, leases and what the reaper would look at."""
    client = store.client
    return (
        await client.hlen(key(f"holds:{PID}")),
        await client.zcard(key(f"lease:{PID}")),
        await client.zcard(key("due")),
    )


async def test_the_store_has_no_faults(store):
    assert await store.check() == []


async def test_a_store_that_may_evict_is_a_fault(store):
    await store.on_primaries("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    try:
        fault, *_ = await store.check()
    finally:
        await store.on_primaries("CONFIG", "SET", "maxmemory-policy", "noeviction")
    assert "noeviction" in fault


async def test_reserve_holds_and_settle_charges(ledger, store, make_record):
    await ledger.grant(PID, 100, "g")

    assert await ledger.reserve(asks("r1", amount=30)) == Reserved(100, 0, 30, 30, ())
    account = await ledger.account(PID)
    assert (account.granted, account.spent, account.held, account.available) == (100, 0, 30, 70)
    assert await ledger.record(PID, "r1") is State.PENDING

    record = make_record("r1", PID, charge=12, in_uncached=7, out_visible=3)
    await ledger.settle([record])
    account = await ledger.account(PID)
    assert (account.granted, account.spent, account.held, account.available) == (100, 12, 0, 88)
    assert await ledger.record(PID, "r1") == record
    assert [r async for r in read_usage(store)] == [record]
    assert await leftovers(store) == (0, 0, 0)


async def test_a_record_is_only_shown_to_its_account(ledger, make_record):
    other = next(p for p in (f"p{i}" for i in itertools.count()) if keys.partition(p) == keys.partition(PID))
    await ledger.settle([make_record("r1", PID)])
    assert await ledger.record(other, "r1") is State.UNKNOWN
    assert await ledger.record(PID, "never") is State.UNKNOWN


async def test_a_void_gives_the_hold_back(ledger, store):
    await ledger.grant(PID, 100, "g")
    await ledger.reserve(asks("r1", amount=30))
    await ledger.void(PID, "r1")
    assert (await ledger.account(PID)).available == 100
    assert await ledger.record(PID, "r1") is State.VOIDED
    assert await leftovers(store) == (0, 0, 0)


async def test_a_void_before_its_reserve_bars_it(ledger, store):
    await ledger.grant(PID, 100, "g")
    await ledger.void(PID, "r1")
    answer = await ledger.reserve(asks("r1"))
    assert isinstance(answer, Refused)
    assert answer.reason == "voided"
    assert await leftovers(store) == (0, 0, 0)


async def test_an_account_that_is_not_there(ledger):
    answer = await ledger.reserve(asks("r1"))
    assert isinstance(answer, Refused)
    assert answer.reason == "unknown_account"
    assert await ledger.account(PID) is None


async def test_credits_refused_says_what_is_missing(ledger):
    await ledger.grant(PID, 25, "g")
    await ledger.reserve(asks("r1", amount=20))
    assert await ledger.reserve(asks("r2", amount=6)) == Refused("credits", 6, 20, 5, 5_000, ())
    assert isinstance(await ledger.reserve(asks("r3", amount=5)), Reserved)


async def test_of_a_thousand_at_once_exactly_the_affordable_pass(ledger):
    await ledger.grant(PID, 100, "g")
    answers = await asyncio.gather(*(ledger.reserve(asks(f"r{i}", amount=10)) for i in range(1000)))
    passed = [answer for answer in answers if isinstance(answer, Reserved)]
    assert len(passed) == 10
    assert {answer.reason for answer in answers if isinstance(answer, Refused)} == {"credits"}
    assert (await ledger.account(PID)).available == 0


async def test_credit_that_covers_the_worst_of_all_that_runs_holds_the_usual(ledger, store):
    await ledger.grant(PID, 200, "g")
    assert await ledger.reserve(may("r1", 10, 60, 20)) == Reserved(200, 0, 10, 60, ())
    assert await ledger.reserve(may("r2", 10, 60, 20)) == Reserved(200, 10, 10, 60, ())
    assert (await ledger.account(PID)).held == 20
    assert await store.client.hget(key(f"holds:{PID}"), "r2") == b"10\x0060"


async def test_the_last_credit_is_held_whole_and_is_the_most_that_the_request_may_cost(ledger, make_record):
    await ledger.grant(PID, 100, "g")
    assert await ledger.reserve(may("r1", 10, 60, 20)) == Reserved(100, 0, 10, 60, ())
    assert await ledger.reserve(may("r2", 10, 60, 20)) == Reserved(100, 10, 40, 40, ())
    waits = Refused("credits", 20, 100, 0, 5_000, ())
    assert await ledger.reserve(may("r3", 10, 60, 20)) == waits
    assert await ledger.reserve(may("r3", 10, 60, 20)) == waits
    await ledger.settle([make_record("r1", PID, charge=5)])
    assert await ledger.reserve(may("r3", 10, 60, 20)) == Reserved(95, 40, 55, 55, ())
    await ledger.settle([make_record("r2", PID, charge=40), make_record("r3", PID, charge=55)])
    account = await ledger.account(PID)
    assert (account.spent, account.available, account.held) == (100, 0, 0)


async def test_a_request_that_takes_no_limit_waits_for_its_worst_case_or_is_refused_for_good(ledger):
    await ledger.grant(PID, 100, "g")
    await ledger.reserve(may("r1", 10, 60, 20))
    assert await ledger.reserve(may("r2", 10, 60, 60)) == Refused("credits", 60, 60, 40, 5_000, ())
    assert await ledger.reserve(may("r3", 10, 101, 101)) == Refused("credits", 101, 60, 40, 0, ())


async def test_a_thousand_at_once_may_cost_no_more_than_the_credit(ledger, make_record):
    await ledger.grant(PID, 10_000, "g")
    rids = [f"r{number}" for number in range(1_000)]
    asked = [may(rid, 10, 700 + number, 50) for number, rid in enumerate(rids)]
    answers = await asyncio.gather(*map(ledger.reserve, asked))
    passed = {rid: answer for rid, answer in zip(rids, answers, strict=True) if isinstance(answer, Reserved)}
    assert 6 <= len(passed) < 20
    assert sum(answer.most for answer in passed.values()) == 10_000
    assert {answer.retry_after_ms for answer in answers if isinstance(answer, Refused)} == {5_000}
    await ledger.settle([make_record(rid, PID, charge=answer.most) for rid, answer in passed.items()])
    assert (await ledger.account(PID)).available == 0


async def test_a_reserve_that_is_repeated_gets_the_same_answer(ledger):
    await ledger.grant(PID, 100, "g")
    await ledger.reserve(may("r1", 10, 60, 20))
    capped = await ledger.reserve(may("r2", 10, 60, 20))
    assert await ledger.reserve(may("r2", 10, 60, 20)) == capped == Reserved(100, 10, 40, 40, ())
    with pytest.raises(LedgerConflict):
        await ledger.reserve(may("r2", 10, 61, 20))


@pytest.mark.parametrize(("amount", "worst", "least"), [(11, 10, 5), (5, 10, 11)])
async def test_a_worst_case_below_the_others_is_no_worst_case(ledger, amount, worst, least):
    await ledger.grant(PID, 100, "g")
    with pytest.raises(LedgerConflict):
        await ledger.reserve(may("r1", amount, worst, least))


async def test_a_touch_raises_freely_up_to_the_most_and_beyond_it_only_what_nobody_may_need(ledger):
    await ledger.grant(PID, 100, "g")
    await ledger.reserve(may("r1", 10, 60, 20))
    await ledger.reserve(may("r2", 10, 30, 20))
    assert await ledger.touch(PID, "r1", lease_ms=60_000, amount=60) is Touched.HELD
    assert await ledger.touch(PID, "r1", lease_ms=60_000, amount=70) is Touched.HELD
    assert await ledger.touch(PID, "r1", lease_ms=60_000, amount=71) is Touched.CREDITS  # r2 may need the rest
    assert await ledger.touch(PID, "r2", lease_ms=60_000, amount=30) is Touched.HELD
    assert (await ledger.account(PID)).available == 0


async def test_the_same_reserve_twice_holds_once(ledger):
    await ledger.grant(PID, 100, "g")
    first = await ledger.reserve(asks("r1", limits=Limits(2, 0, 1)))
    again = await ledger.reserve(asks("r1", limits=Limits(2, 0, 1)))
    assert isinstance(first, Reserved)
    assert isinstance(again, Reserved)
    assert (await ledger.account(PID)).held == 10
    with pytest.raises(LedgerConflict):
        await ledger.reserve(asks("r1", amount=11, limits=Limits(2, 0, 1)))


@pytest.mark.parametrize("order", list(itertools.permutations(["reserve", "settle", "orphan", "void"])))
async def test_every_order_and_duplication_ends_alike(ledger, store, make_record, order):
    await ledger.grant(PID, 100, "g")
    steps = {
        "reserve": lambda: ledger.reserve(asks("r1", amount=30)),
        "settle": lambda: ledger.settle([make_record("r1", PID, rev=1, charge=12)]),
        "orphan": lambda: ledger.settle([make_record("r1", PID, rev=0, charge=20)]),
        "void": lambda: ledger.void(PID, "r1"),
    }
    for name in (*order, *order):
        await steps[name]()
    account = await ledger.account(PID)
    assert (account.spent, account.held) == (12, 0)
    (kept,) = [r async for r in read_usage(store)]
    assert (kept.rev, kept.charge) == (1, 12)
    assert await leftovers(store) == (0, 0, 0)


async def test_a_correction_replaces_and_may_lower(ledger, store, make_record):
    await ledger.grant(PID, 100, "g")
    for rev, charge in ((1, 40), (2, 15), (3, 0)):
        await ledger.settle([make_record("r1", PID, rev=rev, charge=charge)])
        assert (await ledger.account(PID)).spent == charge
    assert [r.rev async for r in read_usage(store)] == [3]
    assert await store.client.xlen(key("usage")) == 3


async def test_a_settlement_whose_hold_was_lost_is_written(ledger, store, make_record):
    await ledger.settle([make_record("lost", PID, charge=9)])
    assert (await ledger.account(PID)).spent == 9
    assert [r.rid async for r in read_usage(store)] == ["lost"]


async def test_a_settlement_after_its_state_may_be_gone_goes_to_the_dead_letters(ledger, store, make_record):
    late = make_record("late", PID, started_ms=int(time.time() * 1000) - 35 * 86_400_000)
    assert await ledger.settle_each([late]) == [Verdict.DEAD]
    assert await ledger.settle_each([late]) == [Verdict.DEAD]
    assert await store.client.xlen(key("dead")) == 1
    assert [r async for r in read_usage(store)] == []
    assert await ledger.record(PID, "late") is State.DEAD


async def test_a_grant_counts_once(ledger):
    await ledger.grant(PID, 100, "monthly")
    assert (await ledger.grant(PID, 100, "monthly")).granted == 100
    assert (await ledger.grant(PID, 50, "extra")).granted == 150
    with pytest.raises(LedgerConflict):
        await ledger.grant(PID, 99, "monthly")
    assert (await ledger.grant("pother", 7, "monthly")).granted == 7


async def test_digits_are_never_lost(ledger, make_record):
    assert (await ledger.grant(PID, LARGEST, "g")).granted == LARGEST
    with pytest.raises(LedgerConflict):
        await ledger.grant(PID, 1, "one too many")
    assert await ledger.reserve(asks("r1", amount=1)) == Reserved(LARGEST, 0, 1, 1, ())
    await ledger.settle([make_record("r1", PID, charge=LARGEST)])
    assert (await ledger.account(PID)).spent == LARGEST
    assert await ledger.settle_each([make_record("r2", PID, charge=1)]) == [Verdict.REFUSED]


@pytest.mark.parametrize("amount", [-1, 2**53, 1.5])
async def test_an_amount_that_is_none_is_refused(ledger, amount):
    with pytest.raises(LedgerConflict):
        await ledger.grant(PID, amount, "g")


@pytest.mark.parametrize("name", ["usage", "due", f"ids:{PID}", f"lease:{PID}", "req:r1"])
async def test_a_key_of_the_wrong_type_stops_the_call_before_it_writes(ledger, store, make_record, name):
    await ledger.grant(PID, 100, "g")
    await store.client.delete(key(name))
    await store.client.set(key(name), "x")
    before = await ledger.account(PID)
    assert await ledger.settle_each([make_record("r1", PID)]) == [Verdict.REFUSED]
    assert await ledger.account(PID) == before
    await store.client.delete(key(name))
    assert await ledger.settle_each([make_record("r1", PID)]) == [Verdict.SETTLED]


# Each path of the library that writes, and the keys it writes.
HELD = (f"holds:{PID}", f"lease:{PID}", "due", "req:r1")
CHARGED = (f"acct:{PID}", *HELD, "usage", f"ids:{PID}")
RATE = f"rate:{PID}:tokens"
PATHS = {
    "reserve": (f"acct:{PID}", *HELD, f"rate:{PID}:requests", RATE),
    "reserve in a lane": (f"lane:{PID}:s",),
    "void": (*HELD, RATE),
    "settle": (*CHARGED, RATE),
    "settle a lost hold": CHARGED,
    "correct": (*CHARGED, "replaced"),
    "settle too late": ("req:late", "dead"),
    "settle the erased": (*HELD, "unlinked"),
    "reap what was not sent": (*HELD, RATE),
    "reap an orphan": (*CHARGED, RATE),
    "reap the erased": (*HELD, "unlinked"),
}


@pytest.mark.parametrize(("path", "name"), [(path, name) for path, names in PATHS.items() for name in names])
async def test_a_key_of_the_wrong_type_stops_every_path_before_it_writes(ledger, store, make_record, path, name):
    record = make_record("r1", PID, charge=3, out_visible=1)
    long_ago = make_record("late", PID, started_ms=int(time.time() * 1000) - 35 * 86_400_000)
    orphan, lane = None if "not sent" in path else record, "s" if "lane" in path else ""
    asked = Reservation("r1", PID, 10, 50, 0, Limits(100, 100), orphan, lane=lane)
    await ledger.grant(PID, 100, "g")
    if path not in ("reserve", "reserve in a lane", "settle a lost hold"):
        assert isinstance(await ledger.reserve(asked), Reserved)
    if path == "correct":
        await ledger.settle([make_record("r1", PID, rev=0, charge=2)])
    if "erased" in path:
        await store.client.hset(key(f"acct:{PID}"), "erased", "1")
    names = {name for names in PATHS.values() for name in names}
    await store.client.delete(key(name))
    if name.startswith(("rate:", "lane:")):
        await store.client.rpush(key(name), "x")
    else:
        await store.client.set(key(name), "x")
    before = {name: await store.client.dump(key(name)) for name in names}
    if path.startswith("reserve"):
        with pytest.raises(StoreError):
            await ledger.reserve(asked)
    elif path.startswith("reap"):
        with pytest.raises(StoreError):
            await ledger.calls.run(keys.partition(PID), (
                "FCALL", "cgx2_reap", 11, *keys.of_settlement(key(""), PID, "r1"), "r1", PID, "",
            ))  # fmt: skip
    elif path == "void":
        assert await ledger.void_each([(PID, "r1")]) == [Verdict.REFUSED]
    else:
        assert await ledger.settle_each([long_ago if "late" in path else record]) == [Verdict.REFUSED]
    assert {name: await store.client.dump(key(name)) for name in names} == before


async def test_an_estimate_beyond_all_time_is_refused_before_anything_is_written(ledger, store):
    await ledger.grant(PID, 100, "g")
    with pytest.raises(StoreError):
        await ledger.reserve(asks("r1", tokens=LARGEST, limits=Limits(100, 1)))
    assert await store.client.exists(key(f"rate:{PID}:requests"), key(RATE), key("req:r1")) == 0
    assert await leftovers(store) == (0, 0, 0)


@pytest.mark.parametrize("end", ["settled", "corrected", "voided", "barred", "erased", "reaped"])
async def test_what_is_kept_of_an_ended_request_is_packed_and_goes_in_time(ledger, store, make_record, end):
    """While it runs its checkpoint is too long to be packed."""
    record = make_record("r1", PID, charge=3)
    await ledger.grant(PID, 100, "g")
    if end != "barred":
        await ledger.reserve(Reservation("r1", PID, 10, 5, 0, Limits(), None if end == "reaped" else record))
    if end == "corrected":
        await ledger.settle([make_record("r1", PID, rev=0, charge=2)])
    if end == "erased":
        await store.client.hset(key(f"acct:{PID}"), "erased", "1")
    if end == "reaped":
        await ledger.touch(PID, "r1", lease_ms=0)
        await ledger.calls.run(keys.partition(PID), (
            "FCALL", "cgx2_reap", 11, *keys.of_settlement(key(""), PID, "r1"), "r1", PID, "",
        ))  # fmt: skip
    elif end in ("voided", "barred"):
        await ledger.void(PID, "r1")
    else:
        await ledger.settle([record])
    kept = {name.decode(): value.decode() for name, value in (await store.client.hgetall(key("req:r1"))).items()}
    if end in ("settled", "corrected"):
        (id_, _), *_ = await store.client.xrevrange(key("usage"), count=1)
        assert kept == {"s": "d", "pid": PID, "r": "1", "c": "3", "id": id_.decode()}
    else:
        assert kept == {"s": "e" if end == "erased" else "v", "pid": PID}
    assert await store.client.object("ENCODING", key("req:r1")) == b"listpack"
    longest = 600_000 if end == "reaped" else 35 * 86_400_000  # without a checkpoint, nobody bills it
    assert 0 <= longest - await store.client.pttl(key("req:r1")) < 60_000


async def test_a_request_that_nobody_bills_is_forgotten_soon(ledger, store):
    await ledger.grant(PID, 100, "g")
    await ledger.reserve(asks("r1", amount=0))
    assert 0 < await store.client.pttl(key("req:r1")) <= 600_000
    await ledger.touch(PID, "r1", lease_ms=60_000)
    assert 0 < await store.client.pttl(key("req:r1")) <= 600_000
    await ledger.void(PID, "r1")
    assert await ledger.record(PID, "r1") is State.VOIDED
    assert 0 < await store.client.pttl(key("req:r1")) <= 600_000
    assert await leftovers(store) == (0, 0, 0)


async def test_concurrency_counts_running_leases_alone(ledger):
    await ledger.grant(PID, 1000, "g")
    two = Limits(concurrent=2)
    await ledger.reserve(asks("dead", lease_ms=0, limits=two))  # runs out at once
    first = await ledger.reserve(asks("r1", limits=two))
    assert [(w.policy, w.limit, w.remaining) for w in first.windows] == [("concurrency", 2, 1)]
    assert isinstance(await ledger.reserve(asks("r2", limits=two)), Reserved)
    third = await ledger.reserve(asks("r3", limits=two))
    assert isinstance(third, Refused)
    assert third.reason == "concurrency"
    assert third.retry_after_ms > 0
    await ledger.void(PID, "r1")
    assert isinstance(await ledger.reserve(asks("r3", limits=two)), Reserved)


async def test_the_request_rate_says_when_to_come_again(ledger):
    await ledger.grant(PID, 1000, "g")
    limits = Limits(requests_per_minute=3)
    answers = [await ledger.reserve(asks(f"r{i}", limits=limits)) for i in range(4)]
    assert [answer.windows[0].remaining for answer in answers] == [2, 1, 0, 0]
    assert isinstance(answers[3], Refused)
    assert answers[3].reason == "requests"
    assert 15_000 < answers[3].retry_after_ms <= 20_000
    assert answers[3].held == 30


async def test_the_token_rate_is_corrected_by_what_was_used(ledger, make_record):
    await ledger.grant(PID, 1000, "g")
    limits = Limits(tokens_per_minute=1000)
    assert isinstance(await ledger.reserve(asks("r1", tokens=900, limits=limits)), Reserved)
    assert (await ledger.reserve(asks("r2", tokens=200, limits=limits))).reason == "tokens"
    await ledger.settle([make_record("r1", PID, in_uncached=100, out_visible=50)])
    answer = await ledger.reserve(asks("r2", tokens=200, limits=limits))
    assert isinstance(answer, Reserved)
    assert 645 <= answer.windows[0].remaining <= 660
    await ledger.void(PID, "r2")
    answer = await ledger.reserve(asks("r3", tokens=0, limits=limits))
    assert 845 <= answer.windows[0].remaining <= 860


async def test_one_request_larger_than_the_limit_passes_alone(ledger):
    await ledger.grant(PID, 1000, "g")
    limits = Limits(tokens_per_minute=100)
    assert isinstance(await ledger.reserve(asks("r1", tokens=300, limits=limits)), Reserved)
    after = await ledger.reserve(asks("r2", tokens=1, limits=limits))
    assert after.reason == "tokens"
    assert 115_000 < after.retry_after_ms <= 121_000


async def test_a_refusal_uses_nothing_up(ledger, store):
    await ledger.grant(PID, 10, "g")
    limits = Limits(requests_per_minute=1)
    assert (await ledger.reserve(asks("r1", amount=11, limits=limits))).reason == "credits"
    assert await leftovers(store) == (0, 0, 0)
    assert isinstance(await ledger.reserve(asks("r2", limits=limits)), Reserved)


async def test_the_tier_is_kept(ledger):
    await ledger.grant(PID, 5, "g")
    assert (await ledger.set_tier(PID, "pro")).tier == "pro"
    assert (await ledger.account(PID)).granted == 5
    with pytest.raises(LedgerConflict):
        await ledger.set_tier(PID, "Pro; DROP")


async def test_a_store_that_lost_the_library_gets_it_again(ledger, store):
    await ledger.grant(PID, 100, "g")
    await store.on_primaries("FUNCTION", "FLUSH")
    answers = await asyncio.gather(*(ledger.reserve(asks(f"r{i}")) for i in range(20)))
    assert sum(isinstance(answer, Reserved) for answer in answers) == 10


async def test_another_version_of_the_library_serves_beside(ledger, store):
    other = "#!lua name=codegrex_v0\nredis.register_function('cgx0_reserve', function() return 'old' end)"
    await store.on_primaries("FUNCTION", "LOAD", "REPLACE", other)
    await ledger.load()
    assert await store.client.execute_command("FCALL", "cgx0_reserve", 0) == b"old"
    await ledger.grant(PID, 100, "g")
    assert isinstance(await ledger.reserve(asks("r1")), Reserved)
    names = {bytes(library[1]) for found in await store.on_primaries("FUNCTION", "LIST") for library in found}
    assert {b"codegrex_v0", LIBRARY.encode()} <= names
    await store.on_primaries("FUNCTION", "DELETE", "codegrex_v0")


async def test_the_library_text_is_replaced_where_it_differs(ledger, store):
    await store.on_primaries(
        "FUNCTION", "LOAD", "REPLACE",
        f"#!lua name={LIBRARY}\nredis.register_function('cgx2_reserve', function() return {{'ok', '1'}} end)",
    )  # fmt: skip
    await ledger.load()
    assert (await ledger.reserve(asks("r1"))).reason == "unknown_account"


async def test_a_store_out_of_memory_is_unavailable_not_wrong(ledger, store):
    await ledger.grant(PID, 100, "g")
    await store.on_primaries("CONFIG", "SET", "maxmemory", "1")
    try:
        with pytest.raises(LedgerUnavailable) as caught:
            await ledger.reserve(asks("r1"))
    finally:
        await store.on_primaries("CONFIG", "SET", "maxmemory", "0")
    assert not caught.value.maybe_ran
    assert isinstance(await ledger.reserve(asks("r1")), Reserved)


async def test_entries_are_readable_in_any_language(ledger, store, make_record):
    await ledger.settle([make_record("r1", PID, charge=0, in_uncached=3)])
    ((_, entry),) = await store.client.xrange(key("usage"))
    names = [name.decode() for name in entry]
    assert names[:4] == ["v", "rid", "rev", "pid"]
    assert entry[b"in_uncached"] == b"3"
    assert b"cache_read" not in entry
    assert b"charge" not in entry
