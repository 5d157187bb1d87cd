from __future__ import annotations

import json
from typing import Any

import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.openai.failure import provider_error

CLIENT = openai.OpenAI(api_key="k", base_url="http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"code": "rate_limit_exceeded", "type": "tokens"}, 429),
        ({"code": "insufficient_quota", "type": "insufficient_quota"}, 429),
        ({"code": "context_length_exceeded", "type": "invalid_request_error"}, 400),
        ({"code": "content_filter", "type": None, "status": 400}, 400),
        ({"code": "model_not_found", "type": "invalid_request_error"}, 404),
        ({"code": "invalid_api_key", "type": "invalid_request_error"}, 401),
        ({"code": "server_error"}, 500),
        ({"code": "server_is_overloaded"}, 503),
        ({"code": "vector_store_timeout"}, 504),
        ({"code": None, "type": "server_error"}, 500),
        ({"code": 429}, 429),
        ({"code": "429"}, 429),
        ({"code": 503.0}, 503),
        ({"code": 200, "type": "rate_limit_error"}, 429),
        ({"status_code": 400}, 400),
        ({"code": "1113", "message": "balance"}, 502),
        ({"code": "some_new_code", "type": "BadRequestError"}, 400),
        ({"code": [], "type": {}}, 502),
        ({"error": {"error": {"code": "server_error"}}}, 500),
        ([{"code": 404}], 404),
        ("overloaded", 502),
        ("", 502),
        ({}, 502),
        (None, 502),
        (7, 502),
    ],
)
def test_the_status_that_an_error_means(error: Any, status: int):
    assert provider_error(error).status == status


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        ({"message": "Rate limit reached. Please try again in 1.898s. Visit https://x"}, 1.898),
        ({"message": "Please try again in 250ms."}, 0.25),
        ({"message": "Please try again in 6m0s."}, 360.0),
        ({"message": "Please try again in 1h2m3.5s"}, 3723.5),
        ({"message": "please try again in 2m"}, 120.0),
        ({"retry_after": 7, "message": "x"}, 7.0),
        ({"retry_after": True, "message": "x"}, None),
        ({"retry_after": -1}, None),
        ({"message": "try again in a while"}, None),
        ({"message": "x" * 5000 + "try again in 5s"}, None),
        ("overloaded", None),
    ],
)
def test_how_long_to_wait(error: Any, seconds: float | None):
    assert provider_error(error).retry_after == seconds


ERRORS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "message", "type", "code", "param", "status", "retry_after", "detail", "x"]),
            inner,
        )
    ),
    max_leaves=9,
)


@given(ERRORS)
def test_whatever_it_is_the_sdk_raises_its_own_exception(error: Any):
    found = provider_error(error)
    assert 400 <= found.status <= 599
    body = json.loads(found.body)
    assert {"message", "type", "param", "code"} <= body["error"].keys()
    request = httpx2.Request("POST", "http://127.0.0.1:1/v1/chat/completions")
    raised = CLIENT._make_status_error_from_response(httpx2.Response(found.status, content=found.body, request=request))
    assert isinstance(raised, openai.APIStatusError)
    assert raised.status_code == found.status
    assert raised.body == body["error"]


def test_what_the_error_says_stays_and_its_words_are_in_no_representation():
    error = {"message": "private words", "type": "t", "code": "c", "param": None, "metadata": {"raw": "private words"}}
    found = provider_error(error)
    assert json.loads(found.body) == {"error": error}
    assert "private" not in repr(found)
    assert "private" not in str(found)


def test_the_type_of_an_event_is_not_that_of_its_error():
    found = provider_error({"type": "error", "code": "rate_limit_exceeded", "message": "m", "sequence_number": 3})
    assert json.loads(found.body)["error"] == {
        "message": "m",
        "type": "rate_limit_error",
        "param": None,
        "code": "rate_limit_exceeded",
    }
