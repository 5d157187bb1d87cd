"""What a failed attempt means: tables of pure decisions."""

from types import SimpleNamespace

import pytest

from gateway.errors import ProviderUnavailable, UpstreamError, UpstreamTimeout
from gateway.inference.failover import Next, after_answer, after_fault, concerns_our_key, error_of, usable
from gateway.upstream.faults import Fault
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


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 529, 401, 402, 403])
def test_what_another_target_may_mend(status):
    assert after_answer(status, more=True) is Next.NEXT_TARGET
    assert after_answer(status, more=False) is Next.GIVE_UP


@pytest.mark.parametrize("status", [400, 404, 409, 413, 422, 501, 301])
def test_what_no_other_target_mends(status):
    assert after_answer(status, more=True) is Next.GIVE_UP


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


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (401, b"", True),
        (402, b"", True),
        (403, b"", True),
        (429, b'{"error":{"code":"insufficient_quota"}}', True),
        (429, b'{"error":{"code":"rate_limit_exceeded"}}', False),
        (400, b'{"error":{"details":[{"reason":"API_KEY_INVALID"}]}}', True),
        (400, b'{"error":{"message":"context length"}}', False),
        (500, b'"insufficient_quota"', False),
    ],
)
def test_errors_about_our_key(status, body, expected):
    assert concerns_our_key(status, body) is expected


def target(family, company):
    return SimpleNamespace(provider=SimpleNamespace(family=family, company=company))


def test_selected_means_selected():
    first, second = target(Family.OPENAI, "a"), target(Family.OPENAI, "a")
    other, foreign = target(Family.OPENAI, "b"), target(Family.ANTHROPIC, "c")
    assert usable([first, other, second, foreign], Family.OPENAI) == (first, second)
    assert usable([first, other], Family.ANTHROPIC) == ()
    assert usable([first, foreign], Family.ANTHROPIC) == (foreign,)
    assert usable([], Family.GOOGLE) == ()
