from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import Config, ServerConfig
from gateway.config.own_address import over_tls, own_address
from gateway.config.portal import PortalConfig

HOST = "gateway.example:8443"


@pytest.mark.parametrize(
    ("server", "tls"),
    [
        (ServerConfig(), False),
        (ServerConfig(behind_tls_proxy=True), True),
        (ServerConfig(tls_cert=Path("one.pem"), tls_key=Path("one.key")), True),
    ],
)
def test_the_scheme_is_how_callers_come(server: ServerConfig, tls: bool) -> None:
    assert over_tls(server) is tls
    config = Config(path=Path("gateway.toml"), providers={}, server=server)
    assert own_address(config, HOST) == f"http{'s' if tls else ''}://{HOST}"


def test_what_is_configured_goes_before_what_a_caller_names() -> None:
    config = Config(path=Path("gateway.toml"), providers={}, portal=PortalConfig(url="https://portal.example"))
    assert own_address(config, HOST) == "https://portal.example"
