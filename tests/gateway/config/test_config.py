from __future__ import annotations

import datetime as dt
import os
import pickle
import re
import tomllib
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.addresses import is_loopback
from gateway.config import AbortRule, CacheIsolation, Config, ConfigError, Endpoint, HardeningMode, HoldRule, Region
from gateway.config.load import load, read
from gateway.config.models import VARIANTS
from providers.dialect import Family

ENV = {"KEY": "sk-secret-1", "OTHER": "sk-secret-2", "LONG": "k" * 32, "EMPTY": ""}
PROVIDER = """
[providers.openai]
kind = "openai"
api_keys = "env:KEY"
retention_days = 30
training = false
region = "global"
"""
EXAMPLE = Path(__file__).parents[3] / "gateway.example.toml"

Parse = Callable[..., Config]


def parse(text: str, *, provider: str = PROVIDER, path: Path = Path("/etc/gateway.toml")) -> Config:
    return read(tomllib.loads(text + provider, parse_float=Decimal), path, ENV)


def faults(text: str, *, provider: str = PROVIDER) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        parse(text, provider=provider)
    return caught.value.faults


def fault(text: str, *, provider: str = PROVIDER) -> str:
    (only,) = faults(text, provider=provider)
    return only


def model(extra: str = "", price: str = "price = {input = 1, output = 2}") -> str:
    return f'[[models]]\nname = "m"\ntargets = [{{provider = "openai", model = "x"}}]\n{price}\n{extra}\n'


def test_a_provider_is_all_that_must_be_stated() -> None:
    config = parse("")
    assert config.server.host == "127.0.0.1"
    assert config.server.port == 8080
    assert config.server.workers == os.cpu_count()
    assert config.server.max_body_bytes == 32 * 1024 * 1024
    assert config.server.max_inflight_body_bytes == 1024**3
    assert (config.server.connect_timeout, config.server.first_byte_timeout) == (5.0, 600.0)
    assert (config.server.idle_timeout, config.server.drain_timeout) == (300.0, 600.0)
    assert config.server.data_dir == Path("/etc/data")
    assert is_loopback(config.internal.host)
    assert config.store.url == "embedded:"
    assert config.billing.credit_usd == Decimal("0.01")
    assert config.billing.markup == 1
    assert (config.billing.hold, config.billing.abort) == (HoldRule.LEARNT, AbortRule.PRODUCED)
    assert config.tiers["default"].concurrent == 0
    assert config.identity.key is None
    provider = config.providers["openai"]
    assert provider.family is Family.OPENAI
    assert provider.endpoint == Endpoint(True, "api.openai.com", 443)
    assert provider.api_keys == ("sk-secret-1",)
    assert (provider.retention_days, provider.training, provider.region) == (30, False, Region.GLOBAL)
    assert provider.company == "openai"
    assert provider.store
    assert provider.include_usage


def test_secrets_are_in_no_repr_and_in_no_fault() -> None:
    config = parse('[store]\nurl = "redis://:hunter2@store/0"\n[identity]\nkey = "env:LONG"')
    assert config.identity.key == b"k" * 32
    for secret in ("sk-secret", "hunter2", "kkkk"):
        assert secret not in repr(config)
    bad = 'api_keys = ["sk-secret in clear", 5]\nkind = "sk-secret"\nbase_url = "http://sk-secret@x"\n'
    for line in faults("", provider="[providers.openai]\n" + bad):
        assert "secret" not in line


def test_a_configuration_can_be_handed_to_another_process() -> None:
    config = parse(model())
    assert pickle.loads(pickle.dumps(config)) == config
    assert replace(config, models=()).models == ()


