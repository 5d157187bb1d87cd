"""The sign-in without a password is for this machine's browser: nothing that came through a proxy passes."""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit

import pytest

from tests.gateway_process import GatewayProcess, model, provider
from tests.raw_http import ask

PROXIES = {
    "RFC 7239": {"Forwarded": "for=192.0.2.1;proto=https"},
    "RFC 9110": {"Via": "1.1 proxy"},
    "the usual": {"X-Forwarded-For": "192.0.2.1"},
    "a scheme alone": {"X-Forwarded-Proto": "https"},
    "a host alone": {"X-Forwarded-Host": "public.example"},
    "a server": {"X-Forwarded-Server": "proxy"},
    "a port": {"X-Forwarded-Port": "443"},
    "a prefix": {"X-Forwarded-Prefix": "/ide"},
    "a user": {"X-Forwarded-User": "somebody"},
    "a certificate": {"X-Forwarded-Client-Cert": "By=x"},
    "an old one": {"X-Forwarded": "for=192.0.2.1"},
    "another old one": {"Forwarded-For": "192.0.2.1"},
    "empty": {"X-Forwarded-For": ""},
    "other case": {"x-FORWARDED-for": "192.0.2.1"},
    "underscores": {"X_Forwarded_For": "192.0.2.1"},
    "nginx": {"X-Real-IP": "192.0.2.1"},
    "traefik": {"X-Real-Ip": "192.0.2.1"},
    "apache": {"X-Cluster-Client-Ip": "192.0.2.1"},
    "akamai": {"True-Client-IP": "192.0.2.1"},
    "cloudflare": {"CF-Connecting-IP": "192.0.2.1"},
    "a tunnel": {"Cf-Ray": "1"},
    "a content network": {"CDN-Loop": "cloudflare"},
    "fastly": {"Fastly-Client-IP": "192.0.2.1"},
    "envoy": {"X-Envoy-External-Address": "192.0.2.1"},
    "aws": {"X-Amzn-Trace-Id": "Root=1"},
    "azure": {"X-Azure-ClientIP": "192.0.2.1"},
    "a rewritten address": {"X-Original-URL": "/"},
    "weblogic": {"WL-Proxy-Client-IP": "192.0.2.1"},
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    providers = {"openai": provider("openai", "http://127.0.0.1:9")}
    with GatewayProcess(tmp_path_factory.mktemp("gateway"), providers, [model("gpt-4o", "openai")]) as found:
        yield found


def sent(gateway, method, path, **headers):
    host = urlsplit(gateway.url).netloc
    connection = http.client.HTTPConnection(host, timeout=60)
    body = b"next=/account" if method == "POST" else None
    usual = {"Origin": f"http://{host}", "Content-Type": "application/x-www-form-urlencoded"}
    connection.request(method, path, body, usual | headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, answer.getheader("Set-Cookie")


def test_the_browser_of_this_machine_signs_in(gateway):
    status, cookie = sent(gateway, "POST", "/portal/development")
    assert status == 303
    assert cookie.startswith("cgx_portal=")


@pytest.mark.parametrize("proxy", PROXIES)
def test_nothing_that_came_through_a_proxy_passes(gateway, proxy):
    assert sent(gateway, "POST", "/portal/development", **PROXIES[proxy]) == (403, None)


def test_a_cookie_that_was_made_here_is_no_use_elsewhere(gateway):
    _, cookie = sent(gateway, "POST", "/portal/development")
    here = {"Cookie": cookie.split(";")[0]}
    assert sent(gateway, "GET", "/account", **here)[0] == 200
    for method, path in (("GET", "/account"), ("GET", "/device"), ("POST", "/account/token"), ("POST", "/device")):
        assert sent(gateway, method, path, **here, Via="1.1 proxy")[0] == 403


def test_the_default_of_nginx_passes_no_more(gateway):
    """It asks by HTTP/1.0, names itself as the host, and adds no header."""
    host = urlsplit(gateway.url).netloc
    lines = (
        "POST /portal/development HTTP/1.0", f"Host: {host}", f"Origin: http://{host}",
        "Content-Type: application/x-www-form-urlencoded", "Content-Length: 0", "", "",
    )  # fmt: skip
    answer = ask(gateway.url, "\r\n".join(lines).encode())
    assert answer.status == 403
    assert "set-cookie" not in answer.headers


def test_behind_a_proxy_that_is_configured_there_is_no_such_sign_in(tmp_path):
    providers = {"openai": provider("openai", "http://127.0.0.1:9")}
    behind = {"server": {"behind_tls_proxy": True}}
    with GatewayProcess(tmp_path, providers, [model("gpt-4o", "openai")], behind) as gateway:
        assert sent(gateway, "POST", "/portal/development")[0] == 404
