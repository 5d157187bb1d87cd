from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path

import pytest

from gateway.addresses import is_loopback
from gateway.config import AbortRule, ConfigError, DataHandling, Endpoint, HoldRule, Region
from gateway.config.load import check_data_dir, load
from providers.dialect import Family
from tests.gateway.config.parsing import ENV, PROVIDER, fault, faults, parse


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
    assert provider.handling == DataHandling(30, False, Region.GLOBAL)
    assert provider.company == "openai"
    assert provider.store
    assert provider.include_usage


def test_every_fault_is_named_at_once_with_its_key_and_how_to_fix_it() -> None:
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


def test_a_data_directory_is_usable_where_it_is_or_can_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_data_dir(tmp_path)
    check_data_dir(tmp_path / "not/yet")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match=r"^server\.data_dir: .*dangling is not a folder; choose another folder$"):
        check_data_dir(tmp_path / "dangling/data")
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)  # root may write everywhere
    with pytest.raises(ConfigError, match=r"cannot be written by this user; fix its permissions or choose another"):
        check_data_dir(tmp_path / "not/yet")
