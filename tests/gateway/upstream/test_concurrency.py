"""The limit of a self-hosted model: a simulated host with a queue, and requests that wait for their turn."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.upstream import concurrency
from gateway.upstream.concurrency import BACK_OFF, BATCH, LEAST, MOST, START, ConcurrencyLimit, Turnstile


def serve(limit, capacity, rounds, *, wanted=10_000, seconds=0.1):
    """A host that works on ``capacity`` requests at once, and queues the rest: all answers of a round come together."""
    for _ in range(rounds):
        while not limit.full and limit.running < wanted:
            limit.begin()
        sent = limit.running
        for number in range(sent):
            limit.answered(seconds * (1 + number // capacity))
            limit.end()


@pytest.mark.parametrize("capacity", [4, 32, 300])
def test_it_comes_to_rest_about_what_the_host_serves_without_a_queue(capacity):
    limit = ConcurrencyLimit()
    seen = []
    for _ in range(300):
        serve(limit, capacity, 1)
        seen.append(limit.limit)
    assert min(seen[100:]) >= capacity / 2
    assert max(seen[100:]) <= max(6 * capacity, 2 * START)


def test_an_idle_host_says_nothing_about_more():
    limit = ConcurrencyLimit()
    serve(limit, 100, 200, wanted=3)
    assert limit.limit == START


def test_a_failing_host_is_given_less_and_never_nothing():
    limit = ConcurrencyLimit()
    for _ in range(100):
        limit.begin()
        limit.failed()
        limit.end()
    assert limit.limit == LEAST
    serve(limit, 32, 400)
    assert limit.limit >= START  # it recovers


def test_failures_of_requests_that_ran_together_count_once():
    limit = ConcurrencyLimit()
    for _ in range(START):
        limit.begin()
    for _ in range(START):
        limit.failed()
        limit.end()
    assert limit.limit == int(START * BACK_OFF)


def test_a_host_that_becomes_slower_for_good_is_the_usual_one_after_a_while():
    limit = ConcurrencyLimit()
    serve(limit, 64, 50)
    serve(limit, 64, 400, seconds=1.0)
    assert limit.limit > START


class AnyRequests(RuleBasedStateMachine):
    """Whatever happens, the limit stays within its bounds and never more run than it said."""

    def __init__(self):
        super().__init__()
        self.limit = ConcurrencyLimit()

    @rule()
    def begin(self):
        if not self.limit.full:
            self.limit.begin()

    @rule(seconds=st.floats(0, 1_000), times=st.integers(1, 2 * BATCH))
    def answer(self, seconds, times):
        for _ in range(min(times, self.limit.running)):
            self.limit.answered(seconds)
            self.limit.end()

    @rule()
    def fail(self):
        if self.limit.running:
            self.limit.failed()
            self.limit.end()

    @invariant()
    def bounds(self):
        assert LEAST <= self.limit.limit <= MOST
        assert self.limit.running >= 0


TestAnyRequests = AnyRequests.TestCase


async def filled():
    turnstile = Turnstile()
    for _ in range(turnstile.limit.limit):
        assert await turnstile.enter("a")
    return turnstile


async def test_accounts_take_turns():
    turnstile, order = await filled(), []

    async def one(account):
        assert await turnstile.enter(account)
        order.append(account)

    async with asyncio.TaskGroup() as group:
        for account in ("a", "a", "a", "b", "c", "b"):
            group.create_task(one(account))
            await asyncio.sleep(0)
        for _ in range(6):
            turnstile.leave()
            await asyncio.sleep(0)
    assert order == ["a", "b", "c", "a", "b", "a"]
    assert turnstile.limit.running == turnstile.limit.limit


async def test_who_leaves_the_line_takes_no_place():
    turnstile = await filled()
    loop = asyncio.get_running_loop()
    waiting = [loop.create_task(turnstile.enter(name)) for name in "bcd"]
    await asyncio.sleep(0)
    waiting[0].cancel()
    turnstile.leave()  # b's, which has been told to go in the same turn
    await asyncio.gather(*waiting[:1], return_exceptions=True)
    assert await waiting[1]
    waiting[2].cancel()
    await asyncio.gather(*waiting[2:], return_exceptions=True)
    turnstile.leave()
    assert turnstile.limit.running == turnstile.limit.limit - 1
    assert await turnstile.enter("e")


async def test_a_place_that_does_not_come_is_not_waited_for_forever(monkeypatch):
    monkeypatch.setattr(concurrency, "LONGEST_WAIT", 0.01)
    turnstile = await filled()
    assert not await turnstile.enter("b")
    monkeypatch.setattr(concurrency, "MOST_WAITING", 0)
    assert not await turnstile.enter("b")
    turnstile.leave()
    assert await turnstile.enter("b")
