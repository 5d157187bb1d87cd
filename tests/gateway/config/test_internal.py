from __future__ import annotations

import pytest

from gateway.config.internal import ServiceScope
from tests.gateway.config.parsing import fault, parse


def test_no_service_is_stated_by_default() -> None:
    assert parse("").internal.tokens == ()


def test_a_service_its_scopes_and_its_secret() -> None:
    (token,) = parse(
        '[internal.tokens.billing]\ntoken = "env:TOKEN"\nscopes = ["usage:read", "usage:ack"]'
    ).internal.tokens
    assert (token.name, token.secret) == ("billing", "t" * 32)
    assert token.scopes == {ServiceScope.USAGE_READ, ServiceScope.USAGE_ACK}
    assert "ttt" not in repr(token)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('[internal.tokens.b]\ntoken = "short"\nscopes = ["usage:read"]', "internal.tokens.b.token"),
        ('[internal.tokens.b]\nscopes = ["usage:read"]', "internal.tokens.b.token"),
        ('[internal.tokens.b]\ntoken = "env:TOKEN"\nscopes = ["all"]', "internal.tokens.b.scopes"),
        ('[internal.tokens.b]\ntoken = "env:TOKEN"', "internal.tokens.b.scopes"),
        ('[internal.tokens."B b"]\ntoken = "env:TOKEN"\nscopes = ["usage:read"]', "internal.tokens.B b"),
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
