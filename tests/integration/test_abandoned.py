"""Whoever leaves before the answer pays nothing, within a budget: then the input is charged at what is expected of it."""

import json

import pytest

from benchmarks.simulator import SimulatorProcess
from tests.gateway_process import GatewayProcess, model, provider
from tests.integration.conftest import CHAT, eventually
from tests.raw_http import RawClient, ask, request

WORDS = "some words of a prompt " * 200  # some 1,000 tokens: 0.1 credits


@pytest.fixture(scope="module")
def sim():
    with SimulatorProcess() as sim:
        yield sim


@pytest.fixture(scope="module")
def gateway(sim, tmp_path_factory):
    with GatewayProcess(
        tmp_path_factory.mktemp("abandoned"),
        {"openai": provider("openai", sim.url)},
        [
            model("hang", "openai", "x@fault-hang_headers"),
            model("fast", "openai", "x"),
            model("thinks", "openai", "gpt-5@first-1500ms@chunks-500@pace-20ms"),
            model("waits", "openai", "gpt-4o@first-1500ms@chunks-500@pace-20ms"),
        ],
        {"billing": {"abandoned_credits": 0.25}, "server": {"abort_grace": 0}},
    ) as gateway:
        yield gateway


def prompt(token, name="hang", **headers):
    body = {"model": name, "messages": [{"role": "user", "content": WORDS}], "max_tokens": 16, "stream": True}
    return request("POST", CHAT, json.dumps(body).encode(), headers={"authorization": f"Bearer {token}", **headers})


def spent(gateway, token):
    """What the account has spent, once nothing is held."""
    read = request("GET", "/v1/account", headers={"authorization": f"Bearer {token}"})
    return eventually(lambda: ask(gateway.url, read).json()["credits"], lambda found: found["held"] == 0)["spent"]


def test_a_budget_an_hour_of_the_account(gateway, sim):
    token, other = (gateway.session(user)["access_token"] for user in ("reader", "other"))
    steps = []
    for who in (token, token, token, other):
        sim.reset()
        before = spent(gateway, who)
        with RawClient(gateway.url) as client:
            client.send(prompt(who))
            sim.wait(requests=1)
        sim.wait(aborted=1, active=0)
        steps.append(spent(gateway, who) - before)
    assert steps[:2] == [0, 0]
    assert steps[2] == pytest.approx(100_000, rel=0.2)
    assert steps[3] == 0
    [record] = gateway.usage("reader")
    assert (record["basis"], record["outcome"], record["out_visible"]) == ("partial", "client_abort", 0)
    assert record["in_uncached"] == pytest.approx(1_000, rel=0.2)


def test_superseded_keystrokes_count_too(gateway, sim):
    sim.reset()
    token = gateway.session("typist")["access_token"]
    clients = []
    for sequence in range(5):
        clients.append(RawClient(gateway.url).send(prompt(token, **{"x-supersede-key": "0"})))
        sim.wait(requests=sequence + 1)
    sim.wait(aborted=4)
    for client in clients:
        client.close()
    sim.wait(aborted=5, active=0)
    assert spent(gateway, token) == pytest.approx(3 * 100_000, rel=0.2)  # of five, two are within the budget


def test_an_answer_that_came_is_no_abandoned_one(gateway, sim):
    sim.reset()
    token = gateway.session("patient")["access_token"]
    for _ in range(5):
        assert ask(gateway.url, prompt(token, "fast")).complete
    spent(gateway, token)
    assert {record["outcome"] for record in gateway.usage("patient")} == {"completed"}


@pytest.mark.parametrize(("name", "reasons"), [("thinks", True), ("waits", False)])
def test_what_was_reasoned_unseen_is_charged_by_its_time(gateway, sim, name, reasons):
    sim.reset()
    user = f"leaver of {name}"
    token = gateway.session(user)["access_token"]
    body = {"model": name, "messages": [{"role": "user", "content": "hi"}], "stream": True}
    with RawClient(gateway.url) as client:
        client.send(request("POST", CHAT, json.dumps(body).encode(), headers={"authorization": f"Bearer {token}"}))
        assert client.head().status == 200
        for _ in range(10):
            assert client.chunk()
    sim.wait(aborted=1, active=0)
    spent(gateway, token)
    [record] = gateway.usage(user)
    assert record["basis"] == "partial"
    assert 3 <= record["out_visible"] < 100
    if reasons:
        assert record["out_reasoning"] >= (1_500 - 300) * 60 // 1_000  # more on a busy machine
    else:
        assert record["out_reasoning"] == 0
