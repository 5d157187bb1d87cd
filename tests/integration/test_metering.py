"""What a request owes, seen on a real gateway, store and provider: exactly what is affordable, whatever happens."""

import asyncio
import json
import os
import re
import selectors
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from benchmarks.crash.faults import Plan
from benchmarks.simulator import SimulatorProcess
from metering.spool import frames
from tests.contracts.servers import Server
from tests.gateway_process import GatewayProcess, model, provider
from tests.integration.conftest import CHAT, MESSAGES, STREAM, eventually
from tests.raw_http import PATIENCE, RawClient, ask, request

UNAVAILABLE = (503, "metering_unavailable")
DEAF = "x@chunks-20000@pace-1ms@fault-no_limit"
FAST = Plan(lease_ms=1_500).injection


def chat(token, name="m", *, stream=False, limit=None):
    body = {"model": name, "messages": [{"role": "user", "content": "hello"}], "stream": stream}
    if limit is not None:
        body["max_tokens"] = limit
    return request("POST", CHAT, json.dumps(body).encode(), headers={"authorization": f"Bearer {token}"})


@pytest.fixture(scope="module")
def sim():
    with SimulatorProcess() as sim:
        yield sim


@pytest.fixture
def start(sim, tmp_path):
    """Start a gateway on a store of its own."""
    made = []

    def start(*, workers=1, store="embedded:", billing=None, injected=()):
        gateway = GatewayProcess(
            tmp_path,
            {"openai": provider("openai", sim.url)},
            [
                model("m", "openai", "x"),
                model("paced", "openai", "x@chunks-60@pace-20ms"),
                model("long", "openai", "x@chunks-20000@pace-1ms", max_output=100_000),
                model("deaf", "openai", DEAF, max_output=100_000),
                model("fast-deaf", "openai", "x@chunks-3000@fault-no_limit", max_output=100_000),
                model("late", "openai", "x@first-400ms"),
                model("never", "openai", "x@fault-hang_headers"),
                model("huge", "openai", "x@chunks-120000@first-400ms", max_output=200_000),
                model("huge-deaf", "openai", "x@chunks-120000@first-400ms@fault-no_limit", max_output=200_000),
            ],
            {"store": {"url": store}, "billing": billing or {}},
            workers=workers,
            injected=injected,
        )
        gateway.start()
        made.append(gateway)
        return gateway

    yield start
    for gateway in made:
        gateway.stop()


@pytest.fixture
def server(tmp_path):
    server = Server(tmp_path / "server", "appendonly yes", "appendfsync always")
    yield server
    server.kill()


def rest(client):
    """What follows a head that was read: the chunks' data."""
    return b"".join(iter(client.chunk, b""))


def spooled(gateway):
    folder = gateway.folder / "data" / "spool"
    return [item for path in sorted(folder.glob("*.log")) for item in frames.frames(path.read_bytes())]


def at_once(gateway, count, *requested, **more):
    """That many of the same request at once; the answers."""
    clients = [RawClient(gateway.url) for _ in range(count)]
    for client in clients:
        client.send(chat(*requested, **more))
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda client: client.answer(), clients))
    for client in clients:
        client.close()
    return answers


