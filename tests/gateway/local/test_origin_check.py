"""Programs get in, web pages do not."""

import pytest
from multidict import CIMultiDict

from gateway.errors import ForeignOrigin
from gateway.local.origin_check import OriginCheck, preflight

HOST = ("Host", "127.0.0.1:8081")


def check(*headers, allowed=()):
    return OriginCheck(8081, frozenset(allowed)).check(CIMultiDict(headers))


@pytest.mark.parametrize("host", ["127.0.0.1:8081", "localhost:8081", "LOCALHOST:8081", "[::1]:8081"])
def test_programs(host):
    check(("Host", host))
    check(("Host", host), ("Sec-Fetch-Site", "none"))


@pytest.mark.parametrize(
    "host",
    [
        "evil.test",
        "evil.test:8081",
        "127.0.0.1",
        "127.0.0.1:80",
        "localhost.evil.test:8081",
        "127.0.0.1:8081.evil.test",
        "10.0.0.1:8081",
        "0.0.0.0:8081",
        "user@127.0.0.1:8081",
        "",
    ],
)
def test_a_rebound_name(host):
    with pytest.raises(ForeignOrigin):
        check(("Host", host))


def test_no_host_and_two_hosts():
    with pytest.raises(ForeignOrigin):
        check()
    with pytest.raises(ForeignOrigin):
        check(HOST, HOST)


@pytest.mark.parametrize(
    "origin", ["https://evil.test", "null", "http://127.0.0.1:8081", "http://localhost:3000", "file://", ""]
)
def test_pages(origin):
    with pytest.raises(ForeignOrigin):
        check(HOST, ("Origin", origin))
    with pytest.raises(ForeignOrigin):
        check(HOST, ("Origin", "vscode-webview://x"), ("Origin", origin), allowed=["vscode-webview://x"])


@pytest.mark.parametrize("site", ["cross-site", "same-site", "new-value"])
def test_images_and_navigations_of_pages(site):
    with pytest.raises(ForeignOrigin):
        check(HOST, ("Sec-Fetch-Site", site))


def test_an_origin_that_was_allowed_by_name():
    allowed = ("Origin", "vscode-webview://x")
    found = check(HOST, allowed, ("Sec-Fetch-Site", "cross-site"), allowed=["vscode-webview://x"])
    assert found == {"Access-Control-Allow-Origin": "vscode-webview://x", "Vary": "Origin"}
    assert check(HOST, allowed=["vscode-webview://x"]) == {}


def test_a_preflight():
    asked = {"Access-Control-Request-Headers": "authorization", "Access-Control-Request-Private-Network": "true"}
    found = preflight(CIMultiDict(asked))
    assert found["Access-Control-Allow-Headers"] == "authorization"
    assert found["Access-Control-Allow-Private-Network"] == "true"
    assert "Access-Control-Allow-Headers" not in preflight(CIMultiDict())
