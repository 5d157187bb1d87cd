from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import DataHandling, Endpoint, Region
from providers.wires import WIRES
from tests.gateway.config.parsing import ELSEWHERE, PROVIDER, fault, faults, model, parse


def test_several_keys_of_one_provider() -> None:
    config = parse("", provider=PROVIDER.replace('"env:KEY"', '["env:KEY", "env:OTHER"]'))
    assert config.providers["openai"].api_keys == ("sk-secret-1", "sk-secret-2")
    assert config.providers["openai"].key_weights == (1, 1)


def test_a_key_may_have_a_weight() -> None:
    config = parse("", provider=PROVIDER.replace('"env:KEY"', '["env:KEY", { key = "env:OTHER", weight = 3 }]'))
    assert config.providers["openai"].api_keys == ("sk-secret-1", "sk-secret-2")
    assert config.providers["openai"].key_weights == (1, 3)


@pytest.mark.parametrize(
    ("keys", "key"),
    [
        ('["env:KEY", { weight = 3 }]', "api_keys[1].key"),
        ('{ key = "env:KEY", weight = 0 }', "api_keys[0].weight"),
        ('{ key = "env:KEY", weight = 1.5 }', "api_keys[0].weight"),
        ('{ key = "env:KEY", share = 2 }', "api_keys[0].share"),
        ("{ key = 7 }", "api_keys[0].key"),
        ('{ key = "with space" }', "api_keys"),
    ],
)
def test_a_fault_of_a_key_is_named(keys: str, key: str) -> None:
    assert fault("", provider=PROVIDER.replace('"env:KEY"', keys)).startswith(f"providers.openai.{key}: ")


@pytest.mark.parametrize("keys", ["[]", '"with space"', '"schlüssel"', "7", '"a\\nb"'])
def test_a_key_that_cannot_be_sent_is_a_fault(keys: str) -> None:
    text = PROVIDER.replace('"env:KEY"', keys)
    assert fault("", provider=text).startswith("providers.openai.api_keys: ")


CHAT, MESSAGES, GENERATE = "/v1/chat/completions", "/v1/messages", "/v1beta/models/m:generateContent"


@pytest.mark.parametrize(
    ("kind", "base", "operation", "asked"),
    [
        ("openai", "https://api.example.com", CHAT, "https://api.example.com/v1/chat/completions"),
        ("openai", "https://api.example.com/", CHAT, "https://api.example.com/v1/chat/completions"),
        ("openai", "https://api.example.com/v1", CHAT, "https://api.example.com/v1/chat/completions"),
        ("openai", "https://api.example.com/v1/", CHAT, "https://api.example.com/v1/chat/completions"),
        ("openai", "https://h.example:8443/openai/v1", CHAT, "https://h.example:8443/openai/v1/chat/completions"),
        ("openai", "https://h.example/openai", CHAT, "https://h.example/openai/v1/chat/completions"),
        ("openai", "https://h.example/api/paas/v4", CHAT, "https://h.example/api/paas/v4/chat/completions"),
        ("openai", "https://h.example/api/v3", CHAT, "https://h.example/api/v3/chat/completions"),
        ("openai", "https://h.example/api/v10/", CHAT, "https://h.example/api/v10/chat/completions"),
        (
            "openai",
            "https://h.example/compatible-mode/v1",
            CHAT,
            "https://h.example/compatible-mode/v1/chat/completions",
        ),
        ("openai", "https://h.example/v1beta/openai/", CHAT, "https://h.example/v1beta/openai/chat/completions"),
        ("openai", "https://h.example/v2/ai/openai", CHAT, "https://h.example/v2/ai/openai/chat/completions"),
        (
            "openai",
            "https://h.example/client/v4/accounts/7/ai/v1",
            CHAT,
            "https://h.example/client/v4/accounts/7/ai/v1/chat/completions",
        ),
        ("openai", "https://h.example/vault/valley", CHAT, "https://h.example/vault/valley/v1/chat/completions"),
        ("openai", "http://127.0.0.1:9", CHAT, "http://127.0.0.1:9/v1/chat/completions"),
        ("openai", "http://localhost/v1", CHAT, "http://localhost/v1/chat/completions"),
        ("openai", "http://[::1]:81/v4", CHAT, "http://[::1]:81/v4/chat/completions"),
        ("anthropic", "https://h.example", MESSAGES, "https://h.example/v1/messages"),
        ("anthropic", "https://h.example/v1", MESSAGES, "https://h.example/v1/messages"),
        ("anthropic", "https://h.example/api/anthropic", MESSAGES, "https://h.example/api/anthropic/v1/messages"),
        (
            "anthropic",
            "https://h.example/v1/7/gateway/anthropic",
            MESSAGES,
            "https://h.example/v1/7/gateway/anthropic/v1/messages",
        ),
        ("anthropic", "https://h.example/zen/v2", MESSAGES, "https://h.example/zen/v2/messages"),
        ("google", "https://h.example", GENERATE, "https://h.example/v1beta/models/m:generateContent"),
        ("google", "https://h.example/v1beta", GENERATE, "https://h.example/v1beta/models/m:generateContent"),
        ("google", "https://h.example/v1alpha/", GENERATE, "https://h.example/v1alpha/models/m:generateContent"),
        ("google", "https://h.example/v1", GENERATE, "https://h.example/v1/models/m:generateContent"),
    ],
)
def test_a_base_url_keeps_the_version_that_it_states(kind: str, base: str, operation: str, asked: str) -> None:
    text = PROVIDER.replace('"openai"', f'"{kind}"') + f'base_url = "{base}"\n'
    endpoint = parse(model(), provider=text).providers["openai"].endpoint
    assert endpoint.url(operation) == asked
    assert str(endpoint) == base.rstrip("/")


