"""Rates, budgets and lanes, on every store they are promised for; the store's arithmetic against its models."""

import calendar
import datetime as dt
import random

import pytest

from metering import keys
from metering.ledger.calls import source
from metering.ledger.ledger import Limits, Refused, Reservation, Reserved
from tests.contracts import gcra

PID = "pcontract"
DAY = 86_400_000
TIMED = "req_{:012x}{:020d}"  # a rid begins with its time


def asks(rid, *, amount=10, tokens=0, limits=Limits(), lane=""):  # noqa: B008 - frozen
    return Reservation(rid, PID, amount, tokens, 60_000, limits, lane=lane)


def key(name):
    return f"m:{{{keys.partition(PID)}}}:{name}"


async def clock(store):
    seconds, micros = await store.client.execute_command("TIME", **_on(store))
    return int(seconds) * 1_000_000 + int(micros)


def _on(store):
    return {"target_nodes": store.client.get_node_from_key(key("x"))} if hasattr(store.client, "get_nodes") else {}


# -- rates --------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
async def test_the_store_decides_as_the_model_does(ledger, store, seed):
    """The store's clock is its own: its answer lies between the model's just before and just after the call."""
    await ledger.grant(PID, 10**6, "g")
    rng = random.Random(seed)
    limit = rng.choice([7, 100, 60_000])
    limits = Limits(tokens_per_minute=limit)
    early, late = 0, 0  # the model's state, had each call come as early or as late as it may
    for number in range(60):
        cost = rng.choice([0, 1, limit // 10, limit // 3, limit, 2 * limit])
        before = await clock(store)
        answer = await ledger.reserve(asks(f"r{number}", amount=0, tokens=cost, limits=limits))
        after = await clock(store)
        first, last = gcra.decide(early, limit, cost, before), gcra.decide(late, limit, cost, after)
        [window] = answer.windows
        if isinstance(answer, Refused):
            assert answer.reason == "tokens"
            longest = gcra.decide(late, limit, cost, before).wait
            assert last.wait - (late - early) <= answer.retry_after_ms * 1_000 <= longest + 1_000
        else:
            assert first.wait == 0 or last.wait == 0
            early = max(early, before) + cost * gcra.MINUTE // limit
            late = max(late, after) + cost * gcra.MINUTE // limit
        low, high = gcra.remaining(late, limit, before), gcra.remaining(early, limit, after)
        assert max(0, low) <= window.remaining <= max(0, high)


async def test_of_several_limits_the_longest_wait_is_told(ledger):
    await ledger.grant(PID, 1000, "g")
    limits = Limits(requests_per_minute=60, tokens_per_minute=100)
    await ledger.reserve(asks("r0", tokens=100, limits=limits))
    for number in range(1, 60):
        await ledger.reserve(asks(f"r{number}", amount=0, limits=limits))
    answer = await ledger.reserve(asks("last", tokens=90, limits=limits))
    assert answer.reason == "tokens"
    assert 50_000 < answer.retry_after_ms <= 54_000
    assert {window.policy: window.remaining == 0 for window in answer.windows} == {"requests": True, "tokens": True}


# -- budgets ------------------------------------------------------------------------------------

# Each row: what the account's hash says (day and month as differences from the clock's), now, and what is spent.
INSTANTS = ["1970-01-01", "1999-12-31", "2000-02-29", "2024-02-29", "2024-03-01", "2100-02-28", "2100-03-01", "2026-11-24"]  # fmt: skip


@pytest.fixture
async def spending(store):
    """The library's own arithmetic of windows, with the clock handed in."""
    text = source().decode()
    part = text[text.index("local MONTHS") : text.index("local function push(")]
    part = "\n".join(line for line in part.splitlines() if not line.startswith("local function gcra"))
    begin = part.index("-- The UTC month of a day")
    script = (
        "#!lua name=cgx_test\nlocal DAY = 86400000\n"
        + part[: part.index("\n")]
        + "\n"
        + part[begin:]
        + """
redis.register_function{function_name = 'cgxt_spending', flags = {'no-writes'}, callback = function(keys, args)
  local day, month = spending(args[1], args[2], args[3], args[4], tonumber(args[5]))
  return {day[1], string.format('%.0f', day[2]), day[3], month[1], string.format('%.0f', month[2]), month[3]}
end}
"""
    )
    await store.on_primaries("FUNCTION", "LOAD", "REPLACE", script.encode())

    async def ask(*arguments):
        return [int(part) for part in await store.client.fcall("cgxt_spending", 1, key("x"), *map(str, arguments))]

    yield ask
    await store.on_primaries("FUNCTION", "DELETE", "cgx_test")


@pytest.mark.parametrize("instant", INSTANTS)
@pytest.mark.parametrize("into_day", [0, 1, DAY - 1])
async def test_days_and_months_are_the_calendar_s(spending, instant, into_day):
    date = dt.date.fromisoformat(instant)
    today = (date - dt.date(1970, 1, 1)).days
    first = today - date.day + 1
    after = first + calendar.monthrange(date.year, date.month)[1]
    now = today * DAY + into_day
    ends = [(today + 1) * DAY, after * DAY]
    assert await spending(today, 7, first, 9, now) == [7, ends[0], today, 9, ends[1], first]
    assert await spending(today - 1, 7, first - 1, 9, now) == [0, ends[0], today, 0, ends[1], first]
    assert await spending(today, -7, first, -9, now) == [0, ends[0], today, 0, ends[1], first]


async def test_a_month_that_is_kept_is_not_given_for_another_day(spending):
    rng = random.Random(7)
    instants = [dt.date.fromisoformat(instant) for instant in INSTANTS]
    for date in rng.choices([*instants, *(date + dt.timedelta(days=rng.randrange(400)) for date in instants)], k=200):
        today = (date - dt.date(1970, 1, 1)).days
        first = today - date.day + 1
        after = first + calendar.monthrange(date.year, date.month)[1]
        assert await spending(today, 7, first, 9, today * DAY) == [7, (today + 1) * DAY, today, 9, after * DAY, first]


async def test_a_day_s_budget_counts_charges_and_holds(ledger, store, make_record):
    await ledger.grant(PID, 10_000, "g")
    limits = Limits(daily=100)
    answer = await ledger.reserve(asks("r1", amount=60, limits=limits))
    assert [(w.policy, w.limit, w.remaining) for w in answer.windows] == [("daily", 100, 40)]
    waits = await ledger.reserve(asks("r2", amount=60, limits=limits))
    assert (waits.reason, waits.retry_after_ms) == ("daily", 1000)  # r1's hold may come back
    await ledger.settle([make_record("r1", PID, charge=55)])
    over = await ledger.reserve(asks("r2", amount=60, limits=limits))
    assert over.reason == "daily"
    now = await clock(store) // 1_000
    assert 0 <= (now + over.retry_after_ms) % DAY < 5_000  # midnight
    assert over.windows[0].remaining == 45
    assert isinstance(await ledger.reserve(asks("r3", amount=45, limits=limits)), Reserved)
    await ledger.void(PID, "r3")
    assert isinstance(await ledger.reserve(asks("r4", amount=45, limits=limits)), Reserved)


async def test_corrections_move_a_budget_once_in_whatever_order(ledger, make_record):
    await ledger.grant(PID, 10_000, "g")
    limits = Limits(daily=1_000, monthly=2_000)
    for rev, charge in ((1, 400), (0, 900), (1, 400), (3, 100), (2, 700)):
        await ledger.settle([make_record("r1", PID, rev=rev, charge=charge)])
    assert [(w.policy, w.remaining) for w in await ledger.limits(PID, limits)] == [("daily", 900), ("monthly", 1_900)]


async def test_what_began_before_the_window_is_not_charged_to_it(ledger, store, make_record):
    await ledger.grant(PID, 10_000, "g")
    limits = Limits(daily=1_000, monthly=2_000)
    now = await clock(store) // 1_000
    await ledger.settle([make_record("old", PID, charge=300, started_ms=now - 33 * DAY)])
    assert [w.remaining for w in await ledger.limits(PID, limits)] == [1_000, 2_000]
    await ledger.settle([make_record("ahead", PID, charge=200, started_ms=now + DAY)])  # a clock that is ahead
    assert [w.remaining for w in await ledger.limits(PID, limits)] == [800, 1_800]
    account = await store.client.hgetall(key(f"acct:{PID}"))
    today, first = int(account[b"day"]), int(account[b"month"])
    await store.client.hset(key(f"acct:{PID}"), mapping={"day": today - 1, "month": first - 1})
    assert [w.remaining for w in await ledger.limits(PID, limits)] == [1_000, 2_000]
    await ledger.settle([make_record("new", PID, charge=50)])
    assert [w.remaining for w in await ledger.limits(PID, limits)] == [950, 1_950]


async def test_looking_at_the_limits_uses_nothing(ledger):
    limits = Limits(60, 600, 2, 1_000, 2_000)
    assert [(w.policy, w.remaining) for w in await ledger.limits(PID, limits)] == [
        ("concurrency", 2), ("requests", 60), ("tokens", 600), ("daily", 1_000), ("monthly", 2_000),
    ]  # fmt: skip
    await ledger.grant(PID, 1_000, "g")
    await ledger.reserve(asks("r1", amount=100, tokens=60, limits=limits))
    for _ in range(3):
        found = {w.policy: w for w in await ledger.limits(PID, limits)}
        assert {policy: w.remaining for policy, w in found.items() if policy != "tokens"} == {
            "concurrency": 1, "requests": 59, "daily": 900, "monthly": 1_900,
        }  # fmt: skip
        assert 540 <= found["tokens"].remaining < 600
        assert 0 < found["tokens"].reset_ms <= 6_000
    assert await ledger.limits(PID, Limits()) == ()


# -- lanes --------------------------------------------------------------------------------------


async def test_a_newer_request_takes_the_lane_and_names_the_older(ledger):
    await ledger.grant(PID, 1_000, "g")
    first, second = TIMED.format(100, 5), TIMED.format(101, 1)
    assert await ledger.reserve(asks(first, lane="s:1")) == Reserved(1_000, 0, 10, 10, (), "")
    assert await ledger.reserve(asks(second, lane="s:1")) == Reserved(1_000, 10, 10, 10, (), first)
    assert await ledger.reserve(asks(TIMED.format(99, 1), lane="s:2")) == Reserved(1_000, 20, 10, 10, (), "")
    assert await ledger.reserve(asks(TIMED.format(99, 2), lane="t:1")) == Reserved(1_000, 30, 10, 10, (), "")


async def test_an_older_request_that_comes_late_is_refused_and_takes_nothing(ledger):
    await ledger.grant(PID, 1_000, "g")
    newer, older = TIMED.format(101, 1), TIMED.format(100, 5)
    await ledger.reserve(asks(newer, lane="s:1"))
    assert (await ledger.reserve(asks(older, lane="s:1"))).reason == "superseded"
    assert (await ledger.account(PID)).held == 10
    newest = TIMED.format(101, 0)  # of one millisecond the one that comes last is the newer
    assert await ledger.reserve(asks(newest, lane="s:1")) == Reserved(1_000, 10, 10, 10, (), newer)


async def test_lanes_count_for_no_concurrency(ledger, store, make_record):
    await ledger.grant(PID, 1_000, "g")
    one = Limits(concurrent=1)
    rids = [TIMED.format(100 + number, number) for number in range(5)]
    for number, rid in enumerate(rids):
        assert (await ledger.reserve(asks(rid, limits=one, lane=f"s:{number}"))).windows == ()
    assert isinstance(await ledger.reserve(asks("r1", limits=one)), Reserved)
    assert (await ledger.reserve(asks("r2", limits=one))).reason == "concurrency"
    await ledger.touch(PID, rids[0], lease_ms=60_000)
    assert await store.client.zcard(key(f"lease:{PID}")) == 1
    await ledger.settle([make_record(rids[0], PID)])
    for rid in (*rids[1:], "r1"):
        await ledger.void(PID, rid)
    assert (await ledger.account(PID)).held == 0
    assert await store.client.zcard(key("due")) == 0


async def test_the_newest_of_a_lane_is_forgotten_by_itself(ledger, store):
    await ledger.grant(PID, 1_000, "g")
    await ledger.reserve(asks(TIMED.format(100, 1), lane="s:1"))
    assert 0 < await store.client.pttl(key(f"lane:{PID}:s:1")) <= 600_000
