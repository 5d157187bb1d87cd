"""Scenarios of people: signing in on a device and in a browser, and what an account's page does."""

from __future__ import annotations

import json
import re
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography.hazmat.primitives.asymmetric import ec

from tests.integration.conftest import eventually
from tests.privacy.sinks import TOKEN_NAME
from tests.privacy.stage import Stage
from tests.privacy.traffic import form, local, send
from tests.raw_http import Answer, request
from tests.supabase_project import token

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
ORIGIN = {"origin": "http://127.0.0.1"}


def device_login(stage: Stage) -> None:
    """Codes and tokens of a person's sign-in: given out once, kept nowhere."""
    name, plant, adopt = "device login", stage.canaries.plant, stage.canaries.adopt
    client = {"client_id": "codegrex-ide"}
    for path, fields in (
        ("/oauth/device_authorization", {"client_id": plant("client id", name), "scope": plant("scope", name)}),
        (
            "/oauth/device_authorization",
            client | {"app_version": "1.0-" + plant("version", name), "platform": "linux-" + plant("os", name)},
        ),
        ("/oauth/token", client | {"grant_type": plant("grant type", name)}),
        ("/oauth/token", client | {"grant_type": DEVICE_GRANT, "device_code": plant("device code", name)}),
        ("/oauth/token", client | {"grant_type": "refresh_token", "refresh_token": plant("refresh token", name)}),
        ("/oauth/revoke", client | {"token": plant("token", name)}),
    ):
        form(stage, path, fields, name=name)
    started = _json(form(stage, "/oauth/device_authorization", client, name=name))
    adopt(started["device_code"], "identity: device code", name)
    adopt(started["user_code"], "identity: user code", name)
    cookie = _signed_in(stage, name)
    page = stage.ask(local(request("GET", f"/device?user_code={started['user_code']}", headers=cookie)))
    assert page is not None
    fields = dict(re.findall(r'name="([a-z_]+)" value="([^"]*)"', page.body.decode()))
    decided = form(stage, "/device", fields | {"decision": "approve"}, name=name, headers=ORIGIN | cookie)
    assert decided is not None
    assert decided.status in {200, 303}, decided.body
    asked = client | {"grant_type": DEVICE_GRANT, "device_code": started["device_code"]}
    tokens = _json(form(stage, "/oauth/token", asked, name=name))
    for kind in ("access_token", "refresh_token"):
        adopt(tokens[kind], f"identity: {kind}", name)
    bearer = {"authorization": f"Bearer {tokens['access_token']}"}
    for headers in (bearer, {}):  # a new account has no credits; the other one has
        stage.ask(send(stage, "openai", name=name + ", then a prompt", headers=headers))
    again = client | {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    renewed = _json(form(stage, "/oauth/token", again, name=name))
    adopt(renewed["refresh_token"], "identity: refresh_token", name)
    form(stage, "/oauth/revoke", client | {"token": renewed["refresh_token"]}, name=name)


def portal(stage: Stage) -> None:
    name, plant = "portal", stage.canaries.plant
    cookie = _signed_in(stage, name)
    for path in ("/account", "/device", "/portal/callback", "/portal/sign-in", "/portal/" + plant("path", name)):
        query = f"?user_code={plant('user code', name)}&next={plant('query', name)}&error={plant('query', name)}"
        for headers in (cookie, {"cookie": f"session={plant('header: cookie', name)}"}):
            stage.ask(local(request("GET", path + query, headers=headers)))
    for path in ("/device", "/portal/session", "/portal/development", "/portal/sign-out", "/account/delete"):
        for origin in (ORIGIN, {"origin": "http://" + plant("header: origin", name)}):
            fields = {
                field: plant(f"form: {field}", name)
                for field in ("user_code", "form_token", "next", "access_token", "decision", "note")
            }
            form(stage, path, fields, name=name, headers=origin | cookie)


def _signed_in(stage: Stage, name: str) -> dict[str, str]:
    answer = form(stage, "/portal/development", {"next": "/account"}, name=name, headers=ORIGIN)
    assert answer is not None
    assert answer.status == 303, answer.body
    cookie = answer.headers["set-cookie"].split(";")[0]
    stage.canaries.adopt(cookie.partition("=")[2], "identity: portal session", name)
    return {"cookie": cookie}


def _json(answer: Answer | None) -> dict[str, Any]:
    assert answer is not None
    assert answer.status == 200, answer.body
    return dict(answer.json())


def signed_in_by_supabase(stage: Stage) -> None:
    """There and back with a token that says who somebody is, then everything that the account's page does."""
    name = "sign-in by Supabase"
    cookie = _came_back(stage, name)
    page = _page(stage, cookie, name)
    fields = {"form_token": _values(page)["form_token"]}
    posted = lambda path, more: form(stage, path, fields | more, name=name, headers=ORIGIN | cookie)  # noqa: E731
    label = stage.canaries.plant(TOKEN_NAME, name)
    made = posted("/account/token", {"name": label, "days": "30"})
    secret = re.search(rb"cgx_pat_[^<]+", made.body)
    assert secret is not None, made.body
    stage.canaries.adopt(secret[0].decode(), "identity: personal access token", name)
    bearer = {"authorization": f"Bearer {secret[0].decode()}"}
    _use(stage, bearer, name)
    page = _page(stage, cookie, name)
    assert label in page
    for kind in ("json", "csv", stage.canaries.plant("form: form", name)):
        exported = posted("/account/export", {"form": kind})
        assert exported.status == 200
        assert (label.encode() in exported.body) is (kind != "csv")
    _refused(stage, posted, name)
    assert posted("/account/revoke", {"sid": _values(page)["sid"]}).status == 303
    assert label not in _page(stage, cookie, name)
    assert posted("/account/delete", {"confirm": "delete"}).status == 303
    with stage.store() as store:  # an erasure has the store write its file anew, without what was deleted
        eventually(
            lambda: store.info("persistence"),
            lambda found: not found["aof_rewrite_in_progress"] and not found["aof_rewrite_scheduled"],
        )
    gone = stage.ask(local(request("GET", "/account", headers=cookie)))
    assert gone is not None
    assert gone.status == 200  # the cookie of an account that is gone: the page asks to sign in
    assert label.encode() not in gone.body


def _came_back(stage: Stage, name: str) -> dict[str, str]:
    """The cookie of somebody who went to the sign-in service and came back, after some who did not come from there."""
    plant, adopt = stage.canaries.plant, stage.canaries.adopt
    begun = stage.ask(local(request("GET", f"/portal/sign-in?next=/account{plant('query', name)}")))
    assert begun is not None
    assert begun.status == 303, begun.body
    cookie = {"cookie": begun.headers["set-cookie"].split(";")[0]}
    back = parse_qs(urlsplit(begun.headers["location"]).query)["redirect_to"][0]
    state = parse_qs(urlsplit(back).query)["state"][0]
    adopt(state, "identity: sign-in state", name)
    told = f"&error={plant('query', name)}&error_description={plant('query', name)}"
    page = stage.ask(local(request("GET", f"/portal/callback?state={state}{told}", headers=cookie)))
    assert page is not None
    assert page.status == 200
    good = _token(stage, name)
    other = {"key": ec.generate_private_key(ec.SECP256R1())}
    for status, sent in (
        (401, {"state": plant("state", name), "access_token": good}),
        (401, {"state": state, "access_token": plant("access token", name)}),
        (401, {"state": state, "access_token": _token(stage, name, **other)}),
        (401, {"state": state, "access_token": _token(stage, name, kid=plant("key id", name))}),
        (401, {"state": state, "access_token": _token(stage, name, role=plant("identity: role", name))}),
        (200, {"state": state, "access_token": good}),
    ):
        body = json.dumps(sent | {"note": plant("body", name)}).encode()
        headers = {"content-type": "application/json", "user-agent": plant("header: user-agent", name)}
        data = request("POST", "/portal/session", body, headers=headers | ORIGIN | cookie)
        answer = stage.ask(local(data))
        assert answer is not None
        assert answer.status == status, answer.body
    session = answer.headers["set-cookie"].split(";")[0]
    adopt(session.partition("=")[2], "identity: portal session", name)
    return {"cookie": session}


def _token(stage: Stage, name: str, **more: Any) -> str:
    """An access token as Supabase makes it: the user's own data are in it."""

    def claim(place: str) -> str:
        return stage.canaries.plant(f"identity: {place}", name)

    known = {
        "email": claim("e-mail") + "@example.test",
        "phone": claim("telephone"),
        "session_id": claim("session of the issuer"),
        "user_metadata": {"full_name": claim("full name"), "avatar_url": f"https://example.test/{claim('picture')}"},
        "app_metadata": {"provider": claim("provider of the identity")},
    }
    text = token(stage.issuer, claim("user"), **(known | more))
    stage.canaries.adopt(text, "identity: token of the issuer", name)
    return text


def _use(stage: Stage, bearer: dict[str, str], name: str) -> None:
    """Take the token for what it opens, and for what it does not."""
    for path, status in (("/v1/models", 200), ("/v1/account", 403)):
        answer = stage.ask(request("GET", f"{path}?note={stage.canaries.plant('query', name)}", headers=bearer))
        assert answer is not None
        assert answer.status == status
    poor = stage.ask(send(stage, "openai", name=name + ", then a prompt", headers=bearer))
    assert poor is not None
    assert poor.code == "credits_exhausted"
    stage.ask(send(stage, "openai", name=name + ", then a prompt of somebody else"))


def _refused(stage: Stage, posted: Any, name: str) -> None:
    """What the page's forms do not take, each with its marker."""
    plant = stage.canaries.plant
    for path, more, status in (
        ("/account/token", {"name": f"<{plant('form: name', name)}>", "days": "30"}, 400),
        ("/account/token", {"name": plant("form: name", name), "days": plant("form: days", name)}, 400),
        ("/account/policy", {"mode": plant("form: mode", name), "region": plant("form: region", name)}, 400),
        ("/account/policy", {"retention": plant("form: retention", name)}, 400),
        ("/account/revoke", {"sid": plant("form: sid", name)}, 404),
        ("/account/delete", {"confirm": plant("form: confirm", name)}, 400),
        ("/device", {"user_code": plant("form: user_code", name), "decision": "approve"}, 404),
        ("/account/export", {"form_token": plant("form: form_token", name)}, 403),
    ):
        assert posted(path, more).status == status, path


def _page(stage: Stage, cookie: dict[str, str], name: str) -> str:
    """The account's page, asked for with a marker in its query and a header."""
    plant = stage.canaries.plant
    headers = cookie | {"user-agent": plant("header: user-agent", name)}
    path = f"/account?done={plant('query', name)}&user_code={plant('query', name)}"
    answer = stage.ask(local(request("GET", path, headers=headers)))
    assert answer is not None
    assert answer.status == 200
    return unescape(answer.body.decode())


def _values(page: str) -> dict[str, str]:
    """The hidden fields of a page's forms; of fields with one name, the last."""
    return dict(re.findall(r'name="([a-z_]+)" value="([^"]*)"', page))
