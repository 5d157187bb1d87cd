from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import ConfigError, ServerConfig
from tests.gateway.config.parsing import fault, parse


def test_plain_http_beyond_this_machine_needs_a_proxy_that_ends_tls() -> None:
    assert fault('[server]\nhost = "0.0.0.0"').startswith("server.host: serves plain http")
    assert parse('[server]\nhost = "0.0.0.0"\nbehind_tls_proxy = true').server.behind_tls_proxy
    assert parse('[server]\nhost = "::1"').server.host == "::1"


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
