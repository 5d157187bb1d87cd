"""An account that cannot pay for the whole answer: each API's own limit is lowered, and its own reason ends the answer."""

import json
import re

import pytest

from benchmarks.simulator import SimulatorProcess
from tests.gateway_process import GatewayProcess, model, provider
from tests.integration.conftest import CHAT, GENERATE, MESSAGES, STREAM, eventually
from tests.raw_http import ask, request

KINDS = ("openai", "anthropic", "google")
CREDITS = 3  # 7,500 tokens of output
ASK = [{"role": "user", "content": "hi"}]
THINKING = {"thinking": {"type": "enabled", "budget_tokens": 20_000}}
GOOGLE = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}


def body(kind, **members):
    return json.dumps({"model": kind, "messages": ASK, **members}).encode()


CASES = {
    "chat": (CHAT, body("openai"), "max_completion_tokens", rb'"finish_reason": ?"length"'),
    "chat with a limit": (CHAT, body("openai", max_tokens=30_000), "max_tokens", rb'"finish_reason": ?"length"'),
    "responses": (
        "/v1/responses",
        json.dumps({"model": "openai", "input": "hi"}).encode(),
        "max_output_tokens",
        rb'"reason": ?"max_output_tokens"',
    ),
    "messages": (MESSAGES, body("anthropic", max_tokens=30_000), "max_tokens", rb'"stop_reason": ?"max_tokens"'),
    "messages that think": (
        MESSAGES,
        body("anthropic", max_tokens=30_000, **THINKING),
        "max_tokens",
        rb'"stop_reason": ?"max_tokens"',
    ),
    "chat streamed": (CHAT, body("openai", stream=True), "max_completion_tokens", rb'"finish_reason": ?"length"'),
    "responses streamed": (
        "/v1/responses",
        json.dumps({"model": "openai", "input": "hi", "stream": True}).encode(),
        "max_output_tokens",
        rb'"reason": ?"max_output_tokens"',
    ),
    "messages streamed": (
        MESSAGES,
        body("anthropic", max_tokens=30_000, stream=True),
        "max_tokens",
        rb'"stop_reason": ?"max_tokens"',
    ),
    "gemini": (
        GENERATE.format("google"),
        json.dumps(GOOGLE).encode(),
        "maxOutputTokens",
        rb'"finishReason": ?"MAX_TOKENS"',
    ),
    "gemini streamed": (
        STREAM.format("google"),
        json.dumps({**GOOGLE, "generationConfig": {"maxOutputTokens": 30_000}}).encode(),
        "maxOutputTokens",
        rb'"finishReason": ?"MAX_TOKENS"',
    ),
}


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with SimulatorProcess(record=True) as sim:
        gateway = GatewayProcess(
            tmp_path_factory.mktemp("short"),
            {kind: provider(kind, sim.url) for kind in KINDS},
            [model(kind, kind, "x@chunks-40000", max_output=50_000, reasoning=False) for kind in KINDS],
        )
        with gateway:
            yield sim, gateway


@pytest.mark.parametrize("case", CASES)
def test_each_api_ends_by_its_own_limit(running, case):
    sim, gateway = running
    path, sent, name, reason = CASES[case]
    token = gateway.session(case, CREDITS)["access_token"]
    sim.reset()
    answer = ask(gateway.url, request("POST", path, sent, headers={"authorization": f"Bearer {token}"}))
    limit = int(answer.headers["x-output-limit"])
    assert (answer.status, answer.complete) == (200, True)
    assert 7_000 < limit < 7_500
    assert re.search(reason, answer.body)
    (seen,) = sim.requests()
    received = json.loads(seen["body"])
    limits = received.get("generationConfig") or received.get("generation_config") or received
    assert limits[name] == limit
    if "thinking" in received:
        assert received["thinking"]["budget_tokens"] == 20_000 * limit // 30_000
    account = eventually(lambda: gateway.account(case), lambda found: found["held"] == 0)
    assert 0 <= account["available"] < 20_000


def test_a_balance_of_which_nothing_useful_is_left_is_not_waited_for(running):
    _, gateway = running
    token = gateway.session("poor", 0)["access_token"]
    refused = ask(gateway.url, request("POST", CHAT, body("openai"), headers={"authorization": f"Bearer {token}"}))
    assert (refused.status, refused.code) == (402, "credits_exhausted")
    assert (refused.headers["x-should-retry"], refused.headers.get("retry-after")) == ("false", None)
    error = refused.json()["error"]
    assert 0 < error["needed"] < 20_000
    assert f"Needed: 0.0{error['needed']:05d}".rstrip("0") in error["message"]
