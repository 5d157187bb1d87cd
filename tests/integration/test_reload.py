"""A new version of gateway.toml while the gateway runs: what it changes, what it leaves alone, and what refuses it."""

from __future__ import annotations

import json
import signal
import socket
import threading
import urllib.error
import urllib.request
from typing import Any

import pytest

from metering.accounts.audit import read_audit
from tests.gateway_process import PRICE, GatewayProcess, model, provider
from tests.integration.conftest import Running, eventually
from tests.integration.test_endings import FORMS, INPUT, OUTPUT, answer_of, events_of
from tests.raw_http import PATIENCE, Answer, ask, request
from tests.raw_provider import RawProvider

TOKEN, OTHER = "service-token-of-the-test-" + "x" * 16, "service-token-of-another-" + "y" * 16
CHUNKED = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
WHOLE = answer_of("chat", ["opening", "output", "end"])
DEARER = {**PRICE, "input": 10, "output": 40}


class Edited:
    """A gateway whose configuration is written again and again."""

    def __init__(self, folder: Any, url: str, workers: int) -> None:
        self.table: dict[str, Any] = {
            "server": {"keep_alive_seconds": 30},
            "internal": {"port": 0, "tokens": {
                "ops": {"token": TOKEN, "scopes": ["config:reload"]},
                "billing": {"token": OTHER, "scopes": ["usage:read"]},
            }},
        }  # fmt: skip
        self.providers = {"openai": provider("openai", url), "spare": provider("openai", url + "/spare")}
        self.models = [model("openai", "openai", "m", max_output=1_000)]
        self.gateway = GatewayProcess(folder, self.providers, self.models, self.table, workers=workers)

    def write(self, text: str | None = None, **server: Any) -> None:
        self.gateway.more = {**self.table, "server": {**self.table["server"], **server}}
        self.gateway.__post_init__()
        if text is not None:
            self.gateway.config.write_text(self.gateway.config.read_text() + text)

    def reload(self, token: str = TOKEN) -> tuple[int, Any]:
        sent = {"authorization": f"Bearer {token}"}
        asked = urllib.request.Request(self.gateway.internal + "/internal/reload", b"", sent, method="POST")
        try:
            with urllib.request.urlopen(asked, timeout=PATIENCE) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())


@pytest.fixture(scope="module")
def raw():
    with RawProvider() as raw:
        yield raw


@pytest.fixture(scope="module", params=[1, 2])
def edited(request, raw, tmp_path_factory):
    edited = Edited(tmp_path_factory.mktemp("reload"), raw.url, request.param)
    with edited.gateway:
        yield edited


@pytest.fixture
def running(edited):
    """The configuration of the beginning, and a session."""
    edited.providers["openai"] = provider("openai", edited.providers["spare"]["base_url"].removesuffix("/spare"))
    edited.models[:] = [model("openai", "openai", "m", max_output=1_000)]
    edited.write()
    assert edited.reload()[0] == 200
    session = edited.gateway.session("user", 1_000_000)
    return Running(edited.gateway, None, session["access_token"], session["pid"])


def chat(running: Running, name: str = "openai") -> bytes:
    body = json.dumps({**FORMS["chat"][1], "model": name}).encode()
    return request("POST", "/v1/chat/completions", body, headers=running.auth)


def send(running: Running, name: str = "openai") -> Answer:
    return ask(running.url, chat(running, name))


def charge(running: Running, answer: Answer) -> int:
    record = running.settled(answer.rid)
    assert (record["in_uncached"], record["out_visible"], record["outcome"]) == (INPUT, OUTPUT, "completed")
    return record["charge"]


def test_a_stream_in_flight_keeps_its_prices_and_new_requests_have_the_new_ones(edited, running, raw):
    heard = threading.Event()
    events = events_of("chat", ["opening", "output", "end"])

    def script(_asked: object, sock: socket.socket) -> bytes:
        sock.sendall(CHUNKED + b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in events[:5]))
        assert heard.wait(PATIENCE)
        return b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in events[5:]) + b"0\r\n\r\n"

    raw.script = WHOLE
    before = charge(running, send(running))
    raw.script = script
    with running.client() as client:
        client.send(chat(running))
        head = client.head()
        assert client.chunk()
        edited.models[0]["price"] = DEARER
        edited.models.append(model("newcomer", "openai", "m", max_output=1_000))
        edited.write()
        status, done = edited.reload()
        assert (status, done["needs_restart"], done["workers"]) == (200, [], edited.gateway.workers)
        assert done["changed"] == ["models.openai", "models.newcomer"]
        raw.script = WHOLE
        assert charge(running, send(running)) == 10 * before
        assert charge(running, send(running, "newcomer")) == before
        heard.set()
        while client.chunk():
            pass
        assert charge(running, head) == before
    names = {one["id"] for one in running.get("/v1/models").json()["data"]}
    assert names == {"openai", "newcomer"}


