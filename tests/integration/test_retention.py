"""A limit of retention, as requests meet it: two targets, one keeps prompts for 30 days and one keeps nothing."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks.simulator import SimulatorProcess
from gateway.auth import choice
from gateway.auth.choice import Choice
from gateway.evidence.signing import opened
from tests.gateway_process import GatewayProcess, model, provider
from tests.integration.conftest import CHAT, GENERATE, MESSAGES, eventually
from tests.raw_http import Answer, ask, request

TOKEN = "service-token-of-the-test-" + "x" * 16
VERSIONS = itertools.count(1)
LIMIT = "x-max-retention-days"


@pytest.fixture(scope="module")
def sim() -> Iterator[SimulatorProcess]:
    with SimulatorProcess() as sim:
        yield sim


@pytest.fixture(scope="module")
def gateway(sim: SimulatorProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    def at(*targets: tuple[str, str, int | None]) -> dict[str, Any]:
        """Targets by provider, model, and what they state themselves."""
        return {
            "targets": [
                {"provider": name, "model": of} | ({} if days is None else {"retention_days": days})
                for name, of, days in targets
            ]
        }

    gateway = GatewayProcess(
        tmp_path_factory.mktemp("gateway"),
        {
            "thirty": provider("openai", sim.url, company="c", retention_days=30),
            "zero": provider("openai", sim.url, company="c"),
            "claude": provider("anthropic", sim.url),
            "gemini": provider("google", sim.url, retention_days=55),
        },
        [
            model("both", "") | at(("thirty", "gpt-4o", None), ("zero", "gpt-4o", None)),
            model("kept", "") | at(("zero", "gpt-4o", 30)),
            model("fails", "") | at(("zero", "gpt-4o@fault-503", None), ("thirty", "gpt-4o", None)),
            model("haiku", "claude", "claude-haiku-5"),
            model("fable", "claude", "claude-fable-5"),
            model("gemini", "gemini", "gemini-x"),
        ],
        {
            "policy": {"extended_prompt_cache": True},
            "internal": {"port": 0, "tokens": {"billing": {"token": TOKEN, "scopes": ["accounts:write"]}}},
        },
    )
    with gateway:
        yield gateway


def send(gateway: GatewayProcess, token: str, name: str, *limits: str, **more: Any) -> Answer:
    path = MESSAGES if name in ("haiku", "fable") else CHAT
    body: dict[str, Any] = {"model": name, "max_tokens": 10, "messages": [{"role": "user", "content": "hi"}], **more}
    if name == "gemini":
        path, body = GENERATE.format(name), {"contents": [{"parts": [{"text": "hi"}]}]}
    headers = [("authorization", f"Bearer {token}"), *((LIMIT, limit) for limit in limits)]
    return ask(gateway.url, request("POST", path, json.dumps(body).encode(), headers=headers))


def goes(answer: Answer) -> str:
    """Who answered, or why nobody did."""
    return answer.headers["x-provider"] if answer.status == 200 else answer.code


def state(gateway: GatewayProcess, path: str, **stated: Any) -> None:
    body = json.dumps({"version": next(VERSIONS), **stated}).encode()
    sent = request("PUT", f"/internal/{path}", body, headers={"authorization": f"Bearer {TOKEN}"})
    assert ask(gateway.internal, sent).status == 200


def expect(gateway: GatewayProcess, token: str, name: str, what: str) -> None:
    eventually(lambda: goes(send(gateway, token, name)), lambda found: found == what)


def test_without_a_limit_every_target_is_used(gateway: GatewayProcess) -> None:
    token = gateway.session("free")["access_token"]
    expected = {
        "both": "thirty",
        "kept": "zero",
        "fails": "thirty",
        "haiku": "claude",
        "fable": "claude",
        "gemini": "gemini",
    }
    assert {name: goes(send(gateway, token, name)) for name in expected} == expected


def test_a_request_s_limit_routes_around_and_refuses(gateway: GatewayProcess, sim: SimulatorProcess) -> None:
    token = gateway.session("free")["access_token"]
    assert goes(send(gateway, token, "both", "30")) == "thirty"
    assert goes(send(gateway, token, "both", "29")) == "zero"
    assert goes(send(gateway, token, "both", "30", "0")) == "zero"
    assert goes(send(gateway, token, "kept", "30")) == "zero"
    sim.reset()
    refused = send(gateway, token, "kept", "29")
    assert (refused.status, refused.code) == (403, "retention_unavailable")
    message = refused.json()["error"]["message"]
    assert "Allowed: 29 days; the shortest that a provider keeps them: 30 days." in message
    assert "max_retention_days" in message
    for value in ("", "-1", "1.5", "soon", "0, 30"):
        wrong = send(gateway, token, "both", value)
        assert (wrong.status, wrong.code) == (400, "invalid_request")
        assert "whole number of days" in wrong.json()["error"]["message"]
    assert sim.stats()["requests"] == 0


def test_nothing_kept_is_no_cache_of_a_day_either(gateway: GatewayProcess) -> None:
    token = gateway.session("free")["access_token"]
    for limit, removed in (("0", "prompt_cache_retention"), ("1", None)):
        answer = send(gateway, token, "both", limit, prompt_cache_retention="24h")
        assert (goes(answer), answer.headers.get("x-members-removed")) == ("zero", removed)


def test_each_dialect_says_it_in_its_own_words(gateway: GatewayProcess) -> None:
    token = gateway.session("free")["access_token"]
    assert send(gateway, token, "kept", "0").json()["error"]["code"] == "retention_unavailable"
    claude = send(gateway, token, "fable", "29")  # known to be kept, whatever is stated
    assert (claude.status, claude.json()["error"]["type"]) == (403, "permission_error")
    gemini = send(gateway, token, "gemini", "54")
    assert (gemini.status, gemini.json()["error"]["status"]) == (403, "PERMISSION_DENIED")
    assert goes(send(gateway, token, "gemini", "55")) == "gemini"


def test_a_failover_and_a_fallback_stay_within_it(gateway: GatewayProcess, sim: SimulatorProcess) -> None:
    token = gateway.session("free")["access_token"]
    sim.reset()
    limited = send(gateway, token, "fails", "29")
    assert (limited.status, limited.headers["x-provider"]) == (503, "zero")
    assert sim.stats()["requests"] == 1
    assert goes(send(gateway, token, "haiku", "0")) == "claude"
    sim.reset()
    assert goes(send(gateway, token, "haiku", "0", fallbacks=[{"model": "fable"}])) == "retention_unavailable"
    assert sim.stats()["requests"] == 0


def test_a_session_s_limit_holds_and_no_header_loosens_it(gateway: GatewayProcess) -> None:
    token = gateway.session("careful", **{"max-retention-days": "0"})["access_token"]
    assert goes(send(gateway, token, "both")) == "zero"
    assert goes(send(gateway, token, "both", "30")) == "zero"
    assert goes(send(gateway, token, "kept", "30")) == "retention_unavailable"
    shown = ask(gateway.url, request("GET", "/v1/account", headers={"authorization": f"Bearer {token}"})).json()
    assert shown["policy"]["max_retention_days"] == 0


def test_account_organisation_and_person_state_one_too(gateway: GatewayProcess) -> None:
    session = gateway.session("employee")
    token, pid = session["access_token"], session["pid"]
    expect(gateway, token, "both", "thirty")
    state(gateway, "accounts/employee", max_retention_days=7)
    expect(gateway, token, "both", "zero")
    state(gateway, "accounts/employee", org="acme")
    expect(gateway, token, "both", "thirty")
    state(gateway, "organisations/acme", max_retention_days=0)
    expect(gateway, token, "kept", "retention_unavailable")
    state(gateway, "organisations/acme")
    expect(gateway, token, "kept", "zero")
    gateway.on_store(lambda store: choice.write(store, pid, Choice(max_retention_days=0)))
    expect(gateway, token, "kept", "retention_unavailable")


def test_the_signed_statement_lists_what_holds_for_each_model(gateway: GatewayProcess) -> None:
    found, _ = opened(ask(gateway.url, request("GET", "/.well-known/ai-privacy")).body)
    kept = {
        model["name"]: [(target["provider"], target["retention_days"]) for target in model["targets"]]
        for model in found["models"]
    }
    assert kept == {
        "both": [("thirty", 30), ("zero", 0)],
        "kept": [("zero", 30)],
        "fails": [("zero", 0), ("thirty", 30)],
        "haiku": [("claude", 0)],
        "fable": [("claude", 30)],
        "gemini": [("gemini", 55)],
    }
    assert all(target["region"] == "global" for model in found["models"] for target in model["targets"])
