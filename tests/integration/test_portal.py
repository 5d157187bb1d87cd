"""The portal in a real browser, against a real gateway: what people see and what they can't be tricked into."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import pytest

from gateway.accounts.opening import OpenedAccounts, opened
from gateway.auth import sessions
from gateway.auth.principal import sid_of
from gateway.config.load import load
from gateway.oauth import device
from gateway.oauth.device import PollDenied, Redeemed, Started
from gateway.portal.page import HEADERS, NOT_KEPT
from metering.accounts.audit import read_audit
from tests.gateway_process import GatewayProcess, model, provider
from tests.integration.conftest import eventually
from tests.portal_browser import launched
from tests.raw_http import ask, request

Result = TypeVar("Result")
WRONG = "This code is wrong, expired or already used"


@dataclass
class Site:
    """A gateway with the development sign-in, a browser, and every request that the browser made."""

    gateway: GatewayProcess
    browser: Any
    requested: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return self.gateway.url

    def person(self, **options: Any) -> Any:
        """A page in a browser of its own."""
        page = self.browser.new_context(**options).new_page()
        page.set_default_timeout(15_000)
        page.on("request", lambda sent: self.requested.append(sent.url))
        return page

    def signed_in(self, path: str = "/account", **options: Any) -> Any:
        page = self.person(**options)
        page.goto(self.url + path)
        page.get_by_role("button", name="Sign in as the local developer").click()
        page.get_by_role("button", name="Sign out").wait_for()
        return page

    def store(self, work: Callable[[OpenedAccounts], Any]) -> Any:
        """Work on the gateway's store, as another process (the IDE's side of the flow)."""

        async def run() -> Any:
            async with opened(load(self.gateway.config)) as at:
                return await work(at)

        import threading

        found: list[Any] = []
        thread = threading.Thread(target=lambda: found.append(asyncio.run(run())))  # playwright has this thread's loop
        thread.start()
        thread.join()
        return found[0]

    def noted(self, pid: str) -> list[tuple[str, str]]:
        """Actor and action of what the audit stream has of an account."""

        async def work(at: OpenedAccounts) -> list[tuple[str, str]]:
            return [(one.actor, one.action) async for one in read_audit(at.store) if one.pid == pid]

        return self.store(work)

    def start(self) -> Started:
        return self.store(
            lambda at: device.start(
                at.store.client, at.key, client_id="codegrex-ide", app_version="1.4.2", platform="macos"
            )
        )

    def poll(self, started: Started) -> Redeemed | PollDenied:
        return self.store(
            lambda at: device.poll(at.store.client, at.key, started.device_code, client_id="codegrex-ide")
        )

    def expire(self, started: Started) -> None:
        """Ten minutes pass for this grant."""

        async def back(at: OpenedAccounts) -> None:
            handle = re.match(r"cgx_dc_([0-9a-f]+)_", started.device_code)
            assert handle is not None
            await at.store.client.hset(device.grant_key(handle[1]), "expires", int(time.time() * 1000) - 1)

        self.store(back)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as found:
        yield found


@pytest.fixture(scope="module")
def gateway(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("portal")
    with GatewayProcess(
        folder, {"openai": provider("openai", "http://127.0.0.1:9")}, [model("gpt-4o", "openai")]
    ) as it:
        yield it


@pytest.fixture
def site(gateway: GatewayProcess, browser: Any) -> Iterator[Site]:
    found = Site(gateway, browser)
    found.store(_forget_attempts)
    yield found
    for context in browser.contexts:
        context.close()
    assert found.requested
    assert [url for url in found.requested if not url.startswith(found.url + "/")] == []


async def _forget_attempts(at: OpenedAccounts) -> None:
    """All tests come from one network, which may try ten codes a minute."""
    async for name in at.store.client.scan_iter(match="w:*"):
        await at.store.client.delete(name)


def test_approve_in_a_browser_while_the_device_polls(site: Site) -> None:
    started = site.start()
    assert site.poll(started) is PollDenied.AUTHORIZATION_PENDING
    page = site.signed_in(f"/device?user_code={started.user_code}")
    page.get_by_role("heading", name="Connect this device?").wait_for()
    for text in (started.user_code, "codegrex-ide", "1.4.2", "macos"):
        assert page.get_by_text(text, exact=True).is_visible()
    page.get_by_role("button", name="Approve").click()
    page.get_by_role("heading", name="Device connected").wait_for()
    found = site.store(lambda at: _poll_when_allowed(at, started))
    assert isinstance(found, Redeemed)
    page.goto(f"{site.url}/device?user_code={started.user_code}")
    assert page.get_by_role("alert").inner_text().startswith(WRONG)


def test_from_the_code_to_the_revocation_as_an_ide_and_a_person_do_it(site: Site) -> None:
    """The device over HTTP, the person in a browser: code, consent, token, use, revocation, refusal."""
    asked = {"client_id": "codegrex-ide", "app_version": "1.4.2", "platform": "linux"}
    started = form(site, "/oauth/device_authorization", asked).json()
    grant = {"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "client_id": "codegrex-ide"}
    poll = grant | {"device_code": started["device_code"]}
    assert form(site, "/oauth/token", poll).json()["error"] == "authorization_pending"
    assert started["verification_uri_complete"].startswith(site.url + "/device?user_code=")
    page = site.signed_in(started["verification_uri_complete"].removeprefix(site.url))
    page.get_by_role("button", name="Approve").click()
    page.get_by_role("heading", name="Device connected").wait_for()
    time.sleep(started["interval"])
    tokens = form(site, "/oauth/token", poll).json()
    auth = {"authorization": f"Bearer {tokens['access_token']}"}
    assert ask(site.url, request("GET", "/v1/models", headers=auth)).status == 200
    page.goto(site.url + "/account")
    row = page.locator("li", has=page.get_by_text("linux 1.4.2", exact=True))
    row.get_by_role("button", name="Revoke").click()
    page.get_by_text("It was revoked.").wait_for()
    refused = ask(site.url, request("GET", "/v1/models", headers=auth))
    assert (refused.status, refused.headers["x-error-code"]) == (401, "token_revoked")
    again = {"grant_type": "refresh_token", "client_id": "codegrex-ide", "refresh_token": tokens["refresh_token"]}
    assert form(site, "/oauth/token", again).json()["error"] == "invalid_grant"


def form(site: Site, path: str, fields: dict[str, str]) -> Any:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    return ask(site.url, _to(site, request("POST", path, urlencode(fields).encode(), headers=headers)))


async def _poll_when_allowed(at: OpenedAccounts, started: Started) -> Redeemed | PollDenied:
    """The interval is the device's to keep; here it is put back instead of waited for."""
    handle = re.match(r"cgx_dc_([0-9a-f]+)_", started.device_code)
    assert handle is not None
    await at.store.client.hset(device.grant_key(handle[1]), "polled", 0)
    return await device.poll(at.store.client, at.key, started.device_code, client_id="codegrex-ide")


