from __future__ import annotations

import pytest

from gateway.config import ConfigError
from gateway.config.webhooks import WebhookConfig
from tests.gateway.config.parsing import fault, parse

HOOK = '[webhooks]\nurl = "https://billing.internal/x"\nsecret = "env:SECRET"\n'


def test_nothing_is_told_by_default() -> None:
    assert parse("").webhooks is None


def test_an_event_s_receiver_and_mark() -> None:
    assert parse(HOOK + "low_credit = 2.5").webhooks == WebhookConfig(
        "https://billing.internal/x", b"kkk" * 8, 2_500_000
    )


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (HOOK.replace("https", "http"), "webhooks.url"),
        (HOOK.replace("https://", "https://a:b@"), "webhooks.url"),
        (HOOK.replace("env:SECRET", "whsec_a2s="), "webhooks.secret"),
        (HOOK.replace("env:SECRET", "whsec_!"), "webhooks.secret"),
        (HOOK + "low_credit = -1", "webhooks.low_credit"),
    ],
)
def test_a_fault_is_named(text: str, key: str) -> None:
    assert fault(text).startswith(key + ": ")


def test_http_is_taken_on_this_machine() -> None:
    assert parse(HOOK.replace("https://billing.internal", "http://127.0.0.1:9")).webhooks is not None


def test_work_on_the_store_goes_without_what_is_not_at_hand() -> None:
    text = HOOK + '[internal.tokens.b]\ntoken = "env:TOKEN"\nscopes = ["usage:read"]\n[stripe]\napi_key = "env:NONE"\n'
    config = parse(text, env={"KEY": "k"}, need_keys=False)
    assert (config.internal.tokens, config.webhooks, config.stripe) == ((), None, None)
    with pytest.raises(ConfigError):
        parse(text, env={"KEY": "k"})
