"""One account takes what it can of what belongs to all, and another one's request passes at once."""

from __future__ import annotations

import gzip
import json
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from select import select

import pytest

from benchmarks.simulator import SimulatorProcess
from tests.gateway_process import GatewayProcess, model, provider
from tests.integration.conftest import CHAT, eventually
from tests.raw_http import RawClient, ask, request

BODY = 200_000  # the largest one
HELD = 8 * BODY  # by one worker
REQUESTS = 64  # that run at one worker
UNPAID, REFUSALS = 40, 50  # a minute


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    with SimulatorProcess() as sim:
        gateway = GatewayProcess(
            tmp_path_factory.mktemp("shares"),
            {kind: provider(kind, sim.url) for kind in ("openai", "anthropic")},
            [
                model("plain", "openai", "gpt-4o"),
                model("hang", "openai", "gpt-4o@fault-hang_headers"),
                model("claude", "anthropic", "claude-x"),
            ],
            {
                "server": {
                    "max_body_bytes": BODY,
                    "max_inflight_body_bytes": HELD,
                    "body_timeout": 2,
                    "max_requests": REQUESTS,
                    "unpaid_requests_per_minute": UNPAID,
                    "stranger_refusals_per_minute": REFUSALS,
                }
            },
        )
        with gateway:
            yield gateway


@pytest.fixture(scope="module")
def greedy(gateway):
    return bearer(gateway, "greedy")


@pytest.fixture(scope="module")
def honest(gateway):
    return bearer(gateway, "honest")


def bearer(gateway, user):
    return {"authorization": f"Bearer {gateway.session(user)['access_token']}"}


def body(size=0, name="plain"):
    empty = {"model": name, "messages": [{"role": "user", "content": ""}]}
    empty["messages"][0]["content"] = "x" * max(0, size - len(json.dumps(empty)))
    return json.dumps(empty).encode()


def chat(headers, size=0, name="plain"):
    return request("POST", CHAT, body(size, name), headers=headers)


def held(gateway):
    return gateway.metric("codegrex_inflight_body_bytes")


