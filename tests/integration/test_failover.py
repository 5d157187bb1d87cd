"""Another target of the same company takes over, and only what a provider worked on is charged.

Each model has providers that no other has, since a worker remembers how their models fared.
"""

from __future__ import annotations

import contextlib

import pytest

from benchmarks.simulator import SimulatorProcess
from gateway.upstream.concurrency import START
from tests.gateway_process import GatewayProcess, model, provider
from tests.integration.conftest import CHAT, Running
from tests.raw_http import PATIENCE, ask, request


@pytest.fixture(scope="module")
def gateway(misbehaving, tmp_path_factory):
    cases = {
        "refused": ("503", "gpt-4o"),
        "reset": ("reset_before", "gpt-4o"),
        "all-refuse": ("503", "gpt-4o@fault-503"),
        "bad-request": ("400", "gpt-4o"),
        "lacking": ("404", "gpt-4o"),
        "all-lack": ("404", "gpt-4o@fault-404"),
        "no-next": ("503", "gpt-4o"),
        "crowded": ("hang_headers", "gpt-4o"),
    }
    with SimulatorProcess() as sim:
        urls = dict.fromkeys(cases, (sim.url, sim.url))
        urls["no-next"] = (sim.url, f"https://127.0.0.1:{misbehaving.getsockname()[1]}")
        gateway = GatewayProcess(
            tmp_path_factory.mktemp("gateway"),
            {
                f"{name}-{number}": provider(
                    "openai", url, company="openai", adaptive_concurrency=f"{name}-{number}" == "crowded-1"
                )
                for name, both in urls.items()
                for number, url in enumerate(both, 1)
            },
            [
                {
                    **model(name, ""),
                    "targets": [
                        {"provider": f"{name}-1", "model": f"gpt-4o@fault-{fault}"},
                        {"provider": f"{name}-2", "model": other},
                    ],
                }
                for name, (fault, other) in cases.items()
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


@pytest.mark.parametrize("name", ["refused", "reset", "lacking"])
def test_the_next_target_answers_and_is_charged_once(running, name):
    answer = ask(running.url, message(running, name))
    assert (answer.status, answer.headers["x-provider"], answer.headers["x-attempts"]) == (200, f"{name}-2", "2")
    outcomes = {"refused": "failed", "reset": "fault", "lacking": "no_model"}
    attempts = f'codegrex_attempts_total{{provider="{name}-1",outcome="{outcomes[name]}"}} 1'
    assert attempts in ask(running.gateway.internal, request("GET", "/metrics")).body.decode()
    assert running.sim.stats()["requests"] == 2
    record = running.settled(answer.rid)
    assert (record["provider"], record["basis"], record["outcome"]) == (f"{name}-2", "reported", "completed")
    [line] = running.next_logged()
    assert (line["provider"], line["attempts"], line["status"]) == (f"{name}-2", 2, 200)


def test_a_target_that_failed_is_passed_by(running):
    attempts = 2
    for _ in range(6):  # a rest that was over before the next request is followed by one of twice the length
        running.forget()
        answer = ask(running.url, message(running, "refused"))
        assert (answer.status, answer.headers["x-provider"]) == (200, "refused-2")
        [line] = running.next_logged()
        attempts = min(attempts, line["attempts"])
    assert attempts == 1


def test_the_last_refusal_is_the_callers_and_costs_nothing(running):
    before = running.quiet()
    answer = ask(running.url, message(running, "all-refuse"))
    assert (answer.status, answer.headers["x-provider"]) == (503, "all-refuse-2")
    assert running.settled(answer.rid)["status"] == "voided"
    assert running.quiet() == before


def test_a_model_that_no_target_has_is_the_last_ones_error(running):
    answer = ask(running.url, message(running, "all-lack"))
    assert (answer.status, answer.headers["x-provider"], answer.headers["x-attempts"]) == (404, "all-lack-2", "2")
    assert running.sim.stats()["requests"] == 2


def test_what_no_other_target_can_serve_is_not_tried_there(running):
    answer = ask(running.url, message(running, "bad-request"))
    assert (answer.status, answer.headers["x-provider"]) == (400, "bad-request-1")
    assert running.sim.stats()["requests"] == 1
    assert running.settled(answer.rid)["status"] == "voided"


def test_a_host_with_a_limit_gets_no_more_requests_than_that(running):
    with contextlib.ExitStack() as clients:
        for _ in range(START):
            clients.enter_context(running.client()).send(message(running, "crowded"))
        running.sim.wait(requests=START)
        answer = ask(running.url, message(running, "crowded"))
        assert (answer.status, answer.headers["x-provider"], answer.headers["x-attempts"]) == (200, "crowded-2", "1")
    running.next_logged(START + 1)  # the others have left
    with running.client() as client:
        client.send(message(running, "crowded"))
        running.sim.wait(requests=START + 2, active=1)  # it has a place now


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
