"""Another target of the same provider takes over, and only what a provider worked on is charged."""

from __future__ import annotations

import pytest

from benchmarks.simulator import SimulatorProcess
from tests.gateway_process import GatewayProcess, model, provider
from tests.integration.conftest import CHAT, Running
from tests.raw_http import PATIENCE, ask, request


@pytest.fixture(scope="module")
def gateway(misbehaving, tmp_path_factory):
    def targets(*pairs: tuple[str, str]) -> list[dict[str, str]]:
        return [{"provider": name, "model": of} for name, of in pairs]

    with SimulatorProcess() as sim:
        gateway = GatewayProcess(
            tmp_path_factory.mktemp("gateway"),
            {
                "first": provider("openai", sim.url, company="openai"),
                "second": provider("openai", sim.url, company="openai"),
                "silent": provider("openai", f"https://127.0.0.1:{misbehaving.getsockname()[1]}", company="openai"),
            },
            [
                {**model(name, ""), "targets": targets(("first", f"gpt-4o@fault-{fault}"), next_)}
                for name, fault, next_ in (
                    ("refused", "503", ("second", "gpt-4o")),
                    ("reset", "reset_before", ("second", "gpt-4o")),
                    ("all-refuse", "503", ("second", "gpt-4o@fault-503")),
                    ("bad-request", "400", ("second", "gpt-4o")),
                    ("no-next", "503", ("silent", "gpt-4o")),
                )
            ],
        )
        with gateway:
            session = gateway.session("user", 1_000)
            yield Running(gateway, sim, session["access_token"], session["pid"])


@pytest.fixture
def running(gateway):
    return gateway.forget()


def message(running: Running, name: str) -> bytes:
    body = b'{"model":"%b","max_tokens":50,"messages":[{"role":"user","content":"hello"}]}' % name.encode()
    return request("POST", CHAT, body, headers=running.auth)


@pytest.mark.parametrize("name", ["refused", "reset"])
def test_the_next_target_answers_and_is_charged_once(running, name):
    answer = ask(running.url, message(running, name))
    assert (answer.status, answer.headers["x-provider"]) == (200, "second")
    assert running.sim.stats()["requests"] == 2
    record = running.settled(answer.rid)
    assert (record["provider"], record["basis"], record["outcome"]) == ("second", "reported", "completed")
    [line] = running.next_logged()
    assert (line["provider"], line["attempts"], line["status"]) == ("second", 2, 200)


def test_the_last_refusal_is_the_callers_and_costs_nothing(running):
    before = running.quiet()
    answer = ask(running.url, message(running, "all-refuse"))
    assert (answer.status, answer.headers["x-provider"]) == (503, "second")
    assert running.settled(answer.rid)["status"] == "voided"
    assert running.quiet() == before


def test_what_no_other_target_mends_is_not_tried_there(running):
    answer = ask(running.url, message(running, "bad-request"))
    assert (answer.status, answer.headers["x-provider"]) == (400, "first")
    assert running.sim.stats()["requests"] == 1
    assert running.settled(answer.rid)["status"] == "voided"


def test_a_client_that_leaves_between_two_targets_pays_nothing(running, misbehaving):
    before = running.quiet()
    with running.client() as client:
        client.send(message(running, "no-next"))
        with misbehaving.accept()[0] as second:
            second.settimeout(PATIENCE)
            assert second.recv(
                1
            )  # of a TLS handshake that does not end: the first target has refused, and this one has not the request yet
            client.close()
            [line] = running.next_logged()
    assert (line["attempts"], line["outcome"]) == (2, "client_abort")
    assert running.settled(line["rid"])["status"] == "voided"
    assert running.quiet() == before
