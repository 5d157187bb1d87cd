from __future__ import annotations

import json
from typing import Any

import anthropic
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.anthropic.failure import provider_error

STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}

CLIENT = anthropic.Anthropic(api_key="k", base_url="http://127.0.0.1:1")


@pytest.mark.parametrize("kind", STATUSES)
def test_the_type_decides(kind: str):
    event = {"type": "error", "error": {"type": kind, "message": "m", "details": None}, "request_id": "req_1"}
    found = provider_error(event)
    assert found.status == STATUSES[kind]
    assert json.loads(found.body) == event


@pytest.mark.parametrize(
    ("event", "status", "kind"),
    [
        ({"error": {"message": "m", "code": 429}}, 429, "rate_limit_error"),
        ({"error": {"message": "m", "code": "context_length_exceeded"}}, 400, "invalid_request_error"),
        ({"error": "m"}, 502, "api_error"),
        ({"type": "error", "error": None}, 502, "api_error"),
        ({"type": "error", "message": "m"}, 502, "api_error"),
        ({"message": "m"}, 502, "api_error"),
        ("m", 502, "api_error"),
        (None, 502, "api_error"),
        ({"error": {"type": "something_new", "message": "m"}}, 502, "something_new"),
    ],
)
def test_other_forms(event: Any, status: int, kind: str):
    found = provider_error(event)
    body = json.loads(found.body)
    assert (found.status, body["type"], body["error"]["type"]) == (status, "error", kind)
    assert body["error"]["message"] in {"m", ""}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(st.sampled_from(["error", "message", "type", "code", "request_id"]), inner)
        ),
        max_leaves=8,
    )
)
def test_whatever_it_is_the_sdk_raises_its_own_exception(event: Any):
    found = provider_error(event)
    assert 400 <= found.status <= 599
    request = httpx2.Request("POST", "http://127.0.0.1:1/v1/messages")
    raised = CLIENT._make_status_error_from_response(httpx2.Response(found.status, content=found.body, request=request))
    assert isinstance(raised, anthropic.APIStatusError)
    assert raised.body == json.loads(found.body)