def test_of_a_thousand_requests_at_once_exactly_the_affordable_ones_pass(start):
    gateway = start(workers=2, billing={"short": "refuse"})
    probe = gateway.session("probe", 1)
    refused = ask(gateway.url, chat(probe["access_token"], "late", limit=1_000_000))
    needed = int(refused.headers["x-credits-needed"])
    assert (refused.status, refused.headers["x-should-retry"]) == (402, "false")
    token = gateway.session("user", 0)["access_token"]
    grant(gateway, "user", 10 * needed + needed // 2)
    clients = [RawClient(gateway.url) for _ in range(1_000)]
    with selectors.DefaultSelector() as answered:
        for client in clients:
            client.send(chat(token, "never", limit=1_000_000))
            answered.register(client.sock, selectors.EVENT_READ, client)
        refusals = []
        while len(refusals) < 990:
            ready = answered.select(PATIENCE)
            assert ready, f"{len(refusals)} were refused"
            for found, _ in ready:
                answered.unregister(found.fileobj)
                refusals.append(found.data.answer())
    # The other ten wait for their provider. On a busy machine the store may have answered some too late.
    assert {(refusal.status, refusal.code) for refusal in refusals} <= {(402, "credits_exhausted"), UNAVAILABLE}
    headers = next(refusal.headers for refusal in refusals if refusal.status == 402)
    assert (headers["x-should-retry"], headers["retry-after"]) == ("true", "5")
    account = gateway.account("user")
    assert account["held"] <= account["granted"] - needed // 2 == 10 * needed
    for client in clients:
        client.close()
    eventually(lambda: gateway.account("user"), lambda found: found["held"] == 0)


def test_a_thousand_requests_on_the_last_credit_never_cost_more(start):
    gateway = start(workers=2)
    token = gateway.session("user", 1)["access_token"]  # 2,500 tokens of output
    answers = at_once(gateway, 1_000, token, "huge", limit=1_000)
    assert {answer.status for answer in answers} <= {200, 402, 503}
    lengths = [answer.json()["usage"]["completion_tokens"] for answer in answers if answer.status == 200]
    capped = [int(answer.headers["x-output-limit"]) for answer in answers if "x-output-limit" in answer.headers]
    assert lengths.count(1_000) >= 2
    assert all(length == 1_000 or length in capped for length in lengths)
    account = eventually(lambda: gateway.account("user"), lambda found: found["held"] == 0)
    assert account["spent"] == sum(record["charge"] for record in gateway.usage("user")) <= 1_000_000


def test_a_small_balance_asks_a_model_of_which_nothing_is_learnt_and_no_limit_is_known(start):
    gateway = start()
    answer = ask(gateway.url, chat(gateway.session("user", 1)["access_token"], "m"))
    assert answer.status == 200
    assert 2_000 < int(answer.headers["x-output-limit"]) < 2_500
    assert answer.json()["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_is_as_long_as_the_credit_pays_and_says_so(start, stream):
    gateway = start()
    token = gateway.session("user", 50)["access_token"]
    answer = ask(gateway.url, chat(token, "huge", stream=stream))
    limit = int(answer.headers["x-output-limit"])
    assert 120_000 < limit < 125_000  # 50 credits are 125,000 tokens; the answer is shorter
    eventually(lambda: gateway.account("user"), lambda found: found["held"] == 0)
    answer = ask(gateway.url, chat(token, "huge", stream=stream))
    assert answer.status == 200
    shorter = int(answer.headers["x-output-limit"])
    assert 0 < shorter < 5_000
    assert re.search(rb'"finish_reason": ?"length"', answer.body)
    records = eventually(lambda: gateway.usage("user"), lambda found: len(found) == 2)
    assert [record["out_visible"] for record in records] == [120_000, shorter]
    account = eventually(lambda: gateway.account("user"), lambda found: found["held"] == 0)
    assert 0 <= account["available"] < 10_000


@pytest.mark.parametrize("limit", [None, 200_000])
@pytest.mark.parametrize("name", ["huge", "huge-deaf"])
def test_forty_answers_of_120_000_tokens_do_not_overdraw_50_credits(start, name, limit):
    gateway = start()
    token = gateway.session("user", 50)["access_token"]
    answers = at_once(gateway, 40, token, name, limit=limit)
    served = [answer for answer in answers if answer.status == 200]
    assert "x-output-limit" in served[0].headers
    account = eventually(lambda: gateway.account("user"), lambda found: found["held"] == 0)
    assert 45_000_000 < account["spent"] <= 50_000_000
    assert account["spent"] == sum(record["charge"] for record in gateway.usage("user"))


ASK = [{"role": "user", "content": "hello"}]
GEMINI = {"contents": [{"role": "user", "parts": [{"text": "hello"}]}], "generationConfig": {"maxOutputTokens": 100}}
LIMITED = {
    "chat": (CHAT, {"model": "openai", "messages": ASK, "max_tokens": 100, "stream": True}),
    "completions": ("/v1/completions", {"model": "openai", "prompt": "hello", "max_tokens": 100, "stream": True}),
    "responses": ("/v1/responses", {"model": "openai", "input": "hello", "max_output_tokens": 100, "stream": True}),
    "messages": (MESSAGES, {"model": "anthropic", "messages": ASK, "max_tokens": 100, "stream": True}),
    "gemini": (STREAM.format("google"), GEMINI),
    "gemini array": (STREAM.format("google").removesuffix("?alt=sse"), GEMINI),
    "chat, whole": (CHAT, {"model": "openai", "messages": ASK, "max_tokens": 100}),
    "messages, whole": (MESSAGES, {"model": "anthropic", "messages": ASK, "max_tokens": 100}),
}


def test_twenty_at_once_at_hosts_that_ignore_the_limit_of_the_request_do_not_overdraw_1_credit(sim, tmp_path):
    kinds = ("openai", "anthropic", "google")
    models = [model(kind, kind, "x@chunks-3000@pace-1ms@fault-no_limit", max_output=100_000) for kind in kinds]
    with GatewayProcess(tmp_path, {kind: provider(kind, sim.url) for kind in kinds}, models, workers=2) as gateway:
        token = gateway.session("user", 1)["access_token"]  # one such answer costs 1.2
        asked = [*LIMITED.values(), *LIMITED.values(), *list(LIMITED.values())[:4]]
        sent = [
            request("POST", path, json.dumps(body).encode(), headers={"authorization": f"Bearer {token}"})
            for path, body in asked
        ]
        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(lambda data: ask(gateway.url, data), sent))
        assert {answer.status for answer in answers} <= {200, 402}  # what comes late finds the credit used
        served = [(answer, body) for answer, (_, body) in zip(answers, asked, strict=True) if answer.status == 200]
        streamed = [answer for answer, body in served if body.get("stream") or body is GEMINI]
        assert any(b"credits_exhausted" in answer.body for answer in streamed)
        account = eventually(lambda: gateway.account("user"), lambda found: found["held"] == 0)
        records = gateway.usage("user")
        assert len(records) == len(served)
        assert {record["outcome"] for record in records} == {"completed", "credits_exhausted"}
        assert 950_000 < account["spent"] == sum(record["charge"] for record in records) <= 1_000_000


def test_a_host_that_ignores_the_limit_of_the_request_is_paid_while_there_is_credit(start):
    gateway = start()
    token = gateway.session("user", 100)["access_token"]
    for stream in (False, True):
        answer = ask(gateway.url, chat(token, "fast-deaf", stream=stream, limit=100))
        assert (answer.status, answer.complete) == (200, True)
    records = eventually(lambda: gateway.usage("user"), lambda found: len(found) == 2)
    for record in records:
        assert (record["out_visible"], record["basis"]) == (3_000, "reported")
        assert record["charge"] == record["cost"] > 1_200_000


def grant(gateway, user, amount):
    """Micro-credits, which the command line gives in whole credits alone."""
    from gateway.accounts.opening import opened
    from gateway.config.load import load

    async def give():
        async with opened(load(gateway.config)) as at:
            await at.ledger.grant(await at.accounts.pid_of(user), amount, "exact")

    asyncio.run(give())


def test_the_intent_is_on_disk_while_the_provider_works_and_the_settlement_after(start):
    gateway = start()
    session = gateway.session()
    with RawClient(gateway.url) as client:
        client.send(chat(session["access_token"], "paced", stream=True))
        rid = client.head().rid
        assert (frames.INTENT, f"{session['pid']} {rid}") in spooled(gateway)
        assert not any(kind == frames.SETTLED for kind, _ in spooled(gateway))
        rest(client)
    eventually(
        lambda: [text for kind, text in spooled(gateway) if kind == frames.SETTLED],
        lambda found: any(rid in text for text in found),
    )


def test_a_stream_whose_provider_ignores_the_lowered_limit_ends_with_credits_exhausted(start):
    gateway = start()
    session = gateway.session("user", 0)
    grant(gateway, "user", 200_000)  # 500 tokens of output
    with RawClient(gateway.url) as client:
        client.send(chat(session["access_token"], "deaf", stream=True))
        answer = client.answer()
    assert answer.status == 200
    assert b"credits_exhausted" in answer.body
    assert b"credits; available:" in answer.body
    assert b"[DONE]" not in answer.body
    account = eventually(lambda: gateway.account("user"), lambda found: found["held"] == 0)
    (record,) = gateway.usage("user")
    assert (record["outcome"], record["basis"]) == ("credits_exhausted", "partial")
    assert record["charge"] == account["spent"]
    assert account["available"] >= 0


def test_a_silent_store_refuses_new_requests_and_leaves_streams_alone(start, server):
    gateway = start(store=f"redis://127.0.0.1:{server.port}/0")
    token = gateway.session()["access_token"]
    with RawClient(gateway.url) as client:
        client.send(chat(token, "paced", stream=True))
        client.head()
        with server.paused():
            refused = ask(gateway.url, chat(token))
            assert (refused.status, refused.json()["error"]["code"]) == (503, "metering_unavailable")
            assert rest(client).rstrip().endswith(b"data: [DONE]")
    eventually(gateway.usage, lambda records: [r["basis"] for r in records] == ["reported"])
    assert gateway.account()["held"] == 0


def test_a_drain_with_the_store_away_fails_and_the_next_start_settles(start, server):
    gateway = start(store=f"redis://127.0.0.1:{server.port}/0")
    token = gateway.session()["access_token"]
    with RawClient(gateway.url) as client:
        client.send(chat(token, "paced", stream=True))
        client.head()
        server.kill()
        rest(client)
    # The client may have the last byte before the tick that writes the settlement; a death between is the reaper's.
    eventually(lambda: spooled(gateway), lambda found: any(kind == frames.SETTLED for kind, _ in found))
    gateway.process.kill()
    gateway.stop()
    server.start()
    gateway.start()
    eventually(gateway.usage, lambda records: [r["basis"] for r in records] == ["reported"])


def test_a_worker_of_many_that_dies_leaves_its_debts_to_another(start):
    gateway = start(workers=2, injected=[FAST])
    token = gateway.session()["access_token"]
    with RawClient(gateway.url) as client:
        client.send(chat(token, "long", stream=True))
        client.head()
        for pid in workers(gateway):
            os.kill(pid, 9)
    record = eventually(gateway.usage, lambda records: len(records) == 1)[0]
    assert (record["basis"], record["outcome"]) == ("orphan", "lost")
    assert gateway.account()["held"] == 0


def workers(gateway):
    """Process ids of the workers: the supervisor's children, but for a store that one of them started."""
    pid = gateway.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [
        int(child) for child in children if b"gateway.process.worker" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]
