"""The page at ``/`` of gateways that are configured otherwise than for development."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.config import Config
from gateway.config.load import read
from gateway.portal.landing import landing

RID = "req_" + "a" * 32


def config(**more: object) -> Config:
    handling = {"retention_days": 0, "training": False, "region": "global"}
    table = {"providers": {"openai": {"kind": "openai", "api_keys": ["key"], **handling}}, **more}
    return read(table, Path("gateway.toml"), {})


def text(config_: Config, host: str = "127.0.0.1:8080", *, portal: bool = True, draining: bool = False) -> str:
    return landing(config_, host, RID, portal=portal, draining=draining).text or ""


def links(page: str) -> list[str]:
    return re.findall(r'<li><div><a href="([^"]*)"', page)


def test_without_a_portal_nothing_leads_to_one() -> None:
    page = text(config(), portal=False)
    assert "/account" not in page
    assert "/device" not in page
    assert '<a class="brand" href="/">' in page
    assert links(page)[:2] == ["/docs/", "/.well-known/ai-privacy"]


@pytest.mark.parametrize(
    ("internal", "host", "shown"),
    [
        ({"port": 9191}, "127.0.0.1:8080", True),
        ({"port": 9191}, "localhost:8080", True),
        ({"port": 9191}, "gateway.example.com", False),  # it would be the reader's own machine
        ({"port": 0}, "127.0.0.1:8080", False),  # nobody knows which one it got
    ],
)
def test_health_is_linked_where_the_link_leads_to_it(internal: dict[str, object], host: str, shown: bool) -> None:
    assert ("http://127.0.0.1:9191/readyz" in links(text(config(internal=internal), host))) is shown


def test_the_address_is_the_configured_one_or_the_one_that_was_called() -> None:
    assert "<code>http://localhost:8080/v1</code>" in text(config(), "localhost:8080")
    page = text(config(portal={"url": "https://gateway.example.com"}, server={"behind_tls_proxy": True}), "other")
    assert "<code>https://gateway.example.com/v1</code>" in page
    assert "other" not in links(page)


def test_a_host_that_is_none_is_not_shown() -> None:
    page = text(config(), '"><script>alert(1)</script>')
    assert "alert" not in page
    assert "<code>http://127.0.0.1:8080</code>" in page


def test_it_says_when_the_process_shuts_down() -> None:
    assert "It is running." in text(config())
    assert "It is shutting down." in text(config(), draining=True)
