"""The gateway's errors as each dialect's SDK expects them, and what a refusal becomes on its way to the caller."""

import json

import pytest

from gateway.errors import (
    ConcurrencyLimited,
    CreditsExhausted,
    GatewayError,
    ProviderUnavailable,
    RateLimited,
    RetentionUnavailable,
    TokenExpired,
    TokenInvalid,
    TokenRevoked,
)
from gateway.http.answers import error_of_path, error_of_refusal, error_response, rate_limit_headers, sentence
from metering.ledger.ledger import Window
from providers.dialect import Family, Refusal
from providers.paths import PathFault, resolve


def all_errors(tree=GatewayError):
    yield tree
    for branch in tree.__subclasses__():
        yield from all_errors(branch)


def make(kind):
    if kind is CreditsExhausted:
        return CreditsExhausted(needed=3, held=2, available=1)
    if kind is RetentionUnavailable:
        return RetentionUnavailable(limit=0, least=30)
    return kind("GET") if kind.code == "method_not_allowed" else kind()


@pytest.mark.parametrize("family", [*Family, None])
@pytest.mark.parametrize("kind", list(all_errors()), ids=lambda kind: kind.__name__)
def test_every_error_in_every_dialect(kind, family):
    error = make(kind)
    response = error_response(error, family, "req_1")
    body = json.loads(response.body)
    assert response.status == error.status
    assert response.headers["x-request-id"] == "req_1"
    assert response.headers["x-error-origin"] == "gateway"
    assert response.headers["x-error-code"] == error.code
    assert error.message in response.body.decode()
    assert ("Retry-After" in response.headers) is (error.retry_after is not None)
    if family is None:
        assert response.headers["Content-Type"].startswith("application/problem+json")
        assert body["status"] == error.status
    elif family is Family.ANTHROPIC:
        assert response.headers["request-id"] == "req_1"
        assert body["type"] == "error"
    elif family is Family.GOOGLE:
        assert body["error"]["code"] == error.status
    else:
        assert body["error"]["code"] == error.code


def test_401_says_how_to_authenticate():
    assert error_response(TokenInvalid(), None, "r").headers["WWW-Authenticate"].startswith("Bearer ")


def test_402_is_not_waited_for():
    headers = error_response(make(CreditsExhausted), Family.OPENAI, "r").headers
    assert headers["x-should-retry"] == "false"
    assert "Retry-After" not in headers


def test_402_is_waited_for_if_running_requests_hold_the_credits():
    error = CreditsExhausted(needed=3, held=2, available=1, retry_after=5)
    headers = error_response(error, Family.OPENAI, "r").headers
    assert (headers["x-should-retry"], headers["Retry-After"]) == ("true", "5")


@pytest.mark.parametrize(
    ("error", "numbers"),
    [
        (
            CreditsExhausted(needed=4_109_250, held=0, available=1_000_000),
            "Needed: 4.10925 credits; available: 1; held by running requests: 0.",
        ),
        (
            CreditsExhausted(needed=1, held=12_500_000, available=-250_000),
            "Needed: 0.000001 credits; available: -0.25; held by running requests: 12.5.",
        ),
        (CreditsExhausted(needed=1, held=1, available=0, retry_after=5), "Try again in 5 seconds."),
        (RateLimited(retry_after=11.2), "Try again in 12 seconds."),
        (RateLimited("The day's credits are used.", retry_after=3_600), "Try again in 3600 seconds."),
        (ConcurrencyLimited(retry_after=1), "Try again in 1 second."),
    ],
)
@pytest.mark.parametrize("family", [*Family, None])
def test_numbers_are_told_in_the_units_of_people(error, numbers, family):
    assert sentence(error) == f"{error.message} {numbers}" or sentence(error).endswith(f". {numbers}")
    assert numbers in error_response(error, family, "r").body.decode()
    assert "micro" not in sentence(error)


@pytest.mark.parametrize(("seconds", "header", "should"), [(0.2, "1", None), (30, "30", None), (30.5, "31", "false")])
def test_a_long_wait_is_not_slept_through(seconds, header, should):
    for error in (RateLimited(retry_after=seconds), ProviderUnavailable(retry_after=seconds)):
        headers = error_response(error, Family.OPENAI, "r").headers
        assert headers["Retry-After"] == header
        assert headers.get("x-should-retry") == should


@pytest.mark.parametrize(
    ("error", "should"), [(TokenInvalid(), "false"), (TokenRevoked(), "false"), (TokenExpired(), None)]
)
def test_only_a_token_that_can_be_refreshed_is_worth_another_try(error, should):
    assert error_response(error, Family.ANTHROPIC, "r").headers.get("x-should-retry") == should


def test_rate_limit_headers():
    windows = [Window(policy="requests", limit=60, remaining=3, reset_ms=1500)]
    assert rate_limit_headers(windows) == {
        "RateLimit-Policy": '"requests";q=60;w=60',
        "RateLimit": '"requests";r=3;t=2',
    }
    assert rate_limit_headers([]) == {}


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("POST", "/nothing", 404, "not_found"),
        ("GET", "/v1/chat/completions", 405, "method_not_allowed"),
        ("POST", "/v1/files", 400, "privacy_unsupported"),
        ("POST", "/v1/batches", 400, "privacy_unsupported"),
        ("POST", "/v1/%ff", 400, "invalid_request"),
    ],
)
def test_what_a_path_fault_becomes(method, path, status, code):
    found = resolve(method, path)
    assert isinstance(found, PathFault)
    error = error_of_path(found)
    assert (error.status, error.code) == (status, code)
    if status == 405:
        assert error.headers["Allow"] == "POST"


@pytest.mark.parametrize("code", ["invalid_request", "unsupported_feature", "privacy_unsupported"])
def test_what_a_dialects_refusal_becomes(code):
    error = error_of_refusal(Refusal(code, "Say it otherwise.", "messages"))
    assert (error.status, error.code, error.message, error.param) == (400, code, "Say it otherwise.", "messages")
