"""An account that an operator or a service erases is gone for the worker that serves it, not only for the store.

Without the announcement the worker would answer from its cache for 5 s, and a stream would run until its lease is
touched, after 15 s or some 1,500 chunks.
"""

from __future__ import annotations

import pytest

from benchmarks.simulator import SimulatorProcess
from tests.gateway_process import GatewayProcess, model, provider, run_cli
from tests.integration.conftest import CHAT
from tests.raw_http import RawClient, ask, request

BODY = b'{"model": "paced", "stream": true, "messages": [{"role": "user", "content": "hi"}]}'
TOKEN = "service-token-of-the-test-" + "x" * 16


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    service = {"token": TOKEN, "scopes": ["rights:erase"]}
    with SimulatorProcess() as sim:
        gateway = GatewayProcess(
            tmp_path_factory.mktemp("gateway"),
            {"openai": provider("openai", sim.url)},
            [model("paced", "openai", "gpt-4o@chunks-4000@pace-10ms")],
            {"internal": {"port": 0, "tokens": {"billing": service}}},
        )
        with gateway:
            yield gateway


def over_the_internal_api(gateway, user):
    asked = request("DELETE", f"/internal/accounts/{user}", headers={"authorization": f"Bearer {TOKEN}"})
    answer = ask(gateway.internal, asked)
    assert answer.status == 200
    return answer.json()


def with_the_command(gateway, user):
    return run_cli("accounts", "erase", "--user", user, "--yes", config=gateway.config)[0]


@pytest.mark.parametrize("erase", [over_the_internal_api, with_the_command])
def test_its_stream_ends_and_its_session_is_refused_at_once(gateway, erase):
    user = f"user-of-{erase.__name__}"
    session = gateway.session(user, 1_000_000)
    sent = {"authorization": f"Bearer {session['access_token']}"}
    with RawClient(gateway.url) as client:
        client.send(request("POST", CHAT, BODY, headers=sent))
        assert client.head().status == 200
        assert client.chunk()
        assert ask(gateway.url, request("GET", "/v1/models", headers=sent)).status == 200  # the worker knows it now
        assert erase(gateway, user)["pid"] == session["pid"]
        chunks = [chunk for chunk in iter(client.chunk, None) if chunk]
    assert b"token_revoked" in chunks[-1]
    assert len(chunks) < 1_000
    # The stream ended with the announcement, so what the worker had cached is gone as well.
    answer = ask(gateway.url, request("GET", "/v1/models", headers=sent))
    assert (answer.status, answer.code) in {(401, "token_revoked"), (401, "token_invalid")}
