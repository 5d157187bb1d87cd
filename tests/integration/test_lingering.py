"""If an account leaves many streams, a few are read on for their usage; the others end at once."""

import json
from contextlib import ExitStack

from benchmarks.simulator import SimulatorProcess
from gateway.inference.lingering import MOST_LINGERING
from tests.gateway_process import GatewayProcess, model, provider
from tests.integration.conftest import CHAT, eventually
from tests.raw_http import RawClient, request

LEFT = MOST_LINGERING + 4


def stream(gateway, token):
    body = {"model": "slow", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    client = RawClient(gateway.url)
    client.send(request("POST", CHAT, json.dumps(body).encode(), headers={"authorization": f"Bearer {token}"}))
    assert client.head().status == 200
    assert client.chunk()
    return client


def test_a_few_are_read_on_of_each_account_and_all_are_paid(tmp_path):
    slow = model("slow", "openai", "x@chunks-300@pace-30ms")
    with (
        SimulatorProcess() as sim,
        GatewayProcess(
            tmp_path, {"openai": provider("openai", sim.url)}, [slow], {"server": {"abort_grace": 3_600}}
        ) as gateway,
    ):
        tokens = {user: gateway.session(user)["access_token"] for user in ("leaver", "other")}
        with ExitStack() as clients:
            for _ in range(LEFT):
                clients.enter_context(stream(gateway, tokens["leaver"]))
            sim.wait(requests=LEFT)
        stats = sim.wait(aborted=LEFT - MOST_LINGERING)
        with stream(gateway, tokens["other"]):
            pass
        stats = sim.wait(completed=MOST_LINGERING + 1)
        assert stats["aborted"] == LEFT - MOST_LINGERING
        records = eventually(lambda: gateway.usage("leaver"), lambda found: len(found) == LEFT)
        assert {record["outcome"] for record in records} == {"client_abort", "completed"}
        # Those whose usage came are exact; the others are estimated, and none is free.
        assert [record["basis"] for record in records].count("partial") == LEFT - MOST_LINGERING
        assert all(record["out_visible"] > 0 for record in records)
