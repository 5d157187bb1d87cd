"""Signing in through a Supabase project that a local server stands in for: there and back in a browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from tests import supabase_project
from tests.gateway_process import GatewayProcess, model, provider
from tests.portal_browser import launched
from tests.raw_http import Answer, ask, request
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


def finish(gateway: GatewayProcess, access_token: str) -> Answer:
    """A sign-in that ends with this token, as the callback's script does it."""
    begun = ask(gateway.url, request("GET", "/portal/sign-in?next=/account"))
    cookie = begun.headers["set-cookie"].split(";")[0]
    back = parse_qs(urlsplit(begun.headers["location"]).query)["redirect_to"][0]
    state = parse_qs(urlsplit(back).query)["state"][0]
    headers = {"origin": "http://gateway.test", "cookie": cookie, "content-type": "application/json"}
    body = json.dumps({"access_token": access_token, "state": state}).encode()
    return ask(gateway.url, request("POST", "/portal/session", body, headers=headers))


def test_anonymous_users_stay_outside(gateway: GatewayProcess, project: str) -> None:
    assert finish(gateway, token(project, aal="aal1", is_anonymous=False)).status == 200
    answer = finish(gateway, token(project, "anonymous", aal="aal1", is_anonymous=True))
    assert (answer.status, answer.json()) == (403, {"error": "anonymous_not_allowed"})
    assert "cgx_portal=" not in answer.headers.get("set-cookie", "")


@pytest.mark.parametrize(
    ("stated", "claims", "status"),
    [
        ({"min_aal": "aal2"}, {"aal": "aal1"}, 403),
        ({"min_aal": "aal2"}, {"aal": "aal2"}, 200),
        ({"min_aal": "aal2"}, {"aal": "aal2", "is_anonymous": True}, 403),
        ({"allow_anonymous": True}, {"aal": "aal1", "is_anonymous": True}, 200),
    ],
)
def test_the_policy_of_the_configuration_is_that_of_the_portal(
    tmp_path: Path, project: str, stated: dict[str, object], claims: dict[str, object], status: int
) -> None:
    tables = configured(project)
    tables["supabase"] |= stated
    providers = {"openai": provider("openai", "http://127.0.0.1:9")}
    with GatewayProcess(tmp_path, providers, [model("gpt-4o", "openai")], tables) as gateway:
        assert finish(gateway, token(project, **claims)).status == status


def test_the_page_says_what_the_policy_asks_for(gateway: GatewayProcess, project: str) -> None:
    with launched() as browser:
        page = browser.new_page()
        page.goto(gateway.url + "/portal/sign-in")  # a state of this browser, and then somebody anonymous
        page.get_by_role("button", name="Sign out").click()
        page.route("**/auth/v1/authorize**", lambda route: route.abort())
        begun = page.request.get(gateway.url + "/portal/sign-in", max_redirects=0)
        back = parse_qs(urlsplit(begun.headers["location"]).query)["redirect_to"][0]
        page.goto(f"{back}#access_token={quote(token(project, is_anonymous=True))}")
        page.get_by_text("Anonymous users cannot use this service.").wait_for()
        assert not page.get_by_text("second factor").is_visible()
