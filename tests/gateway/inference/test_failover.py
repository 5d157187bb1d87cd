"""What a failed attempt means: tables of pure decisions."""

from datetime import date
from types import SimpleNamespace

import pytest

from gateway.catalog.lifecycle import Lifecycle
from gateway.errors import ProviderUnavailable, UpstreamError, UpstreamTimeout
from gateway.inference.answer import Answer, Ending
from gateway.inference.failover import (
    Next,
    after_answer,
    after_fault,
    best,
    blames_target,
    error_of,
    finding_of,
    lasting_first,
    usable,
)
from gateway.inference.rejection import Rejection
from gateway.upstream.faults import Fault
from providers.account_codes import AccountFault
from providers.dialect import Family, Operation, ProviderError


@pytest.mark.parametrize(
    ("reused", "sent", "retried", "more", "expected"),
    [
        (True, 0, False, False, Next.SAME_FRESH),
        (True, 0, False, True, Next.SAME_FRESH),
        (True, 0, True, False, Next.GIVE_UP),  # once
        (True, 0, True, True, Next.NEXT_TARGET),
        (True, 1, False, False, Next.GIVE_UP),  # the provider may have seen it
        (True, 1, False, True, Next.NEXT_TARGET),
        (False, 0, False, False, Next.GIVE_UP),
        (False, 0, False, True, Next.NEXT_TARGET),
    ],
)
def test_after_a_fault(reused, sent, retried, more, expected):
    assert after_fault(Fault.CLOSED, reused=reused, sent=sent, retried=retried, more=more) is expected


def test_a_fault_of_ours_is_not_met_twice():
    assert after_fault(Fault.INTERNAL, reused=True, sent=0, retried=False, more=True) is Next.GIVE_UP
    assert (error_of(Fault.INTERNAL).status, error_of(Fault.INTERNAL).code) == (500, "internal_error")


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504, 529])
def test_what_may_be_better_at_another_target(status):
    assert after_answer(status, operators=False, lacking=False, more=True) is Next.NEXT_TARGET
    assert after_answer(status, operators=False, lacking=False, more=False) is Next.GIVE_UP


@pytest.mark.parametrize("more", [False, True])
@pytest.mark.parametrize("status", [400, 401, 402, 403, 412, 429])
def test_what_is_the_operators_is_tried_with_another_key(status, more):
    assert after_answer(status, operators=True, lacking=False, more=more) is Next.NEXT_KEY
    assert after_answer(429, operators=False, lacking=False, more=more) is Next.NEXT_KEY


@pytest.mark.parametrize("status", [400, 404])
def test_a_model_that_is_not_there_is_looked_for_with_another_key_and_at_another_target(status):
    assert after_answer(status, operators=False, lacking=True, more=False) is Next.NEXT_KEY
    assert blames_target(Answer(Ending.REFUSED, status), lacking=True)
    assert not blames_target(Answer(Ending.REFUSED, status), lacking=False)


@pytest.mark.parametrize("status", [400, 403, 404, 409, 413, 422, 505, 301])
def test_what_no_other_target_answers_better(status):
    assert after_answer(status, operators=False, lacking=False, more=True) is Next.GIVE_UP


@pytest.mark.parametrize(
    ("waits", "first"),
    [
        ([(False, 0.0), (False, 0.0)], 0),
        ([(True, 0.0), (False, 0.0), (False, 0.0)], 1),  # all its keys rest
        ([(False, 9.0), (False, 0.0)], 1),
        ([(False, 9.0), (False, 3.0)], 1),  # none is ready: the soonest
        ([(True, 0.0), (False, 9.0)], 1),  # its keys would be refused
        ([(True, 0.0), (True, 0.0)], 0),
        ([(False, 9.0)], 0),  # the last one is never lost
    ],
)
def test_the_first_target_that_is_ready_is_tried(waits, first):
    assert best(waits) == first


OWN = {
    Fault.STOPPED,
    Fault.INTERNAL,
    Fault.POOL_FULL,
    Fault.DEADLINE,
}  # the gateway's or its caller's, not the target's


