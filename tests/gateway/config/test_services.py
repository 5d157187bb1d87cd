from __future__ import annotations

import pytest

from gateway.config import ConfigError
from gateway.config.services import RetentionConfig, ServiceScope, WebhookConfig
from tests.gateway.config.parsing import fault, parse

HOOK = '[webhooks]\nurl = "https://billing.internal/x"\nsecret = "env:SECRET"\n'


def test_nothing_is_stated_by_default() -> None:
    config = parse("")
    assert config.internal.tokens == ()
    assert config.retention == RetentionConfig(90, 120)
    assert config.webhooks is None
    assert config.stripe is None


def test_a_service_its_scopes_and_its_secret() -> None:
    (token,) = parse(
        '[internal.tokens.billing]\ntoken = "env:TOKEN"\nscopes = ["usage:read", "usage:ack"]'
    ).internal.tokens
    assert (token.name, token.secret) == ("billing", "t" * 32)
    assert token.scopes == {ServiceScope.USAGE_READ, ServiceScope.USAGE_ACK}
    assert "ttt" not in repr(token)


def test_an_event_s_receiver_and_mark() -> None:
    assert parse(HOOK + "low_credit = 2.5").webhooks == WebhookConfig(
        "https://billing.internal/x", b"kkk" * 8, 2_500_000
    )


def test_retention_and_stripe() -> None:
    config = parse('[retention]\ndays = 400\n[stripe]\napi_key = "sk_test"\nevent_name = "m"')
    assert config.retention == RetentionConfig(400, 400)
    assert config.stripe is not None
    assert (config.stripe.api_key, config.stripe.event_name) == ("sk_test", "m")
    assert "sk_test" not in repr(config.stripe)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('[internal.tokens.b]\ntoken = "short"\nscopes = ["usage:read"]', "internal.tokens.b.token"),
        ('[internal.tokens.b]\nscopes = ["usage:read"]', "internal.tokens.b.token"),
        ('[internal.tokens.b]\ntoken = "env:TOKEN"\nscopes = ["all"]', "internal.tokens.b.scopes"),
        ('[internal.tokens.b]\ntoken = "env:TOKEN"', "internal.tokens.b.scopes"),
        ('[internal.tokens."B b"]\ntoken = "env:TOKEN"\nscopes = ["usage:read"]', "internal.tokens.B b"),
        ("[retention]\ndays = 0", "retention.days"),
        ("[retention]\ndays = 90\nlongest_days = 80", "retention.longest_days"),
        (HOOK.replace("https", "http"), "webhooks.url"),
        (HOOK.replace("https://", "https://a:b@"), "webhooks.url"),
        (HOOK.replace("env:SECRET", "whsec_a2s="), "webhooks.secret"),
        (HOOK.replace("env:SECRET", "whsec_!"), "webhooks.secret"),
        (HOOK + "low_credit = -1", "webhooks.low_credit"),
        ('[stripe]\napi_key = "k"\nbase_url = "http://stripe.com"', "stripe.base_url"),
    ],
)
def test_a_fault_is_named(text: str, key: str) -> None:
    assert fault(text).startswith(key + ": ")


def test_two_services_with_one_token_are_refused() -> None:
    one = '[internal.tokens.{}]\ntoken = "env:TOKEN"\nscopes = ["usage:read"]\n'
    assert fault(one.format("a") + one.format("b")).startswith("internal.tokens: two services")


@pytest.mark.parametrize("name", ["cli", "portal", "app", "gateway"])
def test_no_service_has_a_name_that_stands_for_another_actor_in_the_audit_stream(name: str) -> None:
    text = f'[internal.tokens.{name}]\ntoken = "env:TOKEN"\nscopes = ["usage:read"]\n'
    assert fault(text).startswith(f"internal.tokens.{name}: ")


def test_http_is_taken_on_this_machine() -> None:
    assert parse(HOOK.replace("https://billing.internal", "http://127.0.0.1:9")).webhooks is not None


def test_work_on_the_store_goes_without_what_is_not_at_hand() -> None:
    text = HOOK + '[internal.tokens.b]\ntoken = "env:TOKEN"\nscopes = ["usage:read"]\n[stripe]\napi_key = "env:NONE"\n'
    config = parse(text, env={"KEY": "k"}, need_keys=False)
    assert (config.internal.tokens, config.webhooks, config.stripe) == ((), None, None)
    with pytest.raises(ConfigError):
        parse(text, env={"KEY": "k"})