def test_sighup_does_the_same(edited, running, raw):
    raw.script = WHOLE
    edited.models.append(model("signalled", "openai", "m", max_output=1_000))
    edited.write()
    assert send(running, "signalled").status == 404
    edited.gateway.process.send_signal(signal.SIGHUP)
    for _ in range(4):  # at any worker
        eventually(lambda: send(running, "signalled").status, lambda status: status == 200)
    assert edited.gateway.process.poll() is None


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("\n[nonsense]\n", "nonsense: is not a key"),
        ("\n[[models]]\nname = 'x'\n", "models"),
        ("= 1", "is not valid TOML"),
        ("\n[tiers.x]\nrequests_per_minute = -1\nconcurrent = 'a'\n", "tiers.x.concurrent"),
    ],
)
def test_a_broken_file_changes_nothing(edited, running, raw, text, fault):
    raw.script = WHOLE
    edited.models[0]["price"] = DEARER
    before = charge(running, send(running))
    edited.write(text)
    status, problem = edited.reload()
    assert (status, problem["code"]) == (409, "conflict")
    assert fault in problem["detail"]
    edited.gateway.process.send_signal(signal.SIGHUP)
    eventually(edited.gateway.log.read_text, lambda log: fault in log)  # on standard error
    assert charge(running, send(running)) == before


def test_what_waits_for_a_restart_is_named_and_what_does_not_holds(edited, running):
    edited.table["retention"] = {"days": 100}
    edited.write(max_connections=99, keep_alive_seconds=20)
    status, done = edited.reload()
    del edited.table["retention"]
    assert status == 200
    assert done["changed"] == ["server.keep_alive_seconds"]
    assert sorted(done["needs_restart"]) == ["retention", "server.max_connections"]
    logged = [json.loads(line) for line in edited.gateway.log.read_text().splitlines() if '"setting_' in line]
    assert {"server.keep_alive_seconds", "server.max_connections"} <= {line["setting"] for line in logged}


def test_another_key_is_used_at_once_and_the_connection_stays(edited, running, raw):
    used = []

    def script(asked: Any, sock: socket.socket) -> bytes:
        key = next(line for line in asked.head.splitlines() if line.lower().startswith(b"authorization"))
        used.append((key.split()[-1], sock.getpeername()))
        return WHOLE

    raw.script = script
    edited.providers["openai"]["api_keys"] = ["another-provider-key"]
    for _ in range(8):  # each worker gets a connection
        assert send(running).status == 200
    edited.write()
    assert edited.reload()[1]["changed"] == ["providers.openai"]
    for _ in range(8):
        assert send(running).status == 200
    assert {key for key, _ in used[:8]} == {b"provider-key"}
    assert {key for key, _ in used[8:]} == {b"another-provider-key"}
    assert {peer for _, peer in used[8:]} & {peer for _, peer in used[:8]}
    assert "another-provider-key" not in edited.gateway.log.read_text()


def test_a_provider_that_is_added_answers_and_one_that_is_removed_does_not(edited, running, raw):
    asked = []
    raw.script = lambda request_, _sock: asked.append(request_.path) or WHOLE
    edited.providers["added"] = provider("openai", raw.url + "/added")
    edited.models.append(model("of-added", "added", "m", max_output=1_000))
    edited.write()
    try:
        assert edited.reload()[1]["changed"] == ["providers.added", "models.of-added"]
        answer = send(running, "of-added")
        assert (answer.status, answer.headers["x-provider"], asked) == (200, "added", ["/added/v1/chat/completions"])
        assert running.settled(answer.rid)["provider"] == "added"
    finally:
        del edited.providers["added"], edited.models[-1]
    edited.write()
    assert edited.reload()[1]["changed"] == ["providers.added", "models.of-added"]
    assert send(running, "of-added").status == 404


def test_a_reload_is_audited_and_needs_its_scope(edited, running):
    async def entries(store: Any) -> list[tuple[str, str]]:
        return [(entry.actor, entry.action) async for entry in read_audit(store)]

    before = running.gateway.on_store(entries).count(("ops", "reloaded"))
    assert edited.reload(OTHER)[0] == 403
    assert edited.reload("nobody" * 8)[0] == 401
    assert edited.reload()[0] == 200
    found = running.gateway.on_store(entries)
    assert found.count(("ops", "reloaded")) == before + 1
    assert ("cli", "reloaded") in found  # the signal's
    assert ("billing", "reloaded") not in found


def test_the_statement_is_that_of_the_new_policy(edited, running):
    def policy() -> str:
        return json.loads(ask(running.url, request("GET", "/.well-known/ai-privacy")).body)["document"]["policy"]

    before = policy()
    edited.table["policy"] = {"max_retention_days": 7}
    edited.write()
    assert edited.reload()[1]["changed"] == ["policy"]
    assert policy() != before
    del edited.table["policy"]
    edited.write()
    assert edited.reload()[0] == 200
    assert policy() == before
