"""Signing in through a Supabase project that a local server stands in for: there and back in a browser."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from tests.gateway_process import GatewayProcess, model, provider
from tests.portal_browser import launched
from tests.raw_http import ask, request

KEY = ec.generate_private_key(ec.SECP256R1())


class Project(BaseHTTPRequestHandler):
    """Publishes its key, and signs everybody in at once."""

    def do_GET(self) -> None:
        url = f"http://127.0.0.1:{self.server.server_address[1]}"
        if self.path.endswith("jwks.json"):
            body = json.dumps({"keys": [{**ECAlgorithm.to_jwk(KEY.public_key(), as_dict=True), "kid": "one"}]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return
        back = parse_qs(urlsplit(self.path).query)["redirect_to"][0]
        self.send_response(302)
        self.send_header("Location", f"{back}#access_token={token(url)}&token_type=bearer")
        self.end_headers()

    def log_message(self, *_arguments: Any) -> None: ...


def token(url: str, sub: str = "11111111-2222-3333-4444-555555555555") -> str:
    claims = {"iss": f"{url}/auth/v1", "aud": "authenticated", "sub": sub, "role": "authenticated"}
    return jwt.encode({**claims, "exp": int(time.time()) + 600}, KEY, algorithm="ES256", headers={"kid": "one"})


@pytest.fixture(scope="module")
def project() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Project)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def gateway(project: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    more = {"supabase": {"url": project}, "portal": {"sign_in_url": f"{project}/auth/v1/authorize?provider=github"}}
    folder = tmp_path_factory.mktemp("sign-in")
    providers = {"openai": provider("openai", "http://127.0.0.1:9")}
    with GatewayProcess(folder, providers, [model("gpt-4o", "openai")], more) as found:
        yield found


def test_there_and_back_and_out(gateway: GatewayProcess) -> None:
    with launched() as browser:
        page = browser.new_page()
        page.goto(gateway.url + "/device?user_code=BCDF-GHJK")
        page.get_by_role("link", name="Sign in").click()
        page.get_by_label("Code").wait_for()  # the code is of no grant, so it is asked for
        assert page.url == gateway.url + "/device?user_code=BCDF-GHJK"
        cookies = {one["name"]: one for one in page.context.cookies()}
        assert set(cookies) == {"cgx_portal"}
        assert (cookies["cgx_portal"]["httpOnly"], cookies["cgx_portal"]["sameSite"]) == (True, "Lax")
        assert page.get_by_role("note").count() == 0
        page.get_by_role("button", name="Sign out").click()
        page.get_by_role("heading", name="Sign in").wait_for()
        assert page.context.cookies() == []


def test_a_link_with_somebody_else_s_token_signs_nobody_in(gateway: GatewayProcess, project: str) -> None:
    with launched() as browser:
        page = browser.new_page()
        page.goto(f"{gateway.url}/portal/callback?state={'0' * 32}#access_token={quote(token(project, 'mallory'))}")
        page.get_by_text("The sign-in did not succeed.").wait_for()
        assert page.url == f"{gateway.url}/portal/callback"  # the token left the address bar
        assert page.context.cookies() == []


def test_there_is_no_development_sign_in(gateway: GatewayProcess) -> None:
    headers = {"origin": "http://gateway.test", "content-type": "application/x-www-form-urlencoded"}
    answer = ask(gateway.url, request("POST", "/portal/development", b"next=/account", headers=headers))
    assert answer.status == 404
    assert "set-cookie" not in answer.headers
    assert "development_sign_in" not in gateway.log.read_text()
