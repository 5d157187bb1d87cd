"""A worker that is simulated: accounts ask again as soon as they were answered, and each answer takes its processor."""

import heapq
from collections import Counter

import pytest

from gateway.http.overload import MOST_SECONDS, TICK_SECONDS, Overload


class Worker:
    """One processor, first come, first served, and an `Overload` before it. Times are simulated."""

    def __init__(self, share=1.0):
        self.now = 0.0
        self.used = 0.0
        self.share = share  # of the processor, which others have the rest of
        self.overload = Overload(clock=lambda: self.now, processor=lambda: self.used)
        self.answered = Counter()
        self.waited = Counter()

    def run(self, seconds, asking):
        """``asking``: account -> (connections, seconds of the processor for a request, seconds until it asks again)."""
        end = self.now + seconds
        arrivals = [
            (self.now, number, account)
            for account, (connections, _, _) in asking.items()
            for number in range(connections)
        ]
        heapq.heapify(arrivals)
        ready = []
        due = self.now + TICK_SECONDS
        while self.now < end:
            while arrivals and arrivals[0][0] <= self.now:
                _, number, account = heapq.heappop(arrivals)
                if number < 0:  # it has waited
                    ready.append((-1 - number, account))
                    continue
                wait = self.overload.wait(account)
                if wait:
                    self.waited[account] += 1
                    heapq.heappush(arrivals, (self.now + wait, -1 - number, account))
                else:
                    ready.append((number, account))
            turn, ready = ready, []
            for number, account in turn:
                _, cost, rest = asking[account]
                self.used += cost
                self.now += cost / self.share
                self.answered[account] += 1
                heapq.heappush(arrivals, (self.now + rest, number, account))
            if self.now >= due:
                self.overload.tick(self.now - due)
                due = self.now + TICK_SECONDS
            if not turn:
                self.now = min(due, arrivals[0][0] if arrivals else due)


def test_nobody_waits_while_the_loop_is_on_time():
    worker = Worker()
    worker.run(20, {f"a{number}": (1, 0.001, 0.1) for number in range(20)})
    assert not worker.waited
    assert worker.overload.allowance == 1.0


def test_an_account_that_is_alone_never_waits_however_much_it_asks_for():
    worker = Worker()
    worker.run(20, {"one": (60, 0.001, 0.0)})
    assert not worker.waited
    assert worker.answered["one"] > 19_000


def test_who_asks_for_little_does_not_wait_beside_those_who_ask_for_all():
    worker = Worker()
    greedy = {f"greedy{number}": (10, 0.001, 0.0) for number in range(10)}
    modest = {f"modest{number}": (1, 0.001, 0.2) for number in range(10)}
    worker.run(5, greedy | modest)
    worker.waited.clear()
    worker.answered.clear()
    worker.run(60, greedy | modest)
    assert not any(worker.waited[name] for name in modest)
    assert all(worker.waited[name] for name in greedy)
    assert all(worker.answered[name] > 250 for name in modest)  # 300 if every answer came at once


@pytest.mark.parametrize("share", [1.0, 0.4])
def test_where_all_ask_for_the_same_the_worker_is_as_busy_as_without(share):
    worker = Worker(share)
    worker.run(60, {f"a{number}": (4, 0.0005, 0.0) for number in range(40)})
    assert worker.used > 0.9 * 60 * share
    counts = [worker.answered[f"a{number}"] for number in range(40)]
    assert max(counts) < 1.2 * min(counts)


def test_long_work_is_paid_by_whose_it_is():
    now, used = 0.0, 0.0
    overload = Overload(clock=lambda: now, processor=lambda: used)
    for _ in range(100):
        now, used = now + 0.11, used + 0.1
        for account in ("long", "short"):
            overload.wait(account)
        overload.charge("long", 0.098)
        overload.tick(0.01)
    assert overload.allowance < 1.0
    assert overload.wait("long") > 0.0
    assert overload.wait("short") == 0.0


def test_nobody_waits_longer_than_the_bound_or_owes_more():
    now = 0.0
    overload = Overload(clock=lambda: now, processor=lambda: 0.0)
    for _ in range(20):
        overload.tick(1.0)
    overload.wait("other")
    for _ in range(1_000):
        overload.charge("one", 60.0)
        assert overload.wait("one") <= MOST_SECONDS
    now = MOST_SECONDS
    assert overload.wait("one") == 0.0


def test_accounts_are_forgotten_after_a_second_and_all_of_them_once_nobody_is_limited():
    now = 0.0
    overload = Overload(clock=lambda: now, processor=lambda: 0.0)
    for number in range(50):
        overload.tick(1.0)
        overload.wait(f"a{number}")
    assert len(overload) == 50
    now = 2.0
    overload.tick(1.0)
    assert len(overload) == 0
    overload.wait("late")
    for _ in range(200):
        overload.tick(0.0)
    assert (len(overload), overload.allowance) == (0, 1.0)