def test_deny(site: Site) -> None:
    started = site.start()
    page = site.signed_in("/device")
    page.get_by_label("Code").fill(started.user_code.lower().replace("-", " "))
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("button", name="Deny").click()
    page.get_by_role("heading", name="Device refused").wait_for()
    assert site.poll(started) is PollDenied.ACCESS_DENIED


def test_a_wrong_code_and_an_expired_one_look_the_same(site: Site) -> None:
    started = site.start()
    site.expire(started)
    page = site.signed_in("/device")
    said = []
    for code in ("BCDF-GHJK", started.user_code, "<b>AEIO</b>"):
        page.get_by_label("Code").fill(code)
        page.get_by_role("button", name="Continue").click()
        page.wait_for_load_state()
        said.append(page.locator("main").inner_text())
    assert said[0].count(WRONG) == 1
    assert said == said[:1] * 3


def test_keyboard_only(site: Site) -> None:
    started = site.start()
    page = site.person()
    page.goto(site.url + "/device")
    _tab_to(page, "Sign in as the local developer")
    page.keyboard.press("Enter")
    page.get_by_label("Code").wait_for()
    page.keyboard.type(started.user_code)  # the field has the focus
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Approve").wait_for()
    _tab_to(page, "Approve")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Device connected").wait_for()


def _tab_to(page: Any, name: str) -> None:
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == name:
            return
    raise AssertionError(name)


