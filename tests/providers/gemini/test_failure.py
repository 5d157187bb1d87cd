from __future__ import annotations

import json
from typing import Any

import pytest
from google.genai import errors
from hypothesis import given
from hypothesis import strategies as st

from providers.gemini.failure import provider_error

INFO = "type.googleapis.com/google.rpc.ErrorInfo"
RETRY = "type.googleapis.com/google.rpc.RetryInfo"


@pytest.mark.parametrize(
    ("error", "status", "name"),
    [
        ({"code": 429, "message": "m", "status": "RESOURCE_EXHAUSTED"}, 429, "RESOURCE_EXHAUSTED"),
        ({"code": 503, "message": "m", "status": "UNAVAILABLE"}, 503, "UNAVAILABLE"),
        ({"status": "INVALID_ARGUMENT"}, 400, "INVALID_ARGUMENT"),
        ({"status": "cancelled"}, 499, "cancelled"),
        ({"code": 8}, 429, "RESOURCE_EXHAUSTED"),
        ({"code": "500"}, 500, "INTERNAL"),
        ({"code": 0}, 502, "UNKNOWN"),
        ({"code": [], "status": {}}, 502, {}),
        ([{"error": {"code": 404}}], 404, "NOT_FOUND"),
        ("m", 502, "UNKNOWN"),
        (None, 502, "UNKNOWN"),
    ],
)
def test_the_status_that_an_error_means(error: Any, status: int, name: object):
    found = provider_error(error)
    body = json.loads(found.body)["error"]
    assert (found.status, body["code"], body["status"]) == (status, status, name)


@pytest.mark.parametrize(
    ("delay", "seconds"),
    [("34s", 34.0), ("34.074824224s", 34.074824224), ("0s", 0.0), ({"seconds": 5}, 5.0), ("soon", None), (7, None)],
)
def test_how_long_to_wait(delay: Any, seconds: float | None):
    details = ["x", {"@type": INFO}, {"@type": RETRY, "retryDelay": delay}]
    assert provider_error({"code": 429, "details": details}).retry_after == seconds


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(st.sampled_from(["error", "message", "status", "code", "details"]), inner)
        ),
        max_leaves=8,
    )
)
def test_whatever_it_is_the_sdk_raises_its_own_exception(error: Any):
    found = provider_error(error)
    assert 400 <= found.status <= 599
    with pytest.raises(errors.APIError) as raised:
        errors.APIError.raise_error(found.status, json.loads(found.body), None)
    assert raised.value.code == found.status