def test_every_fault_is_named_at_once_with_its_key_and_the_mend() -> None:
    lines = faults(
        """
colour = 1
[server]
prot = 80
port = 70000
workers = 1.5
drain_timeout = -1
[internal]
port = "9090"
[store]
url = "mysql://x"
[billing]
credit_usd = 0
hold = "never"
[log]
level = "loud"
[policy]
server_tools = ["make_coffee"]
[tiers.Pro]
concurrent = -1
""",
        provider='[providers.x]\nkind = "openai"\napi_keys = "env:MISSING"\n',
    )
    keys = [line.split(": ", 1)[0] for line in lines]
    assert sorted(keys) == sorted(
        [
            "colour",
            "server.prot",
            "server.port",
            "server.workers",
            "server.drain_timeout",
            "internal.port",
            "store.url",
            "billing.credit_usd",
            "billing.hold",
            "log.level",
            "policy.server_tools",
            "tiers.Pro",
            "tiers.Pro.concurrent",
            "providers.x.api_keys",
            "providers.x.retention_days",
            "providers.x.training",
            "providers.x.region",
        ]
    )
    for line in lines:
        assert "; " in line
    assert "did you mean port?" in next(line for line in lines if line.startswith("server.prot"))
    assert "MISSING is not set; export MISSING" in next(line for line in lines if "api_keys" in line)


def test_an_empty_variable_counts_as_missing() -> None:
    assert "EMPTY is not set" in fault("", provider=PROVIDER.replace("env:KEY", "env:EMPTY"))


def test_several_keys_of_one_provider() -> None:
    config = parse("", provider=PROVIDER.replace('"env:KEY"', '["env:KEY", "env:OTHER"]'))
    assert config.providers["openai"].api_keys == ("sk-secret-1", "sk-secret-2")


@pytest.mark.parametrize("keys", ["[]", '"with space"', '"schlüssel"', "7", '"a\\nb"'])
def test_a_key_that_cannot_be_sent_is_a_fault(keys: str) -> None:
    text = PROVIDER.replace('"env:KEY"', keys)
    assert fault("", provider=text).startswith("providers.openai.api_keys: ")


@pytest.mark.parametrize(
    ("url", "endpoint", "text"),
    [
        ("https://api.example.com", Endpoint(True, "api.example.com", 443), "https://api.example.com"),
        ("https://api.example.com/", Endpoint(True, "api.example.com", 443), "https://api.example.com"),
        ("https://api.example.com/v1", Endpoint(True, "api.example.com", 443), "https://api.example.com"),
        ("https://api.example.com/v1beta/", Endpoint(True, "api.example.com", 443), "https://api.example.com"),
        (
            "https://h.example:8443/openai/v1",
            Endpoint(True, "h.example", 8443, "/openai"),
            "https://h.example:8443/openai",
        ),
        ("https://h.example/api/v10", Endpoint(True, "h.example", 443, "/api/v10"), "https://h.example/api/v10"),
        ("http://127.0.0.1:9", Endpoint(False, "127.0.0.1", 9), "http://127.0.0.1:9"),
        ("http://localhost/v1", Endpoint(False, "localhost", 80), "http://localhost"),
        ("http://[::1]:81", Endpoint(False, "::1", 81), "http://[::1]:81"),
    ],
)
def test_a_base_url_with_and_without_its_version(url: str, endpoint: Endpoint, text: str) -> None:
    config = parse(model(), provider=PROVIDER + f'base_url = "{url}"\n')
    assert config.providers["openai"].endpoint == endpoint
    assert str(endpoint) == text


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
    assert (provider.endpoint.host, provider.region.value) == (host, region)
    assert provider.first_party
    assert not provider.published_prices  # they cost more there
    assert fault("", provider=stated).startswith("models: ")