def test_forms_without_the_session_s_token_or_from_elsewhere_are_refused(site: Site) -> None:
    started = site.start()
    page = site.signed_in(f"/device?user_code={started.user_code}")
    page.evaluate("document.querySelector('main [name=form_token]').value = '0'.repeat(64)")
    page.get_by_role("button", name="Approve").click()
    page.get_by_role("heading", name="Not accepted").wait_for()
    cookies = "; ".join(f"{one['name']}={one['value']}" for one in page.context.cookies())
    page.goto(f"{site.url}/device?user_code={started.user_code}")
    token = page.locator("main [name=form_token]").get_attribute("value")
    body = f"form_token={token}&user_code={started.user_code}&decision=approve".encode()
    for origin in ({"origin": "https://evil.example"}, {"origin": "null"}, {}):
        headers = {"cookie": cookies, "content-type": "application/x-www-form-urlencoded", **origin}
        assert _posted(site, body, headers) == 403
    assert site.poll(started) is PollDenied.AUTHORIZATION_PENDING
    headers = {
        "cookie": cookies,
        "content-type": "application/x-www-form-urlencoded",
        "origin": site.url,
    }
    assert _posted(site, body, headers) == 200


def _posted(site: Site, body: bytes, headers: dict[str, str]) -> int:
    sent = request("POST", "/device", body, headers=headers)
    return ask(site.url, _to(site, sent)).status


def _to(site: Site, sent: bytes) -> bytes:
    """With the host that the browser names."""
    return sent.replace(b"gateway.test", site.url.removeprefix("http://").encode(), 1)


def test_account_revoke_policy_export_delete(site: Site) -> None:
    first = site.gateway.session("developer", 250)
    second = site.gateway.session("developer", 0)
    earlier = len(site.noted(first["pid"]))
    page = site.signed_in()
    assert "500.00" in page.locator(".figures").inner_text() or "250.00" in page.locator(".figures").inner_text()
    auth = {"authorization": f"Bearer {first['access_token']}"}
    assert ask(site.url, request("GET", "/account", headers=auth)).status == 200
    before = page.get_by_role("button", name="Revoke", exact=True).count()
    page.get_by_role("button", name="Revoke", exact=True).first.click()
    page.get_by_text("It was revoked.").wait_for()
    assert page.get_by_role("button", name="Revoke", exact=True).count() == before - 1
    page.get_by_role("button", name="Revoke all").click()
    page.get_by_text("All sessions were revoked.").wait_for()
    for session in (first, second):
        headers = {"authorization": f"Bearer {session['access_token']}"}
        assert ask(site.url, request("GET", "/v1/account", headers=headers)).json()["code"] == "token_revoked"
    page.get_by_label("Local only").check()
    page.get_by_label("Process in").select_option("eu")
    page.get_by_label("May be kept").select_option("30 days at most")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Your choice is saved.").wait_for()
    assert page.get_by_label("Local only").is_checked()
    assert page.get_by_label("Process in").input_value() == "eu"
    assert page.get_by_label("May be kept").input_value() == "30"
    with page.expect_download() as download:
        page.get_by_role("button", name="Export as JSON").click()
    document = json.loads(Path(download.value.path()).read_text())
    assert document["account"]["pid"] == first["pid"]
    assert len(document["sessions"]) >= 2
    site.gateway.session("developer", 0)  # one that the deletion ends
    page.get_by_text("Delete account").first.click()
    page.get_by_label("Type delete to confirm").fill("delete")
    page.get_by_role("button", name="Delete account").click()
    page.get_by_role("heading", name="Sign in").wait_for()
    gone = site.store(lambda at: at.accounts.pid_of("developer"))
    assert gone is None
    mine = [action for actor, action in site.noted(first["pid"])[earlier:] if actor == "portal"]
    # one revoked, all revoked, and those that were left at the end
    assert mine == ["revoked", "revoked", "chosen", "exported", "revoked", "erased"]


def test_a_token_for_a_tool_is_shown_once_works_within_its_scopes_and_is_revoked(site: Site) -> None:
    page = site.signed_in()
    tokens = page.locator("section", has=page.get_by_role("heading", name="Access tokens"))
    tokens.get_by_label("Name").fill("laptop agent")
    tokens.get_by_label("Lasts").select_option("30")
    page.get_by_role("button", name="Create token").click()
    token = page.get_by_label("Token").input_value()
    assert token.startswith("cgx_pat_")
    auth = {"authorization": f"Bearer {token}"}
    assert ask(site.url, request("GET", "/v1/models", headers=auth)).status == 200
    assert ask(site.url, request("GET", "/v1/account", headers=auth)).status == 403
    page.get_by_role("link", name="Back to the account").click()
    assert "laptop agent" in tokens.inner_text()
    assert token not in page.content()
    [held] = [session for session in site.store(lambda at: sessions.all_held(at.store.client)) if session.name]
    earlier = len(site.noted(held.pid))
    tokens.get_by_role("button", name="Revoke").click()
    page.get_by_text("It was revoked.").wait_for()
    assert "laptop agent" not in tokens.inner_text()
    answer = eventually(
        lambda: ask(site.url, request("GET", "/v1/models", headers=auth)), lambda found: found.status == 401
    )
    assert answer.headers["x-error-code"] == "token_revoked"
    assert site.noted(held.pid)[earlier:] == [("portal", "revoked")]
    tokens.get_by_label("Name").fill("- no name -")
    page.get_by_role("button", name="Create token").click()
    assert "A name has 1 to 32 letters" in page.get_by_role("alert").inner_text()


