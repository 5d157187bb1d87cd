"""What a refusal becomes on its way to the caller."""

import pytest

from gateway.http.refusals import error_of_path, error_of_refusal
from providers.dialect import Refusal
from providers.paths import PathFault, resolve


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