@pytest.mark.parametrize(
    ("kind", "region", "url", "mend"),
    [
        ("openai", "eu", "https://api.openai.com", "use https://eu.api.openai.com"),
        ("openai", "global", "https://eu.api.openai.com/v1", "use https://api.openai.com"),
        ("openai", "jp", "", "state global"),
        ("anthropic", "eu", "", "state global or us"),
        ("google", "us", "", "state global"),
    ],
)
def test_a_region_that_the_maker_s_host_does_not_keep_is_no_statement(
    kind: str, region: str, url: str, mend: str
) -> None:
    stated = PROVIDER.replace('"openai"', f'"{kind}"').replace("global", region)
    line = fault(model(), provider=stated + (f'base_url = "{url}"\n' if url else ""))
    assert line.startswith("providers.openai.region: ")
    assert line.endswith(mend)


def test_accounts_are_kept_apart_in_a_cache_where_there_is_a_key_for_it() -> None:
    isolated = '[policy]\ncache_isolation = "account"\n'
    assert parse(isolated).policy.cache_isolation is CacheIsolation.ACCOUNT
    assert parse("").policy.cache_isolation is CacheIsolation.SHARED
    for kind in ("anthropic", "google"):
        line = fault(isolated, provider=PROVIDER.replace('"openai"', f'"{kind}"'))
        assert line.startswith("policy.cache_isolation: ")
        assert f"({kind})" in line
    elsewhere = PROVIDER + 'base_url = "https://elsewhere.example"\n'
    assert fault(model() + isolated, provider=elsewhere).startswith("policy.cache_isolation: ")


def test_hardening_and_the_log_s_days() -> None:
    config = parse('[hardening]\nmode = "off"\n[log]\nkeep_days = 3\n')
    assert (config.hardening.mode, config.log.keep_days) == (HardeningMode.OFF, 3)
    assert parse("").hardening.mode is HardeningMode.ENFORCE
    assert parse("").log.keep_days == 14
    assert fault("[log]\nkeep_days = 0\n").startswith("log.keep_days: ")


def test_no_provider_at_all() -> None:
    assert fault("", provider="").startswith("providers: ")
    assert fault("[providers]", provider="").startswith("providers: ")


@pytest.mark.parametrize("name", ["Open-AI", '"a.b"', '"a b"', "_x", "x" * 33])
def test_a_provider_name_is_a_label(name: str) -> None:
    lines = faults("", provider=PROVIDER.replace("providers.openai", f"providers.{name}"))
    assert any("is not a name" in line for line in lines)


def test_plain_http_beyond_this_machine_needs_a_proxy_that_ends_tls() -> None:
    assert fault('[server]\nhost = "0.0.0.0"').startswith("server.host: serves plain http")
    assert parse('[server]\nhost = "0.0.0.0"\nbehind_tls_proxy = true').server.behind_tls_proxy
    assert parse('[server]\nhost = "::1"').server.host == "::1"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    for name in ("one", "two"):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
        start = dt.datetime(2024, 1, 1)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(start)
            .not_valid_after(start + dt.timedelta(days=20_000))
            .sign(key, hashes.SHA256())
        )
        (folder / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        for suffix, protection in (
            ("key", serialization.NoEncryption()),
            ("locked", serialization.BestAvailableEncryption(b"x")),
        ):
            (folder / f"{name}.{suffix}").write_bytes(
                key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection)
            )
    return folder


def test_a_certificate_and_its_key(certificates: Path) -> None:
    text = '[server]\nhost = "0.0.0.0"\ntls_cert = "one.pem"\ntls_key = "one.key"'
    config = parse(text, path=certificates / "gateway.toml")
    assert config.server.tls_cert == certificates / "one.pem"
    assert config.server.tls_key == certificates / "one.key"


