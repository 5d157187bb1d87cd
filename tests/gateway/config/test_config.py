from __future__ import annotations

import pickle
import re
from dataclasses import fields, replace
from importlib import import_module
from pathlib import Path

import pytest

from gateway.config import Config, PortalConfig, ServerConfig, SupabaseConfig
from tests.gateway.config.parsing import faults, model, parse

HOST = "gateway.example:8443"


def config_of(**parts: object) -> Config:
    return Config(path=Path("gateway.toml"), providers={}, **parts)


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


@pytest.mark.parametrize(
    ("server", "scheme"),
    [
        (ServerConfig(), "http"),
        (ServerConfig(behind_tls_proxy=True), "https"),
        (ServerConfig(tls_cert=Path("one.pem"), tls_key=Path("one.key")), "https"),
    ],
)
def test_the_scheme_of_the_gateway_s_address_is_how_callers_come(server: ServerConfig, scheme: str) -> None:
    assert config_of(server=server).own_address(HOST) == f"{scheme}://{HOST}"


@pytest.mark.parametrize("host", ["", "a b", "a/b", "[", "h:99999999", "1.2.3.4, \udcff", "\u00e9"])
def test_what_is_no_host_is_not_repeated(host: str) -> None:
    assert config_of(server=ServerConfig(port=1234)).own_address(host) == "http://127.0.0.1:1234"


def test_a_configured_address_goes_before_what_a_caller_names() -> None:
    portal = PortalConfig(url="https://portal.example")
    assert config_of(portal=portal).own_address(HOST) == "https://portal.example"


def test_the_development_sign_in_is_for_a_loopback_listener_without_a_sign_in_service() -> None:
    assert config_of().development_sign_in
    assert not config_of(server=ServerConfig(host="0.0.0.0", behind_tls_proxy=True)).development_sign_in
    assert not config_of(server=ServerConfig(behind_tls_proxy=True)).development_sign_in
    supabase = SupabaseConfig("https://project.example/auth/v1", "authenticated")
    assert not config_of(supabase=supabase).development_sign_in


TABLES = {
    path.stem
    for path in (Path(__file__).parents[3] / "gateway/config").glob("*.py")
    if path.stem not in {"__init__", "load", "reader", "changes", "clouds"}  # the last is a part of providers
}


def test_each_table_has_a_module_with_its_type_and_its_reader() -> None:
    page = (Path(__file__).parents[3] / "docs/configuration.md").read_text()
    documented = {name.partition(".")[0] for name in re.findall(r"^\| `\[+(\w+(?:\.\w+)?)", page, re.MULTILINE)}
    assert documented == TABLES == {one.name for one in fields(Config)} - {"path"}
    for table in TABLES:
        module = import_module(f"gateway.config.{table}")
        own = [name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
        assert [name for name in own if name.startswith("read_") and name != "read_handling"] == [f"read_{table}"]
        assert f"{table.removesuffix('s').capitalize()}Config".lower() in [name.lower() for name in own], table
        assert module.__doc__ is not None
        assert module.__doc__.startswith(("``[" + table, "``[[" + table)), table


def test_what_holds_if_nothing_is_stated_is_what_the_type_says() -> None:
    config = parse("")
    usual = replace(Config(path=config.path, providers=config.providers), server=config.server)
    assert config == usual
    machine = {"workers", "data_dir"}  # its processors, and a folder beside the file
    assert {
        one.name
        for one in fields(ServerConfig)
        if getattr(config.server, one.name) != getattr(ServerConfig(), one.name)
    } <= machine