def test_bodies_that_never_end_hold_one_share(gateway, greedy, honest):
    with ExitStack() as clients:
        for _ in range(20):  # of the largest size, without their ends
            client = clients.enter_context(RawClient(gateway.url))
            client.sock.sendall(chat(greedy, BODY)[: BODY // 2])
        eventually(lambda: held(gateway), lambda count: count > HELD // 4)
        refused = ask(gateway.url, chat(greedy, BODY))
        assert (refused.status, refused.code) == (429, "concurrency_limited")
        assert refused.headers["retry-after"] == "1"
        assert refused.json()["error"]["code"] == "concurrency_limited"
        assert held(gateway) <= HELD // 2
        assert ask(gateway.url, chat(honest, BODY)).status == 200
    eventually(lambda: held(gateway), lambda count: count == 0)


def test_a_body_has_a_time_however_steadily_it_comes(gateway, greedy):
    with RawClient(gateway.url) as client:
        data = chat(greedy, 1_000)
        client.sock.sendall(data[:-900])
        client.sock.settimeout(0.05)
        for at in range(len(data) - 900, len(data) - 1):
            client.sock.sendall(data[at : at + 1])
            try:
                first = client.sock.recv(12)
            except TimeoutError:
                continue
            assert first == b"HTTP/1.1 408"
            return
        raise AssertionError


@pytest.mark.parametrize("packed", [False, True])
def test_what_is_counted_is_what_is_held(gateway, greedy, packed):
    """While its provider thinks, a request holds its body once, decoded; what was sent, and what it was packed in, not."""
    plain = body(BODY - 1_000, "hang")
    coding = {"content-encoding": "gzip"} if packed else {}
    with ExitStack() as clients:
        for _ in range(2):
            client = clients.enter_context(RawClient(gateway.url))
            client.send(request("POST", CHAT, gzip.compress(plain) if packed else plain, headers=greedy | coding))
        eventually(lambda: held(gateway), lambda count: count == 2 * len(plain))
    eventually(lambda: held(gateway), lambda count: count == 0)


def test_requests_that_hang_hold_one_share(gateway, greedy, honest):
    """Of the requests that run at a worker, and so of the places in an origin's pool."""
    with ExitStack() as clients:
        for _ in range(REQUESTS // 2):
            clients.enter_context(RawClient(gateway.url)).send(chat(greedy, name="hang"))
        eventually(lambda: gateway.metric("codegrex_active_requests"), lambda count: count == REQUESTS // 2)
        refused = ask(gateway.url, chat(greedy))
        assert (refused.status, refused.code, refused.headers["retry-after"]) == (429, "concurrency_limited", "1")
        assert ask(gateway.url, chat(honest)).status == 200
    eventually(lambda: gateway.metric("codegrex_active_requests"), lambda count: count == 0)
    assert ask(gateway.url, chat(greedy)).code != "concurrency_limited"


COUNT = json.dumps({"model": "claude", "messages": [{"role": "user", "content": "hi"}]}).encode()
UNPAID_KINDS = {
    "count": ("POST", "/v1/messages/count_tokens", COUNT),
    "models": ("GET", "/v1/models"),
    "account": ("GET", "/v1/account"),
    "unknown model": ("POST", CHAT, b'{"model": "none", "messages": []}'),
    "no JSON": ("POST", CHAT, b"{"),
    "no path": ("GET", "/v1/nothing"),
}


@pytest.mark.parametrize("kind", UNPAID_KINDS)
def test_what_nobody_pays_for_has_a_rate(gateway, honest, kind):
    parts = UNPAID_KINDS[kind]
    headers = bearer(gateway, f"many of {kind}")
    assert ask(gateway.url, chat(headers)).status == 200
    data = request(*parts, headers=headers)
    for _ in range(3 * UNPAID):
        answer = ask(gateway.url, data)
        if answer.status == 429:
            break
    assert (answer.status, answer.code) == (429, "rate_limited")
    assert answer.headers["retry-after"]
    assert ask(gateway.url, chat(headers)).code in {"rate_limited", ""}
    assert ask(gateway.url, request(*parts, headers=honest)).status != 429
    assert ask(gateway.url, chat(honest)).status == 200


def test_requests_that_are_left_before_their_answer_have_the_same_rate(gateway, honest):
    """A call of a provider each, and nothing is charged."""
    leaver = bearer(gateway, "leaver")

    def running():
        return gateway.metric("codegrex_active_requests") == 1

    for _ in range(3 * UNPAID):
        with RawClient(gateway.url) as client:
            client.send(chat(leaver, name="hang"))
            if eventually(lambda sock=client.sock: select([sock], [], [], 0)[0] or running(), bool) is not True:
                answer = client.answer()
                break
        eventually(running, lambda found: not found)
    assert (answer.status, answer.code) == (429, "rate_limited")
    assert ask(gateway.url, chat(honest)).status == 200


def test_a_network_without_a_token_has_a_rate_and_tokens_of_it_pass(gateway, honest):
    for _ in range(3 * REFUSALS):
        answer = ask(gateway.url, request("GET", "/nothing", headers={"x-api-key": "cgx"}))
        if answer.status == 429:
            break
    assert (answer.status, answer.code) == (429, "rate_limited")
    assert answer.headers["connection"] == "close"
    assert ask(gateway.url, request("GET", "/v1/models")).status == 429
    assert ask(gateway.url, chat(honest)).status == 200
    assert ask(gateway.url, request("GET", "/.well-known/ai-privacy")).status == 200


def test_a_count_of_tokens_leaves_nothing_for_long(gateway):
    headers = bearer(gateway, "counting")
    rids = [ask(gateway.url, request("POST", "/v1/messages/count_tokens", COUNT, headers=headers)).rid]
    rids.append(ask(gateway.url, chat(headers)).rid)

    async def left(store):
        found = {}
        async for name in store.client.scan_iter(match="m:*:req:*"):
            rid = name.decode().rpartition(":")[2]
            found[rid] = await store.client.pttl(name)
        return [found[rid] for rid in rids]

    counted, billed = gateway.on_store(left)
    assert counted <= 600_000
    assert billed > 34 * 86_400_000


def test_who_keeps_a_worker_busy_waits_and_a_modest_neighbour_does_not(tmp_path):
    text = "+49 30 1234567 0301234567890123 a@b.example " * 4_000  # each is looked at closely
    models = [model("plain", "openai", "gpt-4o")]
    with (
        SimulatorProcess() as sim,
        GatewayProcess(
            tmp_path, {"openai": provider("openai", sim.url)}, models, {"policy": {"secrets": "mask"}}, workers=1
        ) as gateway,
        ExitStack() as clients,
    ):
        greedy, modest = bearer(gateway, "greedy"), bearer(gateway, "modest")
        ends = threading.Event()

        def flood():
            long = request(
                "POST",
                CHAT,
                json.dumps({"model": "plain", "messages": [{"role": "user", "content": text}]}).encode(),
                headers=greedy,
            )
            while not ends.is_set():
                ask(gateway.url, long)

        pool = clients.enter_context(ThreadPoolExecutor(4))
        clients.callback(ends.set)
        floods = [pool.submit(flood) for _ in range(4)]
        statuses = Counter()

        def waits():
            statuses[ask(gateway.url, chat(modest)).status] += 1
            return gateway.metric("codegrex_overload_waits_total")

        eventually(waits, lambda count: count > 3)
        assert gateway.metric("codegrex_overloaded_workers") in {0, 1}
        assert set(statuses) == {200}
        ends.set()
        for one in floods:
            one.result()
