"""What a failed attempt means: tables of pure decisions."""

from types import SimpleNamespace

import pytest

from gateway.errors import ProviderUnavailable, UpstreamError, UpstreamTimeout
from gateway.inference.failover import Next, after_answer, after_fault, error_of, finding_of, ready_first, usable
from gateway.inference.rejection import Rejection
from gateway.upstream.faults import Fault
from providers.account_codes import AccountFault
from providers.dialect import Family


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
    assert after_answer(status, operators=False, more=True) is Next.NEXT_TARGET
    assert after_answer(status, operators=False, more=False) is Next.GIVE_UP


@pytest.mark.parametrize("more", [False, True])
@pytest.mark.parametrize("status", [400, 401, 402, 403, 412, 429])
def test_what_is_the_operators_is_tried_with_another_key(status, more):
    assert after_answer(status, operators=True, more=more) is Next.NEXT_KEY
    assert after_answer(429, operators=False, more=more) is Next.NEXT_KEY


@pytest.mark.parametrize("status", [400, 403, 404, 409, 413, 422, 501, 301])
def test_what_no_other_target_answers_better(status):
    assert after_answer(status, operators=False, more=True) is Next.GIVE_UP


def test_targets_of_which_every_key_rests_come_last():
    assert ready_first("abcd", [False] * 4) == "abcd"
    assert ready_first("abcd", [True, False, True, False]) == ["b", "d", "a", "c"]
    assert ready_first("ab", [True, True]) == ["a", "b"]


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
    if fault.value.endswith("timeout") and fault is not Fault.CONNECT_TIMEOUT:
        assert isinstance(error, UpstreamTimeout)
    elif fault in {Fault.CLOSED, Fault.PROTOCOL, Fault.STOPPED}:
        assert type(error) is UpstreamError
    else:
        assert isinstance(error, ProviderUnavailable)


def target(family, company):
    return SimpleNamespace(provider=SimpleNamespace(family=family, company=company))


def test_selected_means_selected():
    first, second = target(Family.OPENAI, "a"), target(Family.OPENAI, "a")
    other, foreign = target(Family.OPENAI, "b"), target(Family.ANTHROPIC, "c")
    assert usable([first, other, second, foreign], Family.OPENAI) == (first, second)
    assert usable([first, other], Family.ANTHROPIC) == ()
    assert usable([first, foreign], Family.ANTHROPIC) == (foreign,)
    assert usable([], Family.GOOGLE) == ()