@pytest.mark.parametrize("prefix", ["", "/inference"])
def test_an_api_without_a_version(prefix: str) -> None:
    text = PROVIDER + f'base_url = "https://h.example{prefix}"\nappend_version = false\n'
    endpoint = parse(model(), provider=text).providers["openai"].endpoint
    assert endpoint.url(CHAT) == f"https://h.example{prefix}/chat/completions"


METHODS = [wire.path("gpt-x").split("/", 2)[2] for wire in WIRES.values()]


@pytest.mark.parametrize("operation", [*METHODS, "Chat/Completions", "messages/", "models", "models/gpt-x/"])
def test_a_base_url_that_names_an_operation_is_a_fault(operation: str) -> None:
    text = PROVIDER + f'base_url = "https://h.example/v1/{operation}"\n'
    assert "ends in the path of one operation" in fault("", provider=text)


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example.com",
        "http://10.0.0.1",
        "http://localhost.example.com",
        "ftp://127.0.0.1",
        "https://",
        "api.openai.com",
        "https://key@api.example.com",
        "https://api.example.com?key=1",
        "https://api.example.com:99999",
        "https://[::1",
        "https://exämple.com",
        "https://example.com/ä",
        "https://example.com/a b",
    ],
)
def test_a_base_url_that_is_not_served(url: str) -> None:
    assert fault("", provider=PROVIDER + f'base_url = "{url}"\n').startswith("providers.openai.base_url: ")


@pytest.mark.parametrize(
    ("kind", "host"),
    [
        ("openai", "api.openai.com"),
        ("anthropic", "api.anthropic.com"),
        ("google", "generativelanguage.googleapis.com"),
    ],
)
def test_the_official_address_of_each_kind(kind: str, host: str) -> None:
    provider = parse("", provider=PROVIDER.replace('"openai"', f'"{kind}"')).providers["openai"]
    assert provider.endpoint == Endpoint(True, host, 443)
    assert provider.first_party


def test_first_party_is_the_maker_or_this_machine() -> None:
    def at(url: str, region: str = "global") -> bool:
        stated = PROVIDER.replace("global", region) + f'base_url = "{url}"\n'
        return parse(model(), provider=stated).providers["openai"].first_party

    assert at("https://eu.api.openai.com/v1", "eu")
    assert at("http://127.0.0.1:1234")
    assert not at("https://api.openai.com.example.org")
    assert not at("https://api.anthropic.com")


