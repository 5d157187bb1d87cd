"""The autocomplete lane on a gateway of two workers: of a hundred keystrokes one lives, and each is charged once."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from benchmarks.simulator import SimulatorProcess
from tests.gateway_process import GatewayProcess, model, provider
from tests.integration.conftest import CHAT, MESSAGES, STREAM, eventually
from tests.raw_http import Answer, RawClient, ask, request

KEYSTROKES = 100


@pytest.fixture(scope="module")
def sim():
    with SimulatorProcess() as sim:
        yield sim


@pytest.fixture(scope="module")
def gateway(sim, tmp_path_factory):
    gateway = GatewayProcess(
        tmp_path_factory.mktemp("gateway"),
        {kind: provider(kind, sim.url) for kind in ("openai", "anthropic", "google")},
        [
            model("openai-paced", "openai", "gpt-4o@chunks-200@pace-10ms"),
            model("anthropic-paced", "anthropic", "claude-x@chunks-200@pace-10ms"),
            model("google-paced", "google", "gemini-x@chunks-200@pace-10ms"),
            model("short", "openai", "gpt-4o"),
            model("hang", "openai", "gpt-4o@fault-hang_headers"),
        ],
        # Without a grace, a client that leaves ends its stream at once.
        {"tiers": {"default": {"concurrent": 1}}, "server": {"abort_grace": 0}},
        workers=2,
    )
    with gateway:
        yield gateway


def body(name: str) -> bytes:
    return json.dumps({"model": name, "stream": True, "messages": [{"role": "user", "content": "hi"}]}).encode()


def keystroke(token: str, name: str, key: object = 7) -> bytes:
    return request("POST", CHAT, body(name), headers={"authorization": f"Bearer {token}", "x-supersede-key": str(key)})


def account(gateway: GatewayProcess, token: str) -> dict[str, Any]:
    return ask(gateway.url, request("GET", "/v1/account", headers={"authorization": f"Bearer {token}"})).json()


def quiet(gateway: GatewayProcess, token: str) -> dict[str, int]:
    return eventually(lambda: account(gateway, token)["credits"], lambda found: found["held"] == 0)


def begun(gateway: GatewayProcess, send: bytes) -> RawClient:
    """A stream of which something has come. Asked again, as SDKs do, if a busy machine's store answered too late."""
    for _ in range(10):
        client = RawClient(gateway.url).send(send)
        head = client.head()
        if head.status != 503:
            assert head.status == 200
            assert client.chunk()
            return client
        client.close()
    raise AssertionError("the store never answered in time")


def code(answer: Answer) -> str:
    """What an answer or the end of its stream says."""
    if answer.complete and answer.status == 200:
        return "completed"
    return "superseded" if b'"superseded"' in answer.body else answer.body.decode()


def test_of_a_hundred_keystrokes_one_lives_and_all_are_charged_once(gateway, sim):
    sim.reset()
    token = gateway.session("typist")["access_token"]
    clients = [RawClient(gateway.url) for _ in range(KEYSTROKES)]
    for client in clients:
        client.send(keystroke(token, "openai-paced"))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda client: client.answer(), clients))
    for client in clients:
        client.close()

    assert Counter(map(code, answers)) == {"completed": 1, "superseded": KEYSTROKES - 1}
    for answer in answers:
        if answer.status != 200:
            assert (answer.status, answer.headers["x-should-retry"]) == (400, "false")
            assert answer.headers["x-error-code"] == "superseded"

    credits_ = quiet(gateway, token)
    stats = sim.wait(active=0)
    records = gateway.usage("typist")
    assert Counter(record["outcome"] for record in records) == Counter(completed=1, superseded=len(records) - 1)
    assert len({record["rid"] for record in records}) == len(records) == stats["requests"]
    assert all(record["charge"] > 0 for record in records)
    assert credits_["spent"] == sum(record["charge"] for record in records)
    [whole] = [record for record in records if record["outcome"] == "completed"]
    assert (whole["basis"], stats["completed"]) == ("reported", 1)


@pytest.mark.parametrize("kind", ["openai", "anthropic", "google"])
def test_a_stream_that_has_begun_ends_with_the_dialect_s_error_event(gateway, sim, kind):
    sim.reset()
    token = gateway.session(f"reader-{kind}")["access_token"]
    headers = {"authorization": f"Bearer {token}", "x-supersede-key": "0"}
    if kind == "openai":
        send = request("POST", CHAT, body("openai-paced"), headers=headers)
    elif kind == "anthropic":
        messages = {**json.loads(body("anthropic-paced")), "max_tokens": 1_000}
        send = request("POST", MESSAGES, json.dumps(messages).encode(), headers=headers)
    else:
        contents = json.dumps({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}).encode()
        send = request("POST", STREAM.format("google-paced"), contents, headers=headers)
    older = [begun(gateway, send) for _ in range(6)]  # over both workers: each connection is given to either
    newest = older.pop()
    for client in older:
        rest = b""
        while (chunk := client.chunk()) is not None:
            assert chunk, "a superseded stream looks complete"
            rest += chunk
        assert b"superseded" in rest or b"replaced this one" in rest
        client.close()
    stats = sim.wait(aborted=5, active=1)
    assert stats["completed"] == 0
    newest.close()
    quiet(gateway, token)
    outcomes = Counter(record["outcome"] for record in gateway.usage(f"reader-{kind}"))
    assert outcomes == {"superseded": 5, "client_abort": 1}


def test_other_keys_sessions_and_ordinary_requests_are_left_alone(gateway, sim):
    sim.reset()
    token, other = (gateway.session("lanes")["access_token"] for _ in range(2))
    with RawClient(gateway.url) as one, RawClient(gateway.url) as two, RawClient(gateway.url) as plain:
        one.send(keystroke(token, "hang", 1))
        two.send(keystroke(other, "hang", 2))
        sim.wait(requests=2)
        plain.send(request("POST", CHAT, body("hang"), headers={"authorization": f"Bearer {token}"}))
        sim.wait(requests=3)  # lanes count for no concurrency: the plan allows one
        limited = ask(gateway.url, request("POST", CHAT, body("short"), headers={"authorization": f"Bearer {other}"}))
        assert (limited.status, limited.headers["x-error-code"]) == (429, "concurrency_limited")
        assert account(gateway, token)["limits"]["concurrent"]["remaining"] == 0
        assert ask(gateway.url, keystroke(token, "short", 3)).complete
        assert ask(gateway.url, keystroke(other, "short", 1)).complete
        assert sim.stats()["active"] == 3
        assert ask(gateway.url, keystroke(token, "short", 1)).complete
        assert one.answer().headers["x-error-code"] == "superseded"
        sim.wait(active=2)


@pytest.mark.parametrize("key", ["65536", "-1", "one"])
def test_a_key_that_is_none_is_refused(gateway, sim, key):
    sim.reset()
    token = gateway.session("lanes")["access_token"]
    answer = ask(gateway.url, keystroke(token, "short", key))
    assert (answer.status, answer.headers["x-error-code"]) == (400, "invalid_request")
    assert answer.json()["error"]["param"] == "x-supersede-key"
    assert sim.stats()["requests"] == 0
