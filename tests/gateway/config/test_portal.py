from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import ConfigError
from gateway.config.load import read
from tests.gateway.config.parsing import fault, parse

PORTAL_BASE: dict[str, object] = {
    "providers": {
        "openai": {"kind": "openai", "api_keys": ["k"], "retention_days": 0, "training": False, "region": "global"}
    }
}


def test_the_portal_is_an_origin() -> None:
    assert parse('[portal]\nurl = "https://ide.example/"\n').portal.url == "https://ide.example"
    assert parse("").portal.url == ""


@pytest.mark.parametrize("url", ["ide.example", "https://ide.example/path", "http://ide.example", "http://[x"])
def test_what_is_not_the_address_of_a_portal(url: str) -> None:
    assert fault(f'[portal]\nurl = "{url}"\n').startswith("portal.url: ")


@pytest.mark.parametrize(
    ("supabase", "portal", "fault"),
    [
        ({"url": "http://project.example"}, {"sign_in_url": "https://a.example/"}, "supabase.url: is plain http"),
        ({"url": "ftp://project.example"}, {"sign_in_url": "https://a.example/"}, "supabase.url: is not an address"),
        ({"url": "https://project.example"}, {}, "portal.sign_in_url: is missing"),
        ({"url": "https://p.example"}, {"sign_in_url": "http://a.example/"}, "portal.sign_in_url: is plain http"),
        ({"url": "https://p.example", "jwt_secret": "x"}, {"sign_in_url": "https://a.example/"}, "supabase.jwt_secret"),
        ({"jwt_secret": "x" * 32}, {}, "supabase.url: is missing"),
        ({"allow_anonymous": True}, {}, "supabase.url: is missing"),
        ({"min_aal": "aal2"}, {}, "supabase.url: is missing"),
        ({"url": "https://p.example", "min_aal": "aal3"}, {}, "supabase.min_aal: is not one of the values"),
        ({"url": "https://p.example", "allow_anonymous": "no"}, {}, "supabase.allow_anonymous: is neither"),
        ({}, {"url": "https://a.example/path"}, "portal.url: is not an origin"),
    ],
)
def test_faults_of_the_portal_are_named(
    tmp_path: Path, supabase: dict[str, object], portal: dict[str, str], fault: str
) -> None:
    table = {**PORTAL_BASE, "supabase": supabase, "portal": portal}
    with pytest.raises(ConfigError) as caught:
        read(table, tmp_path / "gateway.toml", {})
    assert any(line.startswith(fault) for line in caught.value.faults), caught.value.faults
