"""The gateway's errors as each dialect's SDK expects them, and what a refusal becomes on its way to the caller."""

import json

import pytest

from gateway.errors import CreditsExhausted, GatewayError, ProviderUnavailable, RateLimited, TokenInvalid
from gateway.http.answers import error_of_path, error_of_refusal, error_response, rate_limit_headers
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


@pytest.mark.parametrize(("seconds", "header", "should"), [(0.2, "1", None), (30, "30", None), (30.5, "31", "false")])
def test_a_long_wait_is_not_slept_through(seconds, header, should):
    for error in (RateLimited(retry_after=seconds), ProviderUnavailable(retry_after=seconds)):
        headers = error_response(error, Family.OPENAI, "r").headers
        assert headers["Retry-After"] == header
        assert headers.get("x-should-retry") == should


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