@pytest.mark.parametrize(
    ("lines", "key"),
    [
        ('tls_cert = "one.pem"', "server.tls_key"),
        ('tls_key = "one.key"', "server.tls_cert"),
        ('tls_cert = "one.pem"\ntls_key = "two.key"', "server.tls_key"),
        ('tls_cert = "one.pem"\ntls_key = "one.locked"', "server.tls_key"),
        ('tls_cert = "one.key"\ntls_key = "one.key"', "server.tls_key"),
        ('tls_cert = "none.pem"\ntls_key = "one.key"', "server.tls_cert"),
    ],
)
def test_certificates_that_cannot_serve(lines: str, key: str, certificates: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(f"[server]\n{lines}", path=certificates / "gateway.toml")
    (only,) = caught.value.faults
    assert only.startswith(f"{key}: ")


def test_a_private_authority(certificates: Path) -> None:
    good = parse("", provider=PROVIDER + f'ca_file = "{certificates / "one.pem"}"')
    assert good.providers["openai"].ca_file == certificates / "one.pem"
    for bad in ("one.key", "none.pem"):
        line = fault("", provider=PROVIDER + f'ca_file = "{certificates / bad}"')
        assert line.startswith("providers.openai.ca_file: ")


@pytest.mark.parametrize(
    "url",
    [
        "embedded:",
        "redis://h",
        "rediss://:p@h:1/2",
        "redis+cluster://h:1",
        "rediss+cluster://h",
        "redis+sentinel://h:1,i:2/main",
    ],
)
def test_addresses_of_stores(url: str) -> None:
    assert parse(f'[store]\nurl = "{url}"').store.url == url


@pytest.mark.parametrize("url", ["embedded", "redis:", "redis://", "http://h", "redis://[x"])
def test_what_is_not_the_address_of_a_store(url: str) -> None:
    assert fault(f'[store]\nurl = "{url}"').startswith("store.url: ")


def test_replicas_that_must_hold_a_grant_are_of_a_store_of_one_s_own() -> None:
    assert parse('[store]\nurl = "redis://h"\nreplicas = 1').store.replicas == 1
    assert fault("[store]\nreplicas = 1").startswith("store.replicas: ")
    assert fault('[store]\nurl = "redis://h"\nreplicas = 6').startswith("store.replicas: ")


def test_billing_and_tiers() -> None:
    config = parse(
        """
[billing]
credit_usd = 0.001
hold = "worst"
markup = 0.2
abort = "input"
[tiers.pro]
requests_per_minute = 60
tokens_per_minute = 100_000
concurrent = 4
daily_credits = 12.5
monthly_credits = 300
"""
    )
    assert config.billing.credit_usd == Decimal("0.001")
    assert config.billing.markup == Fraction(6, 5)
    assert (config.billing.hold, config.billing.abort) == (HoldRule.WORST, AbortRule.INPUT)
    pro = config.tiers["pro"]
    assert (pro.requests_per_minute, pro.tokens_per_minute, pro.concurrent) == (60, 100_000, 4)
    assert (pro.daily_credits, pro.monthly_credits) == (12_500_000, 300_000_000)
    assert set(config.tiers) == {"default", "pro"}


@pytest.mark.parametrize("amount", ["-1", "0.0000001", "1e20", "nan", "inf", '"5"', "true"])
def test_what_is_no_amount_of_credits(amount: str) -> None:
    assert fault(f"[tiers.pro]\ndaily_credits = {amount}").startswith("tiers.pro.daily_credits: ")


@pytest.mark.parametrize("markup", ["-1.1", "10.5", "nan", "inf", '"0.2"', "true"])
def test_a_markup_out_of_range(markup: str) -> None:
    assert fault(f"[billing]\nmarkup = {markup}").startswith("billing.markup: ")


def test_a_short_identity_key() -> None:
    assert fault('[identity]\nkey = "short"').startswith("identity.key: is too short")


def test_a_model_with_stated_prices_to_the_last_digit() -> None:
    config = parse(
        """
[tiers.pro]
[[models]]
name = "fast"
aliases = ["quick", "vendor/fast:latest"]
targets = [{provider = "openai", model = "gpt-x"}, {provider = "openai", model = "gpt-y", price = {input = 9, output = 9}}]
tiers = ["pro"]
reasoning = true
max_output = 1000
context_window = 200_000
[models.price]
input = 0.10
output = 0.4
cache_read = 0.0125
searches = 10_000
long_context = [{above = 200_000, input = 0.2}, {above = 400_000, input = 0.4, output = 1}]
[models.price.variants]
priority = 1.75
"standard.fast" = {input = 1, output = 2, long_context = [{above = 5, output = 3}]}
"""
    )
    (fast,) = config.models
    assert fast.aliases == ("quick", "vendor/fast:latest")
    assert fast.tiers == {"pro"}
    assert (fast.reasoning, fast.max_output, fast.context_window) == (True, 1000, 200_000)
    first, second = fast.targets
    assert first.price is not None
    assert first.price.row["input"] == (
        (0, Decimal("0.10")),
        (200_000, Decimal("0.2")),
        (400_000, Decimal("0.4")),
    )
    assert first.price.row["output"] == ((0, Decimal("0.4")), (400_000, Decimal(1)))
    assert first.price.row["cache_read"] == ((0, Decimal("0.0125")),)
    assert first.price.variants["priority"] == Fraction(7, 4)
    assert first.price.variants["standard.fast"] == {
        "input": ((0, Decimal(1)),),
        "output": ((0, Decimal(2)), (5, Decimal(3))),
    }
    assert second.price is not None
    assert second.price.row["input"] == ((0, Decimal(9)),)


def test_a_published_price_holds_at_its_maker_alone() -> None:
    assert parse(model(price="")).models[0].targets[0].price is None
    elsewhere = PROVIDER + 'base_url = "https://elsewhere.example"\n'
    line = fault(model(price=""), provider=elsewhere)
    assert line.startswith("models[0].targets[0].price: is missing")


def test_without_models_a_maker_must_be_among_the_providers() -> None:
    elsewhere = PROVIDER + 'base_url = "https://elsewhere.example"\n'
    assert fault("", provider=elsewhere).startswith("models: ")


@pytest.mark.parametrize(
    ("price", "key"),
    [
        ("{input = 1}", "models[0].price.output"),
        ("{input = -1, output = 1}", "models[0].price.input"),
        ("{input = 1, output = inf}", "models[0].price.output"),
        ('{input = "1", output = 1}', "models[0].price.input"),
        ("{input = true, output = 1}", "models[0].price.input"),
        ("{input = 1, output = 1, inputs = 1}", "models[0].price.inputs"),
        ("{input = 1, output = 1, in_uncached = 1}", "models[0].price.in_uncached"),
        ("{input = 1, output = 1, variants = {turbo = 2}}", "models[0].price.variants.turbo"),
        ("{input = 1, output = 1, variants = {standard = 2}}", "models[0].price.variants.standard"),
        ("{input = 1, output = 1, variants = {flex = 101}}", "models[0].price.variants.flex"),
        ("{input = 1, output = 1, variants = {flex = -1}}", "models[0].price.variants.flex"),
        ("{input = 1, output = 1, variants = 2}", "models[0].price.variants"),
        ("{input = 1, output = 1, variants = {flex = {inpt = 1}}}", "models[0].price.variants.flex.inpt"),
        ("{input = 1, output = 1, long_context = 5}", "models[0].price.long_context"),
        (
            "{input = 1, output = 1, long_context = [{input = 1}]}",
            "models[0].price.long_context[0].above",
        ),
        (
            "{input = 1, output = 1, long_context = [{above = 5, cache_read = 1}]}",
            "models[0].price.long_context[0].cache_read",
        ),
        (
            "{input = 1, output = 1, long_context = [{above = 5, input = 1}, {above = 5, input = 2}]}",
            "models[0].price.long_context[1].above",
        ),
        ("5", "models[0].price"),
    ],
)
def test_prices_that_cannot_be_priced_with(price: str, key: str) -> None:
    lines = faults(model(price=f"price = {price}"))
    assert key in [line.split(": ", 1)[0] for line in lines]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (model('aliases = ["m"]'), "models[0].aliases"),
        (model() + model(), "models[1].name"),
        (model('tiers = ["gold"]'), "models[0].tiers"),
        (model("max_output = 0"), "models[0].max_output"),
        (model("reasoning = 1"), "models[0].reasoning"),
        (model('colour = "red"'), "models[0].colour"),
        (model().replace('"m"', '"has space"'), "models[0].name"),
        (model().replace('name = "m"', ""), "models[0].name"),
        (model().replace('provider = "openai"', 'provider = "nobody"'), "models[0].targets[0].provider"),
        (model().replace('provider = "openai", ', ""), "models[0].targets[0].provider"),
        (model().replace(', model = "x"', ""), "models[0].targets[0].model"),
        ('[[models]]\nname = "m"\n', "models[0].targets"),
        ('[[models]]\nname = "m"\ntargets = "openai"\n', "models[0].targets"),
        ("[models]\n", "models"),
    ],
)
def test_models_that_cannot_be_served(text: str, key: str) -> None:
    assert key in [line.split(": ", 1)[0] for line in faults(text)]