@pytest.mark.parametrize(
    ("answer", "blamed"),
    [
        *((Answer(Ending.REFUSED, status), True) for status in (500, 502, 503, 504, 529)),
        *((Answer(Ending.REFUSED, status), False) for status in (400, 401, 403, 408, 413, 422, 429, 501, 505)),
        *((Answer(Ending.NOTHING, fault=fault), fault not in OWN) for fault in Fault),
        (Answer(Ending.FAILED, 200), True),  # an end without an answer
        (Answer(Ending.FAILED, 200, error=ProviderError(529, b"")), True),
        (Answer(Ending.FAILED, 200, error=ProviderError(400, b"")), False),
        (Answer(Ending.BROKEN, 200), True),
        (Answer(Ending.BROKEN, 200, fault=Fault.INTERNAL), False),
        (Answer(Ending.WHOLE, 200), False),
        (Answer(Ending.STOPPED, 200), False),
    ],
)
def test_which_failures_are_the_targets(answer, blamed):
    assert blames_target(answer) is blamed


@pytest.mark.parametrize(
    ("rejection", "fault"),
    [
        (Rejection(401, b"", None, inside=False), AccountFault.KEY),
        (Rejection(403, None, None, inside=False), AccountFault.ACCESS),
        (Rejection(400, b'{"error":{"code":"insufficient_quota"}}', None, inside=False), AccountFault.CREDIT),
        (Rejection(500, b'{"error":{"code":"insufficient_quota"}}', None, inside=False), None),
        # inside a 2xx: 502 says only that the error states no status
        (Rejection(502, b'{"error":{"code":"billing_not_active"}}', None, inside=True), AccountFault.CREDIT),
        (Rejection(502, b'{"error":{"message":"upstream"}}', None, inside=True), None),
        (Rejection(400, None, None, inside=False), None),
    ],
)
def test_whose_fault_an_error_is(rejection, fault):
    found = finding_of(Family.OPENAI, rejection, b"{}")
    assert (found.fault if found else None) is fault


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault is not Fault.INTERNAL])
def test_every_fault_has_an_error_that_can_be_retried(fault):
    error = error_of(fault)
    assert error.retry_after
    if (fault.value.endswith("timeout") and fault is not Fault.CONNECT_TIMEOUT) or fault is Fault.DEADLINE:
        assert isinstance(error, UpstreamTimeout)
    elif fault in {Fault.CLOSED, Fault.PROTOCOL, Fault.STOPPED}:
        assert type(error) is UpstreamError
    else:
        assert isinstance(error, ProviderUnavailable)


def target(family, company, serves=None):
    def served(operation):
        return serves is None or operation in serves

    return SimpleNamespace(provider=SimpleNamespace(family=family, company=company, serves=served))


def test_a_target_that_has_ended_is_tried_last():
    day = 86_400_000
    ended, lasting, later = (
        SimpleNamespace(lifecycle=Lifecycle(end, deprecated=True)) for end in (date(1970, 1, 3), None, date(1970, 1, 4))
    )
    assert lasting_first((ended, lasting, later), 2 * day - 1) == (ended, lasting, later)
    assert lasting_first((ended, lasting, later), 2 * day) == (lasting, later, ended)
    assert lasting_first((ended,), 9 * day) == (ended,)
    assert lasting_first((), 0) == ()


def test_selected_means_selected():
    first, second = target(Family.OPENAI, "a"), target(Family.OPENAI, "a")
    other, foreign = target(Family.OPENAI, "b"), target(Family.ANTHROPIC, "c")
    assert usable([first, other, second, foreign], Family.OPENAI) == (first, second)
    assert usable([first, other], Family.ANTHROPIC) == ()
    assert usable([first, foreign], Family.ANTHROPIC) == (foreign,)
    assert usable([], Family.GOOGLE) == ()


def test_a_company_that_the_account_allows_by_name_comes_after_the_selected_one():
    first, second = target(Family.OPENAI, "a"), target(Family.OPENAI, "a")
    other, third, foreign = (
        target(family, name)
        for family, name in zip((Family.OPENAI, Family.OPENAI, Family.ANTHROPIC), "bcb", strict=True)
    )
    every = [first, other, third, second, foreign]
    assert usable(every, Family.OPENAI, companies={"b"}) == (first, second, other)
    assert usable(every, Family.OPENAI, companies={"b", "c"}) == (first, second, other, third)
    assert usable(every, Family.OPENAI, companies={"z"}) == (first, second)
    assert usable(every, Family.OPENAI) == (first, second)


def test_a_target_that_does_not_serve_the_operation_decides_nothing():
    chat, every = target(Family.OPENAI, "a", {Operation.OPENAI_CHAT}), target(Family.OPENAI, "b")
    assert usable([chat, every], Family.OPENAI, Operation.OPENAI_CHAT) == (chat,)
    assert usable([chat, every], Family.OPENAI, Operation.OPENAI_RESPONSES) == (every,)
    assert usable([chat], Family.OPENAI, Operation.OPENAI_RESPONSES) == ()
