"""Personal access tokens on a real gateway: what each scope opens, and a revocation while it streams."""

from __future__ import annotations

import pytest

from benchmarks.simulator import SimulatorProcess
from gateway.auth import revocation
from gateway.auth.principal import Scope
from gateway.portal import personal
from tests.gateway_process import GatewayProcess, model, provider
from tests.integration.conftest import CHAT
from tests.raw_http import RawClient, ask, request

BODY = b'{"model": "%b", "stream": true, "messages": [{"role": "user", "content": "hi"}]}'
USER = "user"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    with SimulatorProcess() as sim:
        gateway = GatewayProcess(
            tmp_path_factory.mktemp("gateway"),
            {"openai": provider("openai", sim.url)},
            [model("plain", "openai", "gpt-4o"), model("paced", "openai", "gpt-4o@chunks-2000@pace-10ms")],
            workers=2,
        )
        gateway.session(USER, 100_000)
        with gateway:
            yield gateway


def make(gateway, *scopes):
    return gateway.for_account(
        lambda store, key, pid: personal.create(store, key, pid=pid, name="tool", scopes=scopes, life_s=3_600),
    )


def headers(issued):
    return {"authorization": f"Bearer {issued.access_token}"}


def chat(issued, name="plain"):
    return request("POST", CHAT, BODY % name.encode(), headers=headers(issued))


def test_each_scope_opens_its_paths_and_no_other(gateway):
    paths = {
        Scope.INFERENCE: [chat],
        Scope.MODELS: [
            lambda issued: request("GET", "/v1/models", headers=headers(issued)),
            lambda issued: request("GET", "/v1/models/plain", headers=headers(issued)),
        ],
        Scope.ACCOUNT: [lambda issued: request("GET", "/v1/account", headers=headers(issued))],
    }
    for held in Scope:
        issued = make(gateway, held)
        for needed, calls in paths.items():
            for call in calls:
                answer = ask(gateway.url, call(issued))
                if needed is held:
                    assert answer.status == 200, (held, needed)
                    continue
                assert (answer.status, answer.headers["x-error-code"]) == (403, "insufficient_scope"), (held, needed)
                assert answer.headers["www-authenticate"] == f'Bearer error="insufficient_scope", scope="{needed}"'
                assert f"scope {needed}" in answer.body.decode()


def test_a_revocation_ends_what_streams_and_the_token(gateway):
    issued = make(gateway, Scope.INFERENCE)
    clients = [RawClient(gateway.url).send(chat(issued, "paced")) for _ in range(4)]
    for client in clients:
        assert client.head().status == 200
        assert client.chunk()
    assert gateway.on_store(lambda store: revocation.revoke(store, issued.sid, actor="cli"))
    for client in clients:  # 2,000 chunks of 10 ms would be 20 s
        chunks = [chunk for chunk in iter(client.chunk, None) if chunk]
        assert b"token_revoked" in b"".join(chunks)
        assert len(chunks) < 1_000
        client.close()
    answer = ask(gateway.url, chat(issued))
    assert (answer.status, answer.headers["x-error-code"]) == (401, "token_revoked")