def test_a_fault_of_a_provider_is_not_blamed_on_its_models() -> None:
    lines = faults(model(), provider=PROVIDER.replace('kind = "openai"', 'kind = "opena"'))
    assert [line.split(": ", 1)[0] for line in lines] == ["providers.openai.kind"]


def test_variants_are_the_forms_of_records() -> None:
    assert {"priority", "flex", "standard.fast", "standard.us", "priority.fast.eu"} <= VARIANTS
    assert "standard" not in VARIANTS


@pytest.mark.parametrize(
    ("content", "what"),
    [(None, "does not exist"), (b"[server", "is not valid TOML"), (b"\xff", "cannot be read")],
)
def test_a_file_that_is_no_configuration(content: bytes | None, what: str, tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=what):
        load(path, ENV)


def test_paths_start_at_the_folder_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text('[server]\ndata_dir = "state"\n[log]\nfile = "/var/log/g.log"\n' + PROVIDER)
    config = load(path, ENV)
    assert config.server.data_dir == tmp_path / "state"
    assert config.log.file == Path("/var/log/g.log")
    assert not (tmp_path / "state").exists()


TOML_IN_COMMENT = re.compile(r'# (?:\[|"?[a-z0-9_.]+"? = )')
ENV_OF_EXAMPLE = dict.fromkeys(("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY"), "k" * 40)


