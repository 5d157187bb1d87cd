"""``cache_isolation = "none"``: what providers receive asks for no cache, and a model that caches by itself is not asked."""

import json

import pytest

from tests.gateway_process import GatewayProcess, model, provider
from tests.integration.conftest import CHAT, MESSAGES
from tests.raw_http import ask, request

MARK = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
BREAKPOINT = {"prompt_cache_breakpoint": {"mode": "explicit"}}


def turn(mark, role="user"):
    return {"role": role, "content": [{"type": "text", "text": "the same words", **mark}]}


@pytest.fixture(scope="module")
def gateway(simulator, tmp_path_factory):
    gateway = GatewayProcess(
        tmp_path_factory.mktemp("uncached"),
        {kind: provider(kind, simulator.url) for kind in ("openai", "anthropic")},
        [
            model("new", "openai", "gpt-5.6"),
            model("old", "openai", "gpt-5.5"),
            model("claude", "anthropic", "claude-x"),
        ],
        {"policy": {"cache_isolation": "none"}},
    )
    with gateway:
        yield gateway, gateway.session("user", 100_000)["access_token"]


@pytest.mark.parametrize(
    ("path", "body", "arrives"),
    [
        (
            CHAT,
            {"model": "new", "messages": [turn(BREAKPOINT)], "prompt_cache_options": {"mode": "implicit"}},
            {"prompt_cache_options": {"mode": "explicit"}, "messages": [turn({})]},
        ),
        (
            "/v1/responses",
            {
                "model": "new",
                "input": [{"role": "user", "content": [{"type": "input_text", "text": "x", **BREAKPOINT}]}],
            },
            {
                "prompt_cache_options": {"mode": "explicit"},
                "input": [{"role": "user", "content": [{"type": "input_text", "text": "x"}]}],
            },
        ),
        (
            MESSAGES,
            {
                "model": "claude",
                "max_tokens": 9,
                "system": [turn(MARK)["content"][0]],
                "messages": [turn(MARK)],
                **MARK,
            },
            {"system": turn({})["content"], "messages": [turn({})], "cache_control": None},
        ),
    ],
)
def test_a_provider_is_asked_to_cache_nothing(gateway, simulator, path, body, arrives):
    running, token = gateway
    simulator.reset()
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    answer = ask(running.url, request("POST", path, json.dumps(body).encode(), headers=headers))
    assert answer.status == 200, answer.body
    [got] = simulator.requests()
    received = json.loads(got["body"])
    assert {name: received.get(name) for name in arrives} == arrives


def test_a_model_that_caches_by_itself_is_not_asked(gateway, simulator):
    running, token = gateway
    simulator.reset()
    body = json.dumps({"model": "old", "messages": [turn({})]}).encode()
    answer = ask(running.url, request("POST", CHAT, body, headers={"authorization": f"Bearer {token}"}))
    assert (answer.status, answer.json()["error"]["code"]) == (400, "privacy_unsupported")
    assert "choose gpt-5.6 or newer" in answer.json()["error"]["message"]
    assert simulator.requests() == []
