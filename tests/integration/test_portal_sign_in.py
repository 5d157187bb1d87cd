"""Signing in through a Supabase project that a local server stands in for: there and back in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests import supabase_project
from tests.gateway_process import GatewayProcess, model, provider
from tests.portal_browser import launched
from tests.raw_http import ask, request
from tests.supabase_project import configured, token


@pytest.fixture(scope="module")
def project() -> Iterator[str]:
    with supabase_project.project() as url:
        yield url


@pytest.fixture(scope="module")
def gateway(project: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("sign-in")
    providers = {"openai": provider("openai", "http://127.0.0.1:9")}
    with GatewayProcess(folder, providers, [model("gpt-4o", "openai")], configured(project)) as found:
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