def test_the_example_is_valid_as_it_stands() -> None:
    config = load(EXAMPLE, ENV_OF_EXAMPLE)
    assert {provider.family for provider in config.providers.values()} == set(Family)
    assert config.models == ()


def test_the_example_states_the_defaults() -> None:
    config = load(EXAMPLE, ENV_OF_EXAMPLE)
    bare = parse("", path=EXAMPLE)
    assert (config.server, config.internal, config.store) == (bare.server, bare.internal, bare.store)
    assert (config.billing, config.policy, config.log) == (bare.billing, bare.policy, bare.log)
    assert config.tiers["default"] == bare.tiers["default"]


def with_models(text: str) -> str:
    """The example with its commented-out models taken in."""
    start = text.index("# [[models]]")
    end = text.index("# Plans: ")
    lines = [line[2:] for line in text[start:end].splitlines() if TOML_IN_COMMENT.match(line)]
    return "\n".join((text[:start], *lines, text[end:]))


def test_the_example_documents_every_key_and_its_models_are_valid() -> None:
    text = with_models(EXAMPLE.read_text())
    config = read(tomllib.loads(text, parse_float=Decimal), EXAMPLE, ENV_OF_EXAMPLE)
    assert config.models[0].name == "fast"
    assert config.models[0].targets[0].price is not None
    written = {line.lstrip("# ").split(" = ")[0].strip('"') for line in text.splitlines() if " = " in line}
    written |= {"provider", "model", "above"}  # inside inline tables
    tables = {"variants", "price", "clients", "tokens", *config.providers, *config.tiers}
    assert asked_keys(text, ENV_OF_EXAMPLE) - tables - written == set()


