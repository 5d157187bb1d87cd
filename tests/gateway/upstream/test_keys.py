"""A key that the provider refuses rests and is tried again: tables with a clock by hand, and a machine of random events."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gateway.upstream.keys import ANNOUNCE_SECONDS, LONGEST_REST, MOST_TRIED, Keys, KeyTurn, preference
from gateway.upstream.rest import FIRST_REST, PROBE_SECONDS, SHORTEST_REST
from providers.account_codes import AccountFault

KEY, CREDIT, ACCESS = AccountFault.KEY, AccountFault.CREDIT, AccountFault.ACCESS


ACCOUNT = "p1"


def account_of(keys, first):
    """An account whose own key this is."""
    return next(account for account in map("p{}".format, range(1_000)) if keys.order(account)[0] == first)


def firsts(keys, now, count, model="m", own=0):
    """The first key of each of so many requests of an account that has a key of its own."""
    account = account_of(keys, own)
    return [keys.turn(model, account).next(now, last=True) for _ in range(count)]


def every(turn, now, *, last=True):
    """All keys that one request may try."""
    return list(iter(lambda: turn.next(now, last=last), None))


def test_an_accounts_requests_stay_with_one_key():
    keys = Keys(3)
    assert [firsts(keys, 0, 4, own=own) for own in range(3)] == [[own] * 4 for own in range(3)]
    order = keys.order(ACCOUNT)
    assert sorted(order) == [0, 1, 2]
    assert every(keys.turn("m", ACCOUNT), 0) == order
    assert Keys(3).order(ACCOUNT) == order  # in every worker, and after a restart
    assert any(Keys(3, seed="other").order(account) != keys.order(account) for account in map(str, range(100)))


@pytest.mark.parametrize("weights", [(1, 1), (1, 3), (5, 2, 3)])
def test_keys_get_accounts_by_their_weight(weights):
    firsts = [preference("openai", f"p{number}", weights)[0] for number in range(4_000)]
    for key, weight in enumerate(weights):
        assert abs(firsts.count(key) / 4_000 - weight / sum(weights)) < 0.04


def test_a_key_that_is_added_moves_only_the_accounts_that_it_gets():
    for number in range(500):
        before, after = (preference("openai", f"p{number}", (1,) * count) for count in (3, 4))
        assert [key for key in after if key != 3] == before


def test_a_key_of_the_same_organisation_is_the_next_one():
    keys = Keys(4)
    account = account_of(keys, 1)
    second = keys.order(account)[1]
    sister = next(key for key in (0, 2, 3) if key != second)
    for key in range(4):
        keys.learn(key, b"ours" if key in (1, sister) else b"other")
    assert keys.order(account)[:2] == [1, sister]
    keys.limited(1, "m", 0.0, 20.0)
    assert keys.turn("m", account).next(0.0, last=True) == sister


def test_a_refused_key_rests_and_is_tried_by_one_request_when_its_rest_is_over():
    keys = Keys(2)
    keys.refused(0, "m", 0.0, KEY)
    assert firsts(keys, FIRST_REST - 0.1, 3) == [1, 1, 1]
    assert firsts(keys, FIRST_REST, 3) == [0, 1, 1]
    # nobody heard what became of that one
    assert firsts(keys, FIRST_REST + PROBE_SECONDS - 0.1, 2) == [1, 1]
    assert firsts(keys, FIRST_REST + PROBE_SECONDS, 2) == [0, 1]
    keys.accepted(0, "m")
    assert firsts(keys, FIRST_REST + PROBE_SECONDS, 3) == [0, 0, 0]


def test_each_further_refusal_doubles_the_rest_up_to_the_longest():
    keys, now, rests = Keys(2), 0.0, []
    for _ in range(12):
        keys.refused(0, "m", now, KEY)
        start = now
        while keys.wait(0, "m", now) > 0:
            now += keys.wait(0, "m", now)
        rests.append(now - start)
    assert rests[:4] == [FIRST_REST, 2 * FIRST_REST, 4 * FIRST_REST, 8 * FIRST_REST]
    assert rests == sorted(rests)
    assert rests[-1] == LONGEST_REST
    keys.accepted(0, "m")
    keys.refused(0, "m", now, KEY)
    assert keys.wait(0, "m", now) == FIRST_REST


def test_refusals_of_requests_that_ran_together_count_once():
    keys = Keys(2)
    for _ in range(100):
        keys.refused(0, "m", 1.0, KEY)
    assert keys.wait(0, "m", 1.0) == FIRST_REST
    keys.refused(0, "m", 1.0 + FIRST_REST, KEY)
    assert keys.wait(0, "m", 1.0 + FIRST_REST) == 2 * FIRST_REST


@pytest.mark.parametrize(
    ("stated", "rest"),
    [(20.0, 20.0), (0.0, SHORTEST_REST), (-5.0, SHORTEST_REST), (86_400.0, LONGEST_REST), (None, FIRST_REST)],
)
def test_a_rate_limit_rests_as_long_as_the_provider_says(stated, rest):
    keys = Keys(2)
    keys.limited(0, "m", 0.0, stated)
    assert keys.wait(0, "m", 0.0) == rest


def test_the_longest_of_two_stated_waits_counts():
    keys = Keys(2)
    keys.limited(0, "m", 0.0, 20.0)
    keys.limited(0, "m", 1.0, 5.0)
    assert keys.wait(0, "m", 1.0) == 19.0
    keys.limited(0, "m", 2.0, 60.0)
    assert keys.wait(0, "m", 2.0) == 60.0


def test_a_rate_limit_and_a_lack_of_access_are_of_one_model():
    keys = Keys(2)
    keys.limited(0, "m", 0.0, 20.0)
    keys.refused(1, "n", 0.0, ACCESS)
    assert firsts(keys, 0, 2, "m") == [1, 1]
    assert firsts(keys, 0, 2, "n") == [0, 0]
    assert firsts(keys, 0, 2, "o") == [0, 0]
    assert firsts(keys, 0, 2, "o", own=1) == [1, 1]


def test_an_account_at_fault_rests_the_keys_that_are_known_to_be_its_own():
    keys = Keys(4)
    for key, organization in ((0, b"a"), (1, b"b"), (2, b"a")):
        assert not keys.knows(key)
        keys.learn(key, organization)
        assert keys.knows(key)
    keys.refused(0, "m", 0.0, KEY)
    assert [keys.wait(key, "m", 0.0) > 0 for key in range(4)] == [True, False, False, False]
    keys.refused(0, "m", 0.0, CREDIT)
    assert [keys.wait(key, "m", 0.0) > 0 for key in range(4)] == [True, False, True, False]
    keys.refused(3, "m", 0.0, CREDIT)  # whose it is is not known
    assert [keys.wait(key, "m", 0.0) > 0 for key in range(4)] == [True, False, True, True]


def test_if_every_key_rests_the_one_that_is_due_first_is_used_once():
    keys = Keys(3)
    for key, wait in ((0, 30.0), (1, 10.0), (2, 20.0)):
        keys.limited(key, "m", 0.0, wait)
    assert not keys.ready("m", 0.0)
    assert every(keys.turn("m", ACCOUNT), 0.0, last=False) == []
    assert every(keys.turn("m", ACCOUNT), 0.0) == [1]
    assert every(keys.turn("m", ACCOUNT), 0.0) == [1]
    assert keys.wait(1, "m", 0.0) == 10.0  # that it was used makes it wait no longer
    assert keys.ready("m", 10.0)
    assert every(keys.turn("m", ACCOUNT), 10.0) == [1, 2]


def test_of_keys_that_rest_those_that_are_only_limited_come_first():
    keys = Keys(3)
    keys.refused(0, "m", 0.0, KEY)
    keys.limited(1, "m", 0.0, 600.0)
    keys.limited(2, "m", 0.0, 300.0)
    assert every(keys.turn("m", ACCOUNT), 0.0) == [2]
    keys.refused(2, "m", 0.0, ACCESS)
    assert every(keys.turn("m", ACCOUNT), 0.0) == [1]


def test_a_single_key_is_always_used():
    keys = Keys(1)
    assert keys.knows(0)
    keys.refused(0, "m", 0.0, KEY)
    assert firsts(keys, 0.0, 3) == [0, 0, 0]


def test_keys_that_are_switched_off_are_not_used():
    keys = Keys(3)
    assert keys.turn("m", ACCOUNT).next(0.0, last=True, off={0, 2}) == 1
    assert keys.turn("m", ACCOUNT).next(0.0, last=True, off={0, 1, 2}) is None
    turn = keys.turn("m", ACCOUNT)
    assert [turn.next(0.0, last=True, off={2}) for _ in range(3)].count(None) == 1


def test_a_request_tries_a_bounded_number_of_keys():
    assert len(every(Keys(50).turn("m", ACCOUNT), 0.0)) == MOST_TRIED


def test_a_fault_is_announced_once_a_minute():
    keys = Keys(2)
    assert keys.announces(0, KEY, 5.0)
    assert not keys.announces(0, KEY, 5.0 + ANNOUNCE_SECONDS - 0.1)
    assert keys.announces(1, KEY, 5.0)
    assert keys.announces(0, CREDIT, 5.0)
    assert keys.announces(0, KEY, 5.0 + ANNOUNCE_SECONDS)


def test_resting_keys_are_counted_once():
    keys = Keys(3)
    keys.limited(0, "m", 0.0, 20.0)
    keys.limited(0, "n", 0.0, 20.0)
    keys.refused(1, "m", 0.0, KEY)
    assert keys.resting(0.0) == 2
    assert keys.resting(FIRST_REST) == 1
    assert keys.resting(20.0) == 0


class AnyEvents(RuleBasedStateMachine):
    """Requests, answers and time in any order: no key is lost, none is used while it rests and another does not."""

    @initialize(count=st.integers(1, 5))
    def start(self, count):
        self.keys = Keys(count)
        self.now = 0.0
        self.running: list[tuple[int, str]] = []

    @rule(model=st.sampled_from("mn"), last=st.booleans(), tries=st.integers(1, 6))
    def request(self, model, last, tries):
        turn = self.keys.turn(model, ACCOUNT)
        tried = []
        for _ in range(tries):
            waits = [self.keys.wait(key, model, self.now) for key in range(self.keys.count)]
            free = [key for key, wait in enumerate(waits) if not wait and key not in tried]
            key = turn.next(self.now, last=last)
            if free:
                assert key in free
            elif key is not None:
                assert last
                assert key not in tried
            elif not tried:
                assert not last
            if key is None:
                break
            assert key not in tried
            tried.append(key)
            self.running.append((key, model))

    @rule(
        data=st.data(),
        wait=st.none() | st.floats(-1, 10_000),
        kind=st.sampled_from(["accepted", "limited", *AccountFault]),
    )
    def answer(self, data, wait, kind):
        if not self.running:
            return
        key, model = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        if kind == "accepted":
            self.keys.accepted(key, model)
            assert self.keys.wait(key, model, self.now) == 0
        elif kind == "limited":
            self.keys.limited(key, model, self.now, wait)
        else:
            self.keys.refused(key, model, self.now, AccountFault(kind))
        if kind != "accepted":
            assert self.keys.wait(key, model, self.now) > 0

    @rule(seconds=st.floats(0, 2_000))
    def time(self, seconds):
        self.now += seconds

    @rule(key=st.integers(0, 4), organization=st.sampled_from([b"a", b"b"]))
    def learn(self, key, organization):
        if key < self.keys.count:
            self.keys.learn(key, organization)

    @invariant()
    def every_rest_ends(self):
        if hasattr(self, "keys"):
            longest = max(LONGEST_REST, PROBE_SECONDS)
            assert all(
                0 <= self.keys.wait(key, model, self.now) <= longest + 1e-6
                for key in range(self.keys.count)
                for model in "mn"
            )
            assert KeyTurn(self.keys, "m", self.keys.order(ACCOUNT)).next(self.now, last=True) is not None


TestAnyEvents = AnyEvents.TestCase


def test_keys_that_stay_configured_keep_what_is_known_of_them():
    before = Keys(3)
    before.refused(0, "m", 0.0, AccountFault.KEY)
    before.limited(2, "m", 0.0, 100.0)
    before.learn(2, b"org")
    assert before.announces(2, AccountFault.KEY, 0.0)
    after = Keys(2)
    after.inherit(before, {1: 2})  # the first is new, the second was the third
    assert after.wait(0, "m", 1.0) == 0.0
    assert after.wait(1, "m", 1.0) == before.wait(2, "m", 1.0) > 0
    assert after.knows(1)
    assert not after.announces(1, AccountFault.KEY, 1.0)
    after.accepted(1, "m")
    assert after.well
    assert not before.well
