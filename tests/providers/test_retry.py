"""How long a provider asks to wait, in each form that it says it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.retry import retry_delay

NOW = 1_700_000_000.0
GOOGLE = {"error": {"details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "44.5s"}]}}


@pytest.mark.parametrize(
    ("headers", "body", "wait"),
    [
        ({"retry-after": "20"}, b"", 20.0),
        ({"retry-after": " 1.5 "}, b"", 1.5),
        ({"retry-after": "0"}, b"", 0.0),
        ({"retry-after": "20", "retry-after-ms": "300"}, b"", 0.3),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:50 GMT"}, b"", 30.0),
        ({"retry-after": "Tue, 14 Nov 2023 22:00:00 GMT"}, b"", 0.0),
        ({"retry-after": "soon"}, b"", None),
        ({"retry-after": "-5"}, b"", None),
        ({"retry-after": "9" * 400}, b"", None),
        ({}, json.dumps(GOOGLE).encode(), 44.5),
        ({}, json.dumps(GOOGLE, indent=2).encode(), 44.5),
        ({"retry-after": "7"}, json.dumps(GOOGLE).encode(), 7.0),
        ({"x-other": "7"}, b'{"retryDelay": 7}', None),
        ({}, b"", None),
    ],
)
def test_the_wait(headers, body, wait):
    assert retry_delay([(name.encode(), value.encode()) for name, value in headers.items()], body, NOW) == wait


@given(st.binary(max_size=40), st.binary(max_size=80))
def test_anything_else_says_nothing_and_fails_nowhere(value, body):
    wait = retry_delay([(b"retry-after", value)], body, NOW)
    assert wait is None or wait >= 0