@pytest.mark.parametrize(("region", "host"), [("eu", "eu.api.openai.com"), ("us", "us.api.openai.com")])
def test_a_region_of_the_maker_s_has_its_own_host(region: str, host: str) -> None:
    stated = PROVIDER.replace("global", region)
    provider = parse(model(), provider=stated).providers["openai"]
    assert (provider.endpoint.host, provider.handling.region.value) == (host, region)
    assert provider.first_party
    assert not provider.published_prices  # they cost more there
    assert fault("", provider=stated).startswith("models: ")


@pytest.mark.parametrize(
    ("kind", "region", "url", "fix"),
    [
        ("openai", "eu", "https://api.openai.com", "use https://eu.api.openai.com"),
        ("openai", "global", "https://eu.api.openai.com/v1", "use https://api.openai.com"),
        ("openai", "jp", "", "state global"),
        ("anthropic", "eu", "", "state global or us"),
        ("google", "us", "", "state global"),
    ],
)
def test_a_region_that_the_maker_s_host_does_not_keep_is_no_statement(
    kind: str, region: str, url: str, fix: str
) -> None:
    stated = PROVIDER.replace('"openai"', f'"{kind}"').replace("global", region)
    line = fault(model(), provider=stated + (f'base_url = "{url}"\n' if url else ""))
    assert line.startswith("providers.openai.region: ")
    assert line.endswith(fix)


def test_no_provider_at_all() -> None:
    assert fault("", provider="").startswith("providers: ")
    assert fault("[providers]", provider="").startswith("providers: ")


@pytest.mark.parametrize("name", ["Open-AI", '"a.b"', '"a b"', "_x", "x" * 33])
def test_a_provider_name_is_a_label(name: str) -> None:
    lines = faults("", provider=PROVIDER.replace("providers.openai", f"providers.{name}"))
    assert any("is not a name" in line for line in lines)


def test_a_private_authority(certificates: Path) -> None:
    good = parse("", provider=PROVIDER + f'ca_file = "{certificates / "one.pem"}"')
    assert good.providers["openai"].ca_file == certificates / "one.pem"
    for bad in ("one.key", "none.pem"):
        line = fault("", provider=PROVIDER + f'ca_file = "{certificates / bad}"')
        assert line.startswith("providers.openai.ca_file: ")


@pytest.mark.parametrize(
    ("stated", "handling"),
    [
        ("", None),
        ("retention_days = 0", DataHandling(0, False, Region.GLOBAL)),
        ("training = true", DataHandling(30, True, Region.GLOBAL)),
        ('region = "eu"', DataHandling(30, False, Region.EU)),
        ('retention_days = 1, training = true, region = "ch"', DataHandling(1, True, Region.CH)),
    ],
)
def test_a_target_may_state_what_its_provider_states_otherwise(stated: str, handling: DataHandling | None) -> None:
    text = model().replace('model = "x"', f'model = "x"{stated and ", "}{stated}')
    assert parse(text, provider=ELSEWHERE).models[0].targets[0].handling == handling


@pytest.mark.parametrize(
    ("stated", "says"),
    [
        ("retention_days = -1", "retention_days: is out of range"),
        ('retention_days = "none"', "retention_days: is not a whole number"),
        ('training = "no"', "training: is neither true nor false"),
        ('region = "mars"', "region: "),
        ('region = "eu"', "region: is not one that this host keeps requests in; use https://eu.api.openai.com"),
        ("retention = 1", "retention: is not a key; did you mean retention_days?"),
    ],
)
def test_a_statement_of_a_target_is_read_as_strictly_as_a_provider_s(stated: str, says: str) -> None:
    text = model().replace('model = "x"', f'model = "x", {stated}')
    assert fault(text).startswith(f"models[0].targets[0].{says}")
