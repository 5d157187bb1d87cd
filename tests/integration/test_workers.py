"""Several workers on one port: metrics add up, a dead one is replaced, SIGTERM lets streams finish."""

import os
import signal
from pathlib import Path

import pytest

from benchmarks.simulator import SimulatorProcess
from tests.gateway_process import GatewayProcess, model, provider
from tests.integration.conftest import CHAT, eventually
from tests.raw_http import RawClient, ask, request

BODY = b'{"model": "%b", "stream": true, "messages": [{"role": "user", "content": "hi"}]}'


@pytest.fixture(scope="module")
def sim():
    with SimulatorProcess() as sim:
        yield sim


def start(folder, sim, workers):
    return GatewayProcess(
        folder,
        {"openai": provider("openai", sim.url)},
        [
            model("plain", "openai", "gpt-4o"),
            model("paced", "openai", "gpt-4o@chunks-100@pace-10ms"),
            model("hang", "openai", "gpt-4o@fault-hang_mid@at-3"),
        ],
        {"server": {"drain_timeout": 20}},
        workers=workers,
    )


def chat(token, name="plain"):
    return request("POST", CHAT, BODY % name.encode(), headers={"authorization": f"Bearer {token}"})


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    found = [int(child) for task in tasks for child in task.read_text().split()]
    return [child for child in found if b"gateway.process.worker" in Path(f"/proc/{child}/cmdline").read_bytes()]


def metric(gateway, name):
    text = ask(gateway.internal, request("GET", "/metrics")).body.decode()
    return sum(int(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))


def test_two_workers(tmp_path, sim):
    with start(tmp_path, sim, 2) as gateway:
        token = gateway.session()["access_token"]
        assert len(children(gateway.process.pid)) == 2

        for _ in range(20):
            assert ask(gateway.url, chat(token)).complete
        assert metric(gateway, "codegrex_usage_records_total") == 20
        assert ask(gateway.internal, request("GET", "/livez")).status == 200
        assert ask(gateway.internal, request("GET", "/readyz")).status == 200

        victim, survivor = children(gateway.process.pid)
        os.kill(victim, signal.SIGKILL)
        replaced = eventually(
            lambda: children(gateway.process.pid), lambda found: len(found) == 2 and victim not in found
        )
        assert survivor in replaced
        for _ in range(10):
            assert ask(gateway.url, chat(token)).complete
        assert eventually(lambda: metric(gateway, "codegrex_usage_records_total"), lambda n: n == 30)

        clients = [RawClient(gateway.url).send(chat(token, "paced")) for _ in range(6)]
        heads = [client.head() for client in clients]
        gateway.process.send_signal(signal.SIGTERM)
        for client, head in zip(clients, heads, strict=True):
            assert head.status == 200
            chunks = list(iter(client.chunk, b""))
            assert None not in chunks
            assert chunks[-1].endswith(b"data: [DONE]\n\n")
            assert client.ended() == b""
            client.close()
        assert gateway.process.wait(30) == 0
    records = gateway.usage()
    assert len(records) == 36
    assert {record["basis"] for record in records} == {"reported"}
    assert gateway.account()["held"] == 0


def test_one_worker_drains_and_refuses_what_is_new(tmp_path, sim):
    with start(tmp_path, sim, 1) as gateway:
        token = gateway.session()["access_token"]
        idle = RawClient(gateway.url).send(chat(token))
        assert idle.answer().complete
        busy = RawClient(gateway.url).send(chat(token, "paced"))
        assert busy.head().status == 200
        gateway.process.send_signal(signal.SIGTERM)
        assert idle.ended() == b""  # an idle connection is closed at once
        assert eventually(lambda: ask(gateway.internal, request("GET", "/readyz")).status, lambda got: got == 503)
        with pytest.raises(ConnectionRefusedError):
            RawClient(gateway.url)
        assert None not in list(iter(busy.chunk, b""))
        assert gateway.process.wait(30) == 0
    assert [record["outcome"] for record in gateway.usage()] == ["completed", "completed"]


def test_what_does_not_end_within_the_bound_is_cut_and_settled(tmp_path, sim):
    gateway = start(tmp_path, sim, 1)
    gateway.config.write_text(gateway.config.read_text().replace("drain_timeout = 20", "drain_timeout = 1"))
    with gateway:
        token = gateway.session()["access_token"]
        client = RawClient(gateway.url).send(chat(token, "hang"))
        assert client.head().status == 200
        assert client.chunk()
        gateway.process.send_signal(signal.SIGTERM)
        while (chunk := client.chunk()) is not None:
            assert chunk, "a cut stream looks complete"
        assert gateway.process.wait(30) == 0
    [record] = gateway.usage()
    assert (record["outcome"], record["basis"]) == ("drained", "partial")
