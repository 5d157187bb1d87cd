"""After an erasure, every act that anybody could do for the account is refused, or is a new account's.

Each act is tried twice: as the erasure left the store, and with everything that it deleted brought back, as a failover
might (its mark in the ledger is what counts). After each, the store holds nothing new of the gone account.
"""

from __future__ import annotations

import http.client
import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import urlencode, urlsplit

import click
import pytest

from benchmarks.simulator import SimulatorProcess
from gateway import variables
from gateway.cli import cli
from gateway.config.internal import ServiceScope
from gateway.internal.operations import OPERATIONS
from gateway.portal.account import ACTS
from gateway.portal.paths import PagePath
from metering.accounts.living import marked_key
from metering.store.store import Store
from tests import fork_server, raw_http
from tests.gateway_process import GatewayProcess, model, provider, run_cli
from tests.integration.conftest import CHAT
from tests.raw_http import Answer, ask, request

USER = "developer"  # whom the development sign-in signs in
TOKEN = "service-token-of-the-test-" + "x" * 16
BODY = b'{"model": "plain", "messages": [{"role": "user", "content": "hi"}]}'
FORM = {"content-type": "application/x-www-form-urlencoded"}


@dataclass
class Gone:
    """A gateway, and everything that somebody had of an account before it was erased."""

    gateway: GatewayProcess
    returns: bool
    pid: str = ""
    cookie: str = ""
    form_token: str = ""
    tokens: dict[str, str] = field(default_factory=dict)  # by kind
    refresh_token: str = ""
    device_code: str = ""
    rid: str = ""
    sid: str = ""
    before: dict[bytes, tuple[bytes, int]] = field(default_factory=dict)  # what the erasure deletes

    def page(self, method: str, path: str, fields: Mapping[str, str] | None = None) -> tuple[int, Any, bytes]:
        """What a browser gets that still has the cookie."""
        host = urlsplit(self.gateway.url).netloc
        headers = {"Cookie": self.cookie, "Origin": f"http://{host}", **FORM}
        connection = http.client.HTTPConnection(host, timeout=60)
        connection.request(method, path, urlencode(fields) if fields is not None else None, headers)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, answer.headers, body

    def post(self, path: str, **fields: str) -> tuple[int, Any, bytes]:
        return self.page("POST", path, {"form_token": self.form_token, **fields})

    def oauth(self, path: str, **fields: str) -> Answer:
        return ask(self.gateway.url, request("POST", path, urlencode(fields).encode(), headers=FORM))

    def start(self) -> dict[str, Any]:
        return self.oauth("/oauth/device_authorization", client_id="codegrex-ide").json()

    def redeem(self, device_code: str) -> Answer:
        grant = "urn:ietf:params:oauth:grant-type:device_code"
        return self.oauth("/oauth/token", grant_type=grant, device_code=device_code, client_id="codegrex-ide")

    def sign_in(self) -> None:
        self.cookie = ""
        status, headers, _ = self.page("POST", PagePath.DEVELOPMENT, {})
        assert status == 303
        self.cookie = headers["Set-Cookie"].split(";")[0]
        _, _, body = self.page("GET", PagePath.ACCOUNT)
        found = re.search(rb'form_token" value="([^"]+)"', body)
        assert found
        self.form_token = found[1].decode()

    def service(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        data = None if body is None else json.dumps(body).encode()
        sent = {"authorization": f"Bearer {TOKEN}", **headers}
        return ask(self.gateway.internal, request(method, path, data, headers=sent))

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return fork_server.run([*arguments, "--config", str(self.gateway.config)], variables.for_child())

    def held(self) -> dict[bytes, bytes]:
        """Every key that says something of the account, with its value, but for the audit stream and what it owes."""

        async def read(store: Store) -> dict[bytes, bytes]:
            client: Any = store.client
            found = {}
            async for key in client.scan_iter(count=1_000):
                value = await client.dump(key)
                if key != b"audit" and value is not None and self.pid.encode() in key + await _plain(client, key):
                    found[key] = value
            return found

        return self.gateway.on_store(read)

    def remember(self) -> None:
        async def read(store: Store) -> None:
            client: Any = store.client
            async for key in client.scan_iter(count=1_000):
                if key.split(b":")[0] in {b"s", b"ss", b"f", b"u", b"a"}:
                    self.before[key] = (await client.dump(key), max(0, await client.pttl(key)))

        self.gateway.on_store(read)

    def bring_back(self) -> None:
        async def write(store: Store) -> None:
            for key, (value, ttl) in self.before.items():
                await store.client.restore(key, ttl, value, replace=True)

        self.gateway.on_store(write)


async def _plain(client: Any, key: bytes) -> bytes:
    """A value with its texts as they are; DUMP compresses them."""
    kind = (await client.type(key)).decode()
    read = {
        "string": client.get,
        "hash": client.hgetall,
        "set": client.smembers,
        "list": lambda name: client.lrange(name, 0, -1),
        "zset": lambda name: client.zrange(name, 0, -1),
        "stream": client.xrange,
    }[kind]
    return repr(await read(key)).encode()


@pytest.fixture(scope="module", params=["as it was left", "with what was deleted brought back"])
def gone(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gone]:
    service = {"token": TOKEN, "scopes": [scope.value for scope in ServiceScope]}
    with SimulatorProcess() as sim:
        gateway = GatewayProcess(
            tmp_path_factory.mktemp("gateway"),
            {kind: provider(kind, sim.url) for kind in ("openai", "anthropic")},
            [model("plain", "openai", "gpt-4o"), model("claude", "anthropic", "claude-x")],
            {"internal": {"port": 0, "tokens": {"billing": service}}},
        )
        with gateway:
            account = Gone(gateway, returns=request.param != "as it was left")
            account.sign_in()
            made = gateway.session(USER, 100)
            account.pid = made["pid"]
            assert account.service("PUT", f"/internal/accounts/{USER}", {"version": 1}).status == 200
            assert account.post(PagePath.POLICY, mode="", region="")[0] == 303
            account.tokens["session"] = made["access_token"]
            account.sid = made["access_token"].split("_")[2]
            _, _, body = account.post(PagePath.TOKEN, name="tool", days="365")
            found = re.search(rb"cgx_pat_\w+", body)
            assert found
            account.tokens["personal"] = found[0].decode()
            started, approved = account.start(), account.start()
            for code in (started["user_code"], approved["user_code"]):
                assert account.post(PagePath.DEVICE, user_code=code, decision="approve")[0] == 200
            signed_in = account.redeem(started["device_code"]).json()
            account.tokens["device"], account.refresh_token = signed_in["access_token"], signed_in["refresh_token"]
            account.device_code = approved["device_code"]
            answer = ask(gateway.url, raw_http.request("POST", CHAT, BODY, headers=_bearer(made["access_token"])))
            assert answer.status == 200
            account.rid = answer.rid
            account.remember()
            status, _, _ = account.post(PagePath.DELETE, confirm="delete")
            assert status == 303
            yield account


def _bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


@pytest.fixture
def account(gone: Gone) -> Iterator[Gone]:
    """The gone account, whose user has no new one; after the test the store holds nothing new of it."""
    gone.service("DELETE", f"/internal/accounts/{USER}")
    if gone.returns:
        gone.bring_back()
    before = gone.held()
    yield gone
    changed = {key for key, value in gone.held().items() if before.get(key) != value}
    assert {key for key in changed if not key.startswith(b"d:") or key not in before} == set()  # a grant is redeemed


def test_nothing_is_left_but_the_mark(gone: Gone) -> None:
    left = {key for key in gone.held() if not key.startswith(b"d:")} - gone.before.keys()
    # An approved device's grant is over within 20 minutes; what refuses a repetition (of a request, of a grant of
    # credits) is kept for that alone.
    kept = {key for key in left if b":req:" in key or b":grant:" in key}
    assert left - kept == {marked_key(gone.pid).encode()}


# -- the portal -------------------------------------------------------------------------------

NO_ACCOUNT_NEEDED = {
    PagePath.SIGN_IN,
    PagePath.CALLBACK,
    PagePath.SESSION,
    PagePath.DEVELOPMENT,
    PagePath.STYLE,
    PagePath.SCRIPT,
}
FORMS: dict[PagePath, dict[str, str]] = {
    PagePath.DEVICE: {"user_code": "BCDF-GHJK", "decision": "approve"},
    PagePath.REVOKE: {"sid": "s" * 20},
    PagePath.REVOKE_ALL: {},
    PagePath.POLICY: {"mode": "local", "region": ""},
    PagePath.TOKEN: {"name": "new", "days": "365"},
    PagePath.EXPORT: {"form": "json"},
    PagePath.DELETE: {"confirm": "delete"},
    PagePath.SIGN_OUT: {},
}


def test_every_form_of_the_portal_is_tried() -> None:
    assert FORMS.keys() | NO_ACCOUNT_NEEDED | {PagePath.ACCOUNT} == set(PagePath)
    assert ACTS.keys() <= FORMS.keys()


@pytest.mark.parametrize("path", FORMS)
def test_a_form_with_the_old_cookie_asks_for_a_sign_in(account: Gone, path: PagePath) -> None:
    fields = dict(FORMS[path])
    if path is PagePath.DEVICE:
        fields["user_code"] = account.start()["user_code"]
    if path is PagePath.REVOKE:
        fields["sid"] = account.sid
    status, headers, body = account.post(path, **fields)
    assert status == 401
    assert b"Sign in" in body
    assert b"cgx_pat_" not in body
    assert "Content-Disposition" not in headers
    if path is PagePath.DEVICE:
        assert b"pending" in account.gateway.on_store(partial(_grants))


async def _grants(store: Store) -> bytes:
    client: Any = store.client
    return b" ".join([await client.hget(key, "state") async for key in client.scan_iter(match="d:*")])


@pytest.mark.parametrize("path", [PagePath.ACCOUNT, PagePath.DEVICE])
def test_a_page_with_the_old_cookie_asks_for_a_sign_in(account: Gone, path: PagePath) -> None:
    _, _, body = account.page("GET", path)
    assert b"Sign in" in body
    assert b"form_token" not in body


# -- OAuth ------------------------------------------------------------------------------------


def test_a_device_that_was_approved_before_gets_no_tokens(account: Gone) -> None:
    for _ in range(2):
        answer = account.redeem(account.device_code)
        assert (answer.status, answer.json()["error"]) == (400, "invalid_grant")


def test_a_refresh_token_is_not_good_any_more(account: Gone) -> None:
    for _ in range(2):
        answer = account.oauth("/oauth/token", grant_type="refresh_token", refresh_token=account.refresh_token)
        assert (answer.status, answer.json()["error"]) == (400, "invalid_grant")


@pytest.mark.parametrize("kind", ["session", "personal", "device"])
def test_a_token_is_not_active_and_opens_nothing(account: Gone, kind: str) -> None:
    token = account.tokens[kind]
    body = urlencode({"token": token}).encode()
    introspected = ask(
        account.gateway.internal, request("POST", "/oauth/introspect", body, headers=_bearer(TOKEN) | FORM)
    )
    assert introspected.json() == {"active": False}
    count = b'{"model": "claude", "messages": [{"role": "user", "content": "hi"}]}'
    for asked in (
        request("GET", "/v1/models", headers=_bearer(token)),
        request("GET", "/v1/account", headers=_bearer(token)),
        request("GET", f"/v1/requests/{account.rid}", headers=_bearer(token)),
        request("POST", CHAT, BODY, headers=_bearer(token)),
        request("POST", "/v1/messages/count_tokens", count, headers=_bearer(token)),
    ):
        answer = ask(account.gateway.url, asked)
        assert (answer.status, answer.code) == (401, "token_invalid")


# -- services and operators -------------------------------------------------------------------

# How each operation is called for the user, and what it answers: no account, or a new one's.
CALLS: dict[tuple[str, str], tuple[object, int]] = {
    ("GET", "/internal/accounts/{user}"): (None, 404),
    ("DELETE", "/internal/accounts/{user}"): (None, 404),
    ("GET", "/internal/accounts/{user}/export"): (None, 404),
    ("PUT", "/internal/accounts/{user}/restriction"): ({"restricted": True}, 404),
    ("PUT", "/internal/accounts/{user}/choice"): ({"mode": "local"}, 404),
    ("POST", "/internal/accounts/{user}/records/{rid}/corrections"): ({"charge": 1}, 404),
    ("PUT", "/internal/accounts/{user}"): ({"version": 2, "mode": "local"}, 200),
    ("POST", "/internal/accounts/{user}/grants"): ({"amount": 5}, 200),
    ("PUT", "/internal/accounts/{user}/stripe"): ({"customer": "cus_1"}, 200),
}
COMMANDS: dict[str, tuple[tuple[str, ...], int]] = {
    "accounts show": ((), 1),
    "accounts grant": (("--credits", "5"), 0),
    "accounts export": ((), 1),
    "accounts erase": (("--yes",), 1),
    "accounts restrict": ((), 1),
    "accounts choose": (("--mode", "local"), 1),
    "accounts rectify": (("RID", "--set", "charge=1"), 1),
    "sessions list": ((), 1),
    "sessions revoke": ((), 1),
    "usage list": ((), 1),
    "usage show": (("RID",), 1),
    "sessions create": (("--credits", "5"), 0),
}


def user_commands(group: click.Group, name: str = "") -> Iterator[str]:
    """Every command that takes a user."""
    context = click.Context(group)
    for part in group.list_commands(context):
        found = group.get_command(context, part)
        path = f"{name} {part}".strip()
        if isinstance(found, click.Group):
            yield from user_commands(found, path)
        elif found is not None and any("--user" in option.opts for option in found.params):
            yield path


def test_every_operation_and_command_for_a_user_is_tried() -> None:
    named = {(operation.method, operation.path) for operation in OPERATIONS if "{user}" in operation.path}
    assert named == CALLS.keys()
    assert set(user_commands(cli)) == COMMANDS.keys()


@pytest.mark.parametrize(("call", "made"), CALLS.items())
def test_a_service_finds_no_account_or_makes_a_new_one(
    account: Gone, call: tuple[str, str], made: tuple[object, int]
) -> None:
    method, path = call
    key = {"idempotency-key": f"after the erasure: {path}"}
    answer = account.service(method, path.format(user=USER, rid=account.rid), made[0], **key)
    assert answer.status == made[1]
    assert account.pid not in answer.body.decode()


@pytest.mark.parametrize(("name", "made"), COMMANDS.items())
def test_a_command_finds_no_account_or_makes_a_new_one(
    account: Gone, name: str, made: tuple[tuple[str, ...], int]
) -> None:
    more = [account.rid if part == "RID" else part for part in made[0]]
    done = account.command(*name.split(), "--user", USER, *more)
    assert done.returncode == made[1], done.stderr
    assert "Traceback" not in done.stderr
    assert account.pid not in done.stdout + done.stderr


def test_a_sign_in_makes_a_new_account(account: Gone) -> None:
    old = account.cookie, account.form_token
    try:
        account.sign_in()
        assert account.page("GET", PagePath.ACCOUNT)[0] == 200
        [new] = {
            session["pid"] for session in run_cli("sessions", "create", "--user", USER, config=account.gateway.config)
        }
        assert new != account.pid
    finally:
        account.cookie, account.form_token = old