def asked_keys(text: str, env: dict[str, str]) -> set[str]:
    """Every key that the loader asks for, recorded while it reads the example."""
    from gateway.config.reader import Section

    seen: set[str] = set()
    plain = Section.has
    raw = Section.raw

    def has(self: Section, key: str) -> bool:
        if self.name:
            seen.add(key)
        return plain(self, key)

    def take(self: Section, key: str) -> object:
        if self.name:
            seen.add(key)
        return raw(self, key)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Section, "has", has)
        patch.setattr(Section, "raw", take)
        read(tomllib.loads(text, parse_float=Decimal), EXAMPLE, env)
    return seen


def test_the_portal_is_an_origin_and_clients_are_named() -> None:
    config = parse('[portal]\nurl = "https://ide.example/"\n[oauth.clients.my-editor]\ntitle = "My Editor"\n')
    assert config.portal.url == "https://ide.example"
    assert config.oauth.clients["my-editor"].title == "My Editor"
    assert parse("").portal.url == ""
    assert parse("[oauth.clients.plain]\n").oauth.clients["plain"].title == "plain"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('[portal]\nurl = "ide.example"\n', "portal.url"),
        ('[portal]\nurl = "https://ide.example/path"\n', "portal.url"),
        ('[portal]\nurl = "http://ide.example"\n', "portal.url"),
        ('[portal]\nurl = "http://[x"\n', "portal.url"),
        ('[oauth.clients."A B"]\n', "oauth.clients.A B"),
        ("[oauth]\nclient = 1\n", "oauth.client"),
    ],
)
def test_faults_of_the_portal_and_its_clients(text: str, key: str) -> None:
    assert fault(text).startswith(key)


@pytest.mark.parametrize(
    ("supabase", "portal", "fault"),
    [
        ({"url": "http://project.example"}, {"sign_in_url": "https://a.example/"}, "supabase.url: is plain http"),
        ({"url": "ftp://project.example"}, {"sign_in_url": "https://a.example/"}, "supabase.url: is not an address"),
        ({"url": "https://project.example"}, {}, "portal.sign_in_url: is missing"),
        ({"url": "https://p.example"}, {"sign_in_url": "http://a.example/"}, "portal.sign_in_url: is plain http"),
        ({"url": "https://p.example", "jwt_secret": "x"}, {"sign_in_url": "https://a.example/"}, "supabase.jwt_secret"),
        ({"jwt_secret": "x" * 32}, {}, "supabase.url: is missing"),
        ({}, {"url": "https://a.example/path"}, "portal.url: is not an origin"),
    ],
)
def test_faults_of_the_portal_are_named(
    tmp_path: Path, supabase: dict[str, str], portal: dict[str, str], fault: str
) -> None:
    table = {**PORTAL_BASE, "supabase": supabase, "portal": portal}
    with pytest.raises(ConfigError) as caught:
        read(table, tmp_path / "gateway.toml", {})
    assert any(line.startswith(fault) for line in caught.value.faults), caught.value.faults


PORTAL_BASE: dict[str, object] = {
    "providers": {
        "openai": {"kind": "openai", "api_keys": ["k"], "retention_days": 0, "training": False, "region": "global"}
    }
}


def test_the_development_sign_in_is_for_a_loopback_listener_without_a_sign_in_service(tmp_path: Path) -> None:
    def of(**more: object) -> bool:
        return read({**PORTAL_BASE, **more}, tmp_path / "gateway.toml", {}).development_sign_in

    assert of()
    assert not of(server={"host": "0.0.0.0", "behind_tls_proxy": True})
    assert not of(server={"behind_tls_proxy": True})
    assert not of(
        supabase={"url": "https://project.example"}, portal={"sign_in_url": "https://project.example/sign-in"}
    )
