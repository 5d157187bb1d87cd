import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.inference.abandoned import HOUR_SECONDS, MOST_ACCOUNTS, Abandoned


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_a_budget_of_each_account_and_hour():
    clock = Clock()
    abandoned = Abandoned(100, clock)
    assert [abandoned.forgives("a", 40) for _ in range(3)] == [True, True, False]
    assert abandoned.forgives("a", 20)  # what is left
    assert abandoned.forgives("b", 100)
    clock.now = HOUR_SECONDS - 1
    assert not abandoned.forgives("a", 1)
    clock.now = HOUR_SECONDS
    assert abandoned.forgives("a", 100)


@pytest.mark.parametrize(("budget", "free"), [(0, False), (1, True)])
def test_a_budget_of_nothing_forgives_nothing(budget, free):
    assert Abandoned(budget, Clock()).forgives("a", 1) is free


def test_memory_is_bounded():
    abandoned = Abandoned(1, Clock())
    for number in range(MOST_ACCOUNTS + 10):
        abandoned.forgives(str(number), 1)
    assert len(abandoned._accounts) == MOST_ACCOUNTS
    assert not abandoned.forgives(str(MOST_ACCOUNTS + 9), 1)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 60), st.integers(0, 4_000)), max_size=60))
def test_no_hour_costs_the_operator_more_than_the_budget(steps):
    clock = Clock()
    abandoned = Abandoned(100, clock)
    forgiven = {"a": [], "b": []}
    for account, amount, seconds in steps:
        clock.now += seconds
        if abandoned.forgives(account, amount):
            forgiven[account].append((clock.now, amount))
    for each in forgiven.values():
        for start, _ in each:
            # Two budgets meet in an hour that lies across the start of the next one.
            assert sum(amount for at, amount in each if start <= at < start + HOUR_SECONDS) <= 200
