"""A revocation reaches every worker: under load, and with pub/sub cut for a moment or for good.

A stream that nobody ended would run for 40 seconds; the bounds are those that docs/identity.md states.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest

from benchmarks import processes
from benchmarks.simulator import SimulatorProcess
from gateway.auth import revocation, sessions
from gateway.auth.principal import sid_of
from metering.accounts.audit import read_audit
from tests.gateway_process import GatewayProcess, model, provider, run_cli
from tests.integration.conftest import CHAT, eventually
from tests.raw_http import RawClient, ask, request

BODY = b'{"model": "paced", "stream": true, "messages": [{"role": "user", "content": "hi"}]}'
STREAMS = 6
HEARD_SECONDS = 1.0
UNHEARD_SECONDS = 5.0


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    with SimulatorProcess() as sim:
        gateway = GatewayProcess(
            tmp_path_factory.mktemp("gateway"),
            {"openai": provider("openai", sim.url)},
            [model("bench", "openai", "gpt-4o"), model("paced", "openai", "gpt-4o@chunks-4000@pace-10ms")],
            workers=2,
        )
        with gateway:
            yield gateway


def chat(token):
    return request("POST", CHAT, BODY, headers={"authorization": f"Bearer {token}"})


class Reader(threading.Thread):
    """Reads a stream as it comes, and notes when and how it ended."""

    def __init__(self, gateway, token):
        super().__init__(daemon=True)
        self.client = RawClient(gateway.url).send(chat(token))
        assert self.client.head().status == 200
        assert self.client.chunk()
        self.last = b""
        self.ended_at = None
        self.start()

    def run(self):
        for chunk in iter(self.client.chunk, None):
            self.last = chunk or self.last
        self.ended_at = time.monotonic()
        self.client.close()


@contextmanager
def streaming(gateway):
    """Streams of one new session, on both workers as the kernel deals them."""
    token = gateway.session("revoked", 1_000_000)["access_token"]
    yield token, [Reader(gateway, token) for _ in range(STREAMS)]


def ended_within(readers, began, seconds):
    for reader in readers:
        reader.join(30)
        assert reader.ended_at is not None, "it runs on"
        assert b"token_revoked" in reader.last
    assert max(reader.ended_at for reader in readers) - began < seconds


@contextmanager
def load_on(gateway):
    token = gateway.session("others", 100_000_000)["access_token"]
    command = [
        sys.executable,
        "-m",
        "benchmarks",
        "load",
        "streams",
        "--url",
        gateway.url,
        "--token",
        token,
        "--model",
        "bench",
    ]
    with processes.start(
        [*command, "--callers", "20", "--seconds", "60"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            eventually(lambda: gateway_requests(gateway), lambda count: count > 100)
            assert process.poll() is None
            yield
            assert process.poll() is None  # it was under load the whole time
        finally:
            process.terminate()


def gateway_requests(gateway):
    answer = ask(gateway.internal, request("GET", "/metrics"))
    lines = [line for line in answer.body.decode().splitlines() if line.startswith("codegrex_requests_total")]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def test_under_load_every_worker_follows_within_a_second(gateway):
    with load_on(gateway), streaming(gateway) as (token, readers):
        began = time.monotonic()
        assert gateway.on_store(lambda store: revocation.revoke(store, sid_of(token), actor="cli"))
        ended_within(readers, began, HEARD_SECONDS)
        for _ in range(10):
            assert ask(gateway.url, chat(token)).code == "token_revoked"


def test_an_announcement_lost_while_pub_sub_was_away_is_made_up_for(gateway):
    with streaming(gateway) as (token, readers):

        async def revoke_unheard(store):
            assert await sessions.revoke(store.client, sid_of(token))  # written, and never announced
            assert await store.client.client_kill_filter(_type="pubsub") >= 2

        began = time.monotonic()
        gateway.on_store(revoke_unheard)
        ended_within(readers, began, UNHEARD_SECONDS)
        assert ask(gateway.url, chat(token)).code == "token_revoked"


def test_with_pub_sub_cut_for_good_it_is_found_all_the_same(gateway):
    async def cut(store):
        await store.client.execute_command("ACL", "SETUSER", "default", "-subscribe", "-publish")
        assert await store.client.client_kill_filter(_type="pubsub") >= 2

    async def mend(store):
        await store.client.execute_command("ACL", "SETUSER", "default", "+subscribe", "+publish")

    with streaming(gateway) as (token, readers):
        gateway.on_store(cut)
        try:
            began = time.monotonic()
            assert gateway.on_store(lambda store: revocation.revoke(store, sid_of(token), actor="cli"))
            ended_within(readers, began, UNHEARD_SECONDS)
            assert ask(gateway.url, chat(token)).code == "token_revoked"
        finally:
            gateway.on_store(mend)


def test_a_revocation_that_the_store_forgot_is_done_again_and_noted_as_the_gateway_s(tmp_path):
    gateway = GatewayProcess(
        tmp_path, {"openai": provider("openai", "http://127.0.0.1:9")}, [model("bench", "openai", "gpt-4o")]
    )
    token = gateway.session()["access_token"]
    assert run_cli("sessions", "revoke", token, config=gateway.config) == [{"revoked": 1}]

    async def forget(store):
        assert await store.client.hdel(f"s:{{{sid_of(token)}}}", "revoked") == 1

    async def revocations(store):
        return [entry.actor async for entry in read_audit(store) if entry.action == "revoked"]

    gateway.on_store(forget)
    with gateway:
        eventually(lambda: ask(gateway.url, chat(token)).code, lambda code: code == "token_revoked")
        assert gateway.on_store(revocations) == ["cli", "gateway"]
