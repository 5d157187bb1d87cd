"""Tables of providers that are clouds: what they need, and what is a fault."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.config import Cloud, Endpoint
from providers.dialect import Family, Operation
from providers.wires import WIRES
from tests.gateway.config.parsing import ENV, fault, faults, model, parse

STATED = "retention_days = 0\ntraining = false\n"
AZURE = f'[providers.openai]\nkind = "azure"\nbase_url = "https://r.openai.azure.com"\napi_keys = "env:KEY"\nregion = "eu"\n{STATED}'
BEDROCK = (
    f'[providers.openai]\nkind = "bedrock"\nlocation = "eu-central-1"\napi_keys = "env:AWS"\nregion = "eu"\n{STATED}'
)
VERTEX = (
    '[providers.openai]\nkind = "vertex"\napi = "anthropic"\nproject = "my-project"\nlocation = "europe-west1"\n'
    f'credentials = "account.json"\nregion = "eu"\n{STATED}'
)
AWS = ENV | {"AWS": "AKIAEXAMPLE:secret/+="}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    account = {
        "type": "service_account",
        "client_email": "a@b",
        "private_key": key.decode(),
        "token_uri": "https://oauth2.googleapis.com/token",
    }
    (tmp_path / "account.json").write_text(json.dumps(account))
    for name, changed in {
        "user": {"type": "authorized_user"},
        "keyless": {"private_key": "none"},
        "nobody": {"client_email": ""},
        "plain": {"token_uri": "http://tokens.example/token"},
    }.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(account | changed))
    (tmp_path / "broken.json").write_text("{")
    return tmp_path


def at(folder: Path, text: str) -> tuple[str, ...]:
    from gateway.config import ConfigError

    with pytest.raises(ConfigError) as caught:
        parse(model(), provider=text, path=folder / "gateway.toml")
    return caught.value.faults


@pytest.mark.parametrize(
    ("base", "prefix"),
    [
        ("https://r.openai.azure.com", "/openai/v1"),
        ("https://r.openai.azure.com/", "/openai/v1"),
        ("https://r.openai.azure.com/openai/v1/", "/openai/v1"),
        ("https://proxy.example/azure/v1", "/azure/v1"),
    ],
)
def test_azure(base: str, prefix: str) -> None:
    provider = parse(model(), provider=AZURE.replace("https://r.openai.azure.com", base)).providers["openai"]
    assert (provider.family, provider.cloud, provider.kind) == (Family.OPENAI, Cloud.AZURE, "azure")
    assert provider.url(WIRES[Operation.OPENAI_CHAT], "d").endswith(f"{prefix}/chat/completions")
    assert (provider.completion_limit, provider.store, provider.include_usage) == (True, True, True)
    assert provider.serves(Operation.OPENAI_RESPONSES)
    assert not provider.serves(Operation.OPENAI_COMPACT)
    assert not provider.first_party
    assert not provider.published_prices


def test_bedrock() -> None:
    provider = parse(model(), provider=BEDROCK, env=AWS).providers["openai"]
    assert provider.endpoint == Endpoint(True, "bedrock-runtime.eu-central-1.amazonaws.com", 443)
    assert (provider.family, provider.key_count) == (Family.ANTHROPIC, 1)
    assert provider.url(WIRES[Operation.ANTHROPIC_MESSAGES], "m").endswith("amazonaws.com/model/m/invoke")
    assert {of for of in WIRES if provider.serves(of)} == {
        Operation.ANTHROPIC_MESSAGES,
        Operation.ANTHROPIC_COUNT_TOKENS,
    }
    assert provider.asks_before_caching
    assert "secret" not in repr(provider)
    proxied = BEDROCK + 'base_url = "https://proxy.example/v1"\n'
    url = parse(model(), provider=proxied, env=AWS).providers["openai"].url(WIRES[Operation.ANTHROPIC_MESSAGES], "m")
    assert url == "https://proxy.example/v1/model/m/invoke"


def test_the_messages_endpoint_of_bedrock() -> None:
    text = BEDROCK.replace('"bedrock"', '"bedrock-mantle"')
    provider = parse(model(), provider=text, env=AWS).providers["openai"]
    url = provider.url(WIRES[Operation.ANTHROPIC_MESSAGES], "m")
    assert url == "https://bedrock-mantle.eu-central-1.api.aws/anthropic/v1/messages"
    assert provider.serves(Operation.ANTHROPIC_COUNT_TOKENS)
    assert provider.kind == "bedrock-mantle"
    elsewhere = text + 'base_url = "https://bedrock-mantle.us-east-1.api.aws/anthropic"\n'
    assert "is not where eu-central-1 is served" in fault(model(), provider=elsewhere, env=AWS)


@pytest.mark.parametrize("api", ["google", "anthropic"])
def test_vertex(folder: Path, api: str) -> None:
    text = VERTEX.replace('"anthropic"', f'"{api}"')
    provider = parse(model(), provider=text, path=folder / "gateway.toml").providers["openai"]
    assert provider.endpoint == Endpoint(True, "europe-west1-aiplatform.googleapis.com", 443)
    assert (provider.family.value, provider.key_count, provider.api_keys) == (api, 1, ())
    assert {of.family.value for of in WIRES if provider.serves(of)} == {api}
    assert "PRIVATE KEY" not in repr(provider)
    without = parse(model(), provider=text, path=Path("/nowhere/gateway.toml"), need_keys=False).providers["openai"]
    assert without.account is None  # the store's commands need none


@pytest.mark.parametrize("name", ["user", "keyless", "nobody", "broken", "missing"])
def test_what_is_no_service_account(folder: Path, name: str) -> None:
    (line,) = at(folder, VERTEX.replace("account.json", f"{name}.json"))
    assert line.startswith("providers.openai.credentials: is not the key file of a service account; ")


def test_tokens_are_not_asked_for_in_the_clear(folder: Path) -> None:
    (line,) = at(folder, VERTEX.replace("account.json", "plain.json"))
    assert line == "providers.openai.credentials: token_uri: is plain http beyond this machine; use https"


@pytest.mark.parametrize(
    ("text", "start"),
    [
        (
            AZURE.replace('base_url = "https://r.openai.azure.com"\n', ""),
            "base_url: is missing; write https://RESOURCE",
        ),
        (AZURE + 'profile = "groq"\n', "profile: is not for this kind"),
        (AZURE + 'location = "x"\n', "location: is not a key"),
        (BEDROCK.replace('location = "eu-central-1"\n', ""), "location: is missing; write the cloud's own name"),
        (BEDROCK.replace('"eu-central-1"', '"eu/x"'), "location: is not the name of a place"),
        (
            BEDROCK.replace('region = "eu"', 'region = "us"'),
            "region: is not the one that eu-central-1 is served in; state eu",
        ),
        (
            BEDROCK.replace("env:AWS", "a:b:c:d"),
            "api_keys: holds something else than keys of AWS; write ACCESS_KEY_ID:",
        ),
        (BEDROCK.replace("env:AWS", "a:"), "api_keys: holds something else than keys of AWS"),
        (BEDROCK + 'credentials = "x"\n', "credentials: is not one of the values; write one of environment, container"),
        (VERTEX.replace('api = "anthropic"\n', ""), "api: is missing; write which API it serves"),
        (VERTEX.replace('"anthropic"', '"openai"'), "api: is not served there"),
        (VERTEX.replace('project = "my-project"\n', ""), "project: is missing"),
        (VERTEX.replace("my-project", "My Project"), "project: is not the id of a project"),
        (
            VERTEX.replace("europe-west1", "me-central1"),
            "region: is not the one that me-central1 is served in; state global",
        ),
        (VERTEX + 'api_keys = "env:KEY"\n', "api_keys: is not a key"),
        (
            '[providers.openai]\nkind = "aws"\napi_keys = "env:KEY"\nregion = "eu"\n' + STATED,
            "kind: is not one of the values",
        ),
    ],
)
def test_faults(folder: Path, text: str, start: str) -> None:
    text = text.replace('"env:AWS"', '"AKIA:secret"')
    assert [line for line in at(folder, text) if line.startswith(f"providers.openai.{start}")], at(folder, text)


@pytest.mark.parametrize(
    ("host", "at_home"),
    [
        ("bedrock-runtime.eu-central-1.amazonaws.com", True),
        ("bedrock-runtime-fips.eu-central-1.amazonaws.com", True),
        ("vpce-1-a.bedrock-runtime.eu-central-1.vpce.amazonaws.com", True),
        ("proxy.example", True),
        ("bedrock-runtime.us-east-1.amazonaws.com", False),
        ("bedrock-runtime.eu-central-12.amazonaws.com", False),
    ],
)
def test_a_base_url_that_leads_to_another_place_than_the_location(host: str, at_home: bool) -> None:
    text = BEDROCK + f'base_url = "https://{host}"\n'
    if at_home:
        parse(model(), provider=text, env=AWS)
    else:
        line = fault(model(), provider=text, env=AWS)
        assert line == (
            "providers.openai.base_url: is not where eu-central-1 is served; "
            "use https://bedrock-runtime.eu-central-1.amazonaws.com"
        )


def test_a_global_address_is_none_of_a_location_of_vertex(folder: Path) -> None:
    for host in ("aiplatform.googleapis.com", "us-east5-aiplatform.googleapis.com"):
        (line,) = at(folder, VERTEX + f'base_url = "https://{host}"\n')
        assert line.startswith(
            "providers.openai.base_url: is not where europe-west1 is served; use https://europe-west1-"
        )


@pytest.mark.parametrize(
    ("name", "stated", "start"),
    [
        ("eu.anthropic.claude-x", "", None),
        ("global.anthropic.claude-x", "", "region: is not the one that global. is served in; state global"),
        ("global.anthropic.claude-x", 'region = "global"', None),
        ("us.anthropic.claude-x", 'region = "eu"', "region: is not the one that us. is served in; state us"),
        ("anthropic.claude-x", 'region = "global"', "region: is not the one that eu-central-1 is served in; state eu"),
    ],
)
def test_a_profile_of_several_regions_is_stated_as_what_it_is(name: str, stated: str, start: str | None) -> None:
    text = model().replace('model = "x"', f'model = "{name}"{stated and ", "}{stated}')
    if start is None:
        parse(text, provider=BEDROCK, env=AWS)
    else:
        assert fault(text, provider=BEDROCK, env=AWS) == f"models[0].targets[0].{start}"


def test_a_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr("gateway.config.reader.find_spec", lambda _: None)
    (line,) = at(folder, VERTEX)
    assert line.endswith("google-auth, which is not installed; pip install 'codegrex-gateway[vertex]'")
    (line,) = faults(model(), provider=BEDROCK, env=AWS)
    assert line.endswith("botocore, which is not installed; pip install 'codegrex-gateway[bedrock]'")
    parse(model(), provider=BEDROCK, env=AWS | {"AWS": "an-api-key-of-bedrock"})  # needs no signature


def test_a_price_is_stated() -> None:
    assert "no published price" in fault(model(price=""), provider=BEDROCK, env=AWS)
