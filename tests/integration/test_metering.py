"""What a request owes, seen on a real gateway, store and provider: exactly what is affordable, whatever happens."""

import asyncio
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from benchmarks.crash.faults import Plan
from benchmarks.simulator import SimulatorProcess
from metering.spool import frames
from tests.contracts.servers import Server
from tests.gateway_process import GatewayProcess, model, provider
from tests.integration.conftest import CHAT, eventually
from tests.raw_http import RawClient, ask, request

FAST = Plan(lease_ms=1_500).environment()


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
def start(sim, tmp_path, monkeypatch):
    """Start a gateway on a store of its own."""
    made = []

    def start(*, workers=1, store="embedded:", **environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        gateway = GatewayProcess(
            tmp_path,
            {"openai": provider("openai", sim.url)},
            [
                model("m", "openai", "x"),
                model("paced", "openai", "x@chunks-60@pace-20ms"),
                model("long", "openai", "x@chunks-20000@pace-1ms", max_output=100_000),
                model("late", "openai", "x@first-400ms"),
            ],
            {"store": {"url": store}},
            workers=workers,
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


def test_of_a_thousand_requests_at_once_exactly_the_affordable_ones_pass(start):
    gateway = start(workers=2)
    probe = gateway.session("probe", 1)
    refused = ask(gateway.url, chat(probe["access_token"], "late", limit=1_000_000))
    needed = int(refused.headers["x-credits-needed"])  # for the largest limit; the model's own usual one is held
    assert refused.status == 402
    token = gateway.session("user", 0)["access_token"]
    grant(gateway, "user", 10 * needed + needed // 2)
    clients = [RawClient(gateway.url) for _ in range(1000)]
    for client in clients:
        client.send(chat(token, "late", limit=1_000_000))
    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(lambda client: client.answer().status, clients))
    for client in clients:
        client.close()
    assert sorted(set(statuses)) == [200, 402]
    assert statuses.count(200) == 10
    account = eventually(lambda: gateway.account("user"), lambda found: found["held"] == 0)
    assert account["spent"] == sum(record["charge"] for record in gateway.usage("user"))
    assert len(gateway.usage("user")) == 10


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


def test_a_stream_that_outgrows_the_credit_ends_with_credits_exhausted(start):
    gateway = start(**FAST)
    session = gateway.session("user", 3)  # 3,000,000 micro-credits: 7,500 tokens of output
    with RawClient(gateway.url) as client:
        client.send(chat(session["access_token"], "long", stream=True))
        answer = client.answer()
    assert answer.status == 200
    assert b"credits_exhausted" in answer.body
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
    gateway = start(workers=2, **FAST)
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
