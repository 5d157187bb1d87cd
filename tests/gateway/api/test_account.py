"""``GET /v1/account`` and ``GET /v1/requests/{rid}`` of a real gateway."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks.simulator import SimulatorProcess
from tests.gateway_process import GatewayProcess, model, provider


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with (
        SimulatorProcess() as simulator,
        GatewayProcess(
            tmp_path_factory.mktemp("gateway"), {"openai": provider("openai", simulator.url)}, [model("gpt", "openai")]
        ) as running,
    ):
        yield running


def ask(gateway: GatewayProcess, path: str, token: str, body: object = None) -> tuple[int, dict[str, Any], Any]:
    request = urllib.request.Request(
        gateway.url + path,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, dict(answer.headers), json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), json.loads(error.read())


async def test_a_request_is_seen_by_its_owner_alone_and_moves_the_credits(gateway: GatewayProcess) -> None:
    token = gateway.session("owner", 10)["access_token"]
    other = gateway.session("other", 10)["access_token"]
    body = {"model": "gpt", "messages": [{"role": "user", "content": "Hello"}]}
    status, headers, _ = ask(gateway, "/v1/chat/completions", token, body)
    assert status == 200
    rid = headers["x-request-id"]
    record: dict[str, Any] = {"status": "pending"}
    async with asyncio.timeout(60):
        while record["status"] == "pending":
            _, _, record = ask(gateway, f"/v1/requests/{rid}", token)
    assert (record["status"], record["rid"], record["basis"]) == ("settled", rid, "reported")
    assert record["charge"] == int(headers["x-credits-charged"])
    _, _, account = ask(gateway, "/v1/account", token)
    assert account["credits"]["spent"] == record["charge"]
    assert account["credits"]["available"] == 10_000_000 - record["charge"]
    assert int(headers["x-credits-remaining"]) == account["credits"]["available"]
    assert headers["x-credits-held"] == "0"
    for path in (f"/v1/requests/{rid}", "/v1/requests/req_" + "0" * 32, "/v1/requests/nonsense"):
        assert ask(gateway, path, other)[0] == 404