def test_nobody_ends_another_account_s_session(site: Site) -> None:
    site.gateway.session("developer", 0)
    theirs = site.gateway.session("somebody else", 0)["access_token"]
    page = site.signed_in()
    page.locator("form[action='/account/revoke'] [name=sid]").first.evaluate(
        "(field, sid) => { field.value = sid }", sid_of(theirs)
    )
    page.get_by_role("button", name="Revoke", exact=True).first.click()
    page.get_by_role("heading", name="Not found").wait_for()
    auth = {"authorization": f"Bearer {theirs}"}
    assert ask(site.url, request("GET", "/v1/account", headers=auth)).status == 200


def test_the_development_sign_in_says_so_and_answers_to_this_machine_alone(site: Site) -> None:
    page = site.person()
    page.goto(site.url + "/account")
    assert "anybody on this machine can sign in" in page.get_by_role("note").inner_text()
    assert '"event":"development_sign_in"' in site.gateway.log.read_text()
    rebound = request("GET", "/device")  # its host is gateway.test
    assert ask(site.url, rebound).status == 404
    assert ask(site.url, _to(site, rebound)).status == 200


def test_the_policy_of_content_is_strict_and_nothing_is_cached(site: Site) -> None:
    page = site.person()
    answer = page.goto(site.url + "/device")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; ")
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.reload()
    assert [text for text in faults if "Content Security Policy" in text] == []


def test_guesses_of_codes_are_limited(site: Site) -> None:
    page = site.signed_in("/device")
    statuses = [page.goto(f"{site.url}/device?user_code=BCDFGHJ{letter}").status for letter in "BCDFGHJKLMN" * 2]
    assert statuses[:10] == [404] * 10  # a window may end in between, and then ten more are counted
    assert 429 in statuses
    assert page.get_by_role("alert").is_visible()


# -- the page about the gateway itself --------------------------------------------------------


def test_the_root_says_what_this_is_and_its_links_lead_somewhere(site: Site) -> None:
    person = site.person()
    person.goto(site.url + "/")
    assert person.get_by_role("heading", name="CodeGrex gateway").is_visible()
    assert "It is running." in person.inner_text("main")
    assert f"{site.url}/v1" in person.inner_text("main")
    assert person.evaluate("getComputedStyle(document.querySelector('.card')).borderRadius") == "12px"  # styled
    links = person.eval_on_selector_all("main a", "all => all.map(a => a.href)")
    assert [link.removeprefix(site.url) for link in links] == [
        "/account",
        "/device",
        "/docs/",
        "/.well-known/ai-privacy",
        "/.well-known/oauth-authorization-server",
    ]
    assert [link for link in links if person.goto(link).status != 200] == []


def test_the_root_has_the_portals_headers_for_get_and_head_and_takes_nothing_else(site: Site) -> None:
    secure = {name.lower(): value for name, value in {**HEADERS, **NOT_KEPT}.items()}
    lengths = set()
    for method, path in (("GET", "/account"), ("GET", "/"), ("HEAD", "/")):
        connection = http.client.HTTPConnection(site.url.removeprefix("http://"), timeout=60)
        connection.request(method, path)
        answer = connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        assert answer.status == 200
        assert {name: found.get(name) for name in secure} == secure
        assert "set-cookie" not in found
        if path == "/":
            lengths.add(found["content-length"])
        connection.close()
    assert len(lengths) == 1
    refused = ask(site.url, request("POST", "/", b"{}"))
    assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD")
    assert ask(site.url, request("GET", "/index.html")).status == 404
    assert site.person().goto(site.url + "/").ok  # so that something was requested
