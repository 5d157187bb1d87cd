from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import ConfigError, ServerConfig
from tests.gateway.config.parsing import fault, parse


def test_plain_http_beyond_this_machine_needs_a_proxy_that_ends_tls() -> None:
    assert fault('[server]\nhost = "0.0.0.0"').startswith("server.host: serves plain http")
    assert parse('[server]\nhost = "0.0.0.0"\nbehind_tls_proxy = true').server.behind_tls_proxy
    assert parse('[server]\nhost = "::1"').server.host == "::1"


def test_proxies_that_are_trusted() -> None:
    text = '[server]\nbehind_tls_proxy = true\ntrusted_proxies = ["10.0.0.0/8", "::1"]'
    assert [str(network) for network in parse(text).server.trusted_proxies] == ["10.0.0.0/8", "::1/128"]
    assert fault('[server]\ntrusted_proxies = ["10.0.0.0/8"]').startswith("server.trusted_proxies: has no effect")
    wrong = fault('[server]\nbehind_tls_proxy = true\ntrusted_proxies = ["10.0.0.1/8"]')
    assert wrong.startswith("server.trusted_proxies: holds something that is not a network")


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


@pytest.mark.parametrize(
    ("server", "tls"),
    [
        (ServerConfig(), False),
        (ServerConfig(behind_tls_proxy=True), True),
        (ServerConfig(tls_cert=Path("one.pem"), tls_key=Path("one.key")), True),
    ],
)
def test_whether_callers_come_over_tls(server: ServerConfig, tls: bool) -> None:
    assert server.over_tls is tls


@pytest.mark.parametrize(
    ("lines", "begins"),
    [
        ("account_share = 0", "server.account_share: is not a fraction"),
        ("account_share = 1.5", "server.account_share: is not a fraction"),
        ("account_share = 'half'", "server.account_share: is not a number"),
        (
            "max_body_bytes = 2_000_000\nmax_inflight_body_bytes = 3_999_999",
            "server.max_inflight_body_bytes: is below twice max_body_bytes",
        ),
        ("head_timeout = 0", "server.head_timeout: "),
        ("max_connections = 1", "server.max_connections: is out of range"),
        ("max_requests = 0", "server.max_requests: is out of range"),
        ("unpaid_requests_per_minute = 0", "server.unpaid_requests_per_minute: is out of range"),
        ("stranger_refusals_per_minute = 0", "server.stranger_refusals_per_minute: is out of range"),
    ],
)
def test_bounds_that_bound_nothing(lines: str, begins: str) -> None:
    assert fault(f"[server]\n{lines}").startswith(begins)


def test_behind_a_proxy_idle_connections_are_kept_until_it_closes_them() -> None:
    assert parse("[server]").server.keep_alive_timeout == 75
    assert parse("[server]\nbehind_tls_proxy = true").server.keep_alive_timeout == 3_630
    assert parse("[server]\nbehind_tls_proxy = true\nkeep_alive_timeout = 90").server.keep_alive_timeout == 90
