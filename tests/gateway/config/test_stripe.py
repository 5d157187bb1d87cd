from __future__ import annotations

import pytest

from tests.gateway.config.parsing import fault, parse


def test_nothing_is_sent_by_default() -> None:
    assert parse("").stripe is None


def test_the_key_is_in_no_repr() -> None:
    stripe = parse('[stripe]\napi_key = "sk_test"\nevent_name = "m"').stripe
    assert stripe is not None
    assert (stripe.api_key, stripe.event_name) == ("sk_test", "m")
    assert "sk_test" not in repr(stripe)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('[stripe]\napi_key = "k"\nbase_url = "http://stripe.com"', "stripe.base_url"),
    ],
)
def test_a_fault_is_named(text: str, key: str) -> None:
    assert fault(text).startswith(key + ": ")
