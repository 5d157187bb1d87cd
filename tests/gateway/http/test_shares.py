"""What belongs to all: nobody gets more than is left for the others, and everything comes back."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.errors import ConcurrencyLimited, GatewayError, Overloaded, RequestTooLarge
from gateway.http.request import body_budget

LIMIT = 1_000
HOLDERS = st.sampled_from(["anna", "ben", "carl", "dora"])
COUNTS = st.integers(0, LIMIT)


def refusal(step, count):
    try:
        step(count)
    except GatewayError as error:
        return error
    return None


class Bookkeeping(RuleBasedStateMachine):
    """Shares are taken, grow, shrink and end in any order, also by an exception."""

    def __init__(self):
        super().__init__()
        self.budget = body_budget(LIMIT)
        self.open = []

    @rule(holder=HOLDERS)
    def begin(self, holder):
        self.open.append((holder, self.budget.hold(holder)))

    @precondition(lambda self: self.open)
    @rule(data=st.data(), count=COUNTS)
    def grow(self, data, count):
        holder, share = data.draw(st.sampled_from(self.open))
        before, held = self.budget.used, self.budget.held.get(holder, 0)
        error = refusal(share.grow, count)
        if error is None:
            assert held + count <= LIMIT - self.budget.used
            return
        assert self.budget.used == before
        assert held + count > self.budget.most or held + count > LIMIT - before - count
        assert isinstance(error, RequestTooLarge) == (share.size + count > self.budget.most)
        if isinstance(error, ConcurrencyLimited):
            assert held > share.size  # its own other shares are what stands in the way

    @precondition(lambda self: self.open)
    @rule(data=st.data(), count=COUNTS)
    def expect(self, data, count):
        _, share = data.draw(st.sampled_from(self.open))
        before = self.budget.used
        refusal(share.expect, count)
        assert self.budget.used == before

    @precondition(lambda self: self.open)
    @rule(data=st.data(), count=COUNTS)
    def shrink(self, data, count):
        data.draw(st.sampled_from(self.open))[1].shrink(count)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), late=COUNTS)
    def end(self, data, late):
        one = data.draw(st.sampled_from(self.open))
        self.open.remove(one)
        one[1].__exit__(None, None, None)
        one[1].shrink(late)  # what is told only after the end changes nothing

    @invariant()
    def adds_up(self):
        held = self.budget.held
        assert self.budget.used == sum(held.values()) == sum(share.size for _, share in self.open)
        assert all(0 < count <= self.budget.most for count in held.values())

    def teardown(self):
        for _, share in self.open:
            share.__exit__(None, None, None)
        assert self.budget.used == 0
        assert not self.budget.held


TestBookkeeping = Bookkeeping.TestCase
TestBookkeeping.settings = settings(max_examples=40, stateful_step_count=30)


@pytest.mark.parametrize("greedy", [1, 2, 10, 100])
def test_something_is_left_whoever_takes_what_they_can(greedy):
    budget = body_budget(1_000_000)
    shares = [budget.hold(f"greedy {n}") for n in range(greedy)]
    going = True
    while going:
        going = False
        for share in shares:
            try:
                share.grow(100)
            except GatewayError:
                continue
            going = True
    assert budget.limit - budget.used >= budget.limit // (greedy + 1) - 100
    with budget.hold("honest") as share:
        share.grow(1_000_000 // (greedy + 1) // 2 - 100)
    shares[0].__exit__(None, None, None)


def test_who_is_told_what():
    budget = body_budget(1_000)
    with budget.hold("a") as one, budget.hold("a") as two, budget.hold("b") as three, budget.hold("c") as four:
        with pytest.raises(RequestTooLarge):
            one.grow(501)
        one.grow(400)
        with pytest.raises(ConcurrencyLimited) as caught:
            two.grow(101)
        assert caught.value.retry_after
        three.grow(290)
        with pytest.raises(Overloaded):
            four.grow(160)
    assert budget.used == 0


def test_a_smaller_part():
    with body_budget(1_000, 0.1).hold("a") as share:
        share.grow(100)
        with pytest.raises(RequestTooLarge):
            share.grow(1)
