"""A target that speaks another dialect takes over: the caller's SDK has the whole answer in its own.

Each pair of targets has providers of its own, since a worker remembers how their models fared.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from benchmarks.simulator import MARK, SimulatorProcess
from benchmarks.simulator.anthropic import SIGNATURE
from benchmarks.simulator.google import SIGNATURE as THOUGHT_SIGNATURE
from tests.gateway_process import PRICE, GatewayProcess, model, provider
from tests.integration.conftest import CHAT, eventually
from tests.integration.sdk_stack import Account, Stack, as_bill, open_store
from tests.integration.test_any_sdk import ENDS, Asked
from tests.raw_http import Answer, ask, request

TOKEN = "service-token-of-the-test-" + "x" * 16
VERSIONS = itertools.count(1)
OWN = {"chat": "openai", "responses": "responses", "messages": "anthropic", "gemini": "google"}
NAMES = {"openai": "gpt-4o", "responses": "gpt-5", "anthropic": "claude-haiku-4-5", "google": "gemini-3.8-flash"}
KINDS = {"openai": "openai", "responses": "openai", "anthropic": "anthropic", "google": "google"}
OPERATIONS = {
    "openai": {"/chat/completions"},
    "responses": {"/responses"},
    "anthropic": {"/messages"},
    "google": {"generateContent", "streamGenerateContent"},
}
SEALS = {"responses": "gAAAAAB", "anthropic": SIGNATURE, "google": THOUGHT_SIGNATURE}
FAULTS = ("503", "429", "529", "reset_before", "error_early")
WAYS = [  # the caller's dialect, who fails, who answers; one who speaks it would be asked first
    ("chat", "openai", "anthropic"),
    ("chat", "openai", "google"),
    ("chat", "google", "anthropic"),
    ("responses", "responses", "anthropic"),
    ("responses", "anthropic", "google"),
    ("messages", "anthropic", "responses"),
    ("messages", "anthropic", "google"),
    ("messages", "responses", "openai"),
    ("gemini", "google", "openai"),
    ("gemini", "google", "anthropic"),
    ("gemini", "responses", "anthropic"),
]
CASES = [
    (*way, fault, bool(number % 2) or fault == "error_early")
    for number, (way, fault) in enumerate(itertools.product(WAYS, FAULTS))
]
CASES += [(*way, "hang_headers", number > 1) for number, way in enumerate(WAYS[::4])]  # for each, the time-out passes
CASES += [(*way, "503", True) for way in WAYS]
LOOPS = [("openai", "responses", "anthropic"), ("anthropic", "anthropic", "google"), ("google", "google", "responses")]
LOOPS += [("openai", "anthropic", "google"), ("anthropic", "google", "responses")]
SINGLES = ("headers", "apart", "pinned", "choices", "dear", "capped", "poor", "both-refuse", "secret")


def said(case: tuple[Any, ...]) -> str:
    return "-".join(str(one) for one in case)


def named(case: tuple[Any, ...]) -> str:
    """The name of a case's model, and the beginning of its providers' names, which are short."""
    kind, cases = ("loop", LOOPS) if case in LOOPS else ("case", list(dict.fromkeys(CASES)))
    return f"{kind}{cases.index(case)}"


def targets(name: str, first: str, second: str, fault: str = "", price: dict[str, Any] | None = None) -> dict[str, Any]:
    """A model with two targets; the first one has the fault."""
    places = [
        # Thoughts are output, which no failure comes after.
        {"provider": f"{name}-1", "model": NAMES[first] + (f"@fault-{fault}@thinking-0" if fault else "")},
        {"provider": f"{name}-2", "model": NAMES[second]},
    ]
    if price is not None:
        places[1]["price"] = price
    return {**model(name, ""), "targets": places}


def both(url: str, name: str, first: str, second: str, **more: Any) -> dict[str, Any]:
    """The providers of a model."""
    return {
        f"{name}-{number}": provider(
            KINDS[of], url, company=KINDS[of], **({"responses": of == "responses"} if KINDS[of] == "openai" else {}), **more
        )
        for number, of in enumerate((first, second), 1)
    }  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with SimulatorProcess(record=True) as sim:
        providers: dict[str, Any] = {}
        models: list[dict[str, Any]] = []
        for case in dict.fromkeys(CASES):
            _, first, second, fault, _ = case
            providers |= both(sim.url, named(case), first, second)
            models.append(targets(named(case), first, second, fault))
        for loop in LOOPS:
            _, first, second = loop
            providers |= both(sim.url, named(loop), first, second)
            models.append(targets(named(loop), first, second))
        for name in SINGLES:
            providers |= both(sim.url, name, "openai", "anthropic", **({"region": "eu"} if name == "pinned" else {}))
            times = {"dear": 10, "capped": 10, "poor": 1_000}.get(name)
            dear = {key: PRICE[key] * times for key in ("input", "output")} if times else None
            fault = "" if name == "headers" else "503"
            models.append(targets(name, "openai", "anthropic", fault, dear))
        models[-len(SINGLES) + SINGLES.index("both-refuse")]["targets"][1]["model"] += "@fault-400"
        providers["pinned-2"]["region"] = "us"
        gateway = GatewayProcess(
            tmp_path_factory.mktemp("gateway"),
            providers,
            models,
            {
                "server": {"first_byte_timeout": 3},
                "policy": {"secrets": "restore"},
                "internal": {
                    "port": 0,
                    "tokens": {"billing": {"token": TOKEN, "scopes": ["accounts:write", "switches:write"]}},
                },
            },
        )
        with gateway, open_store(gateway) as store:
            yield Stack(sim, gateway, store, account_of(gateway, store, "user"))


def account_of(gateway: GatewayProcess, store: redis.Redis, user: str, **policy: Any) -> Account:
    """An account for which every company is a fallback, if its policy does not say otherwise."""
    credits_ = policy.pop("credits_", 100_000)
    session = gateway.session(user, credits_)
    stated = {"fallback_companies": ["openai", "anthropic", "google"]} | policy
    put(gateway, f"accounts/{user}", version=next(VERSIONS), **stated)
    return Account(session["access_token"], session["pid"], store)


def put(gateway: GatewayProcess, path: str, **stated: Any) -> None:
    body = json.dumps(stated).encode()
    sent = request("PUT", f"/internal/{path}", body, headers={"authorization": f"Bearer {TOKEN}"})
    assert ask(gateway.internal, sent).status == 200


def switch(stack: Stack, name: str, *, off: bool) -> None:
    """Switch a provider off or on, and wait until the worker has heard of it."""
    put(stack.gateway, f"switches/provider/{name}", off=off)
    shown = f'codegrex_provider_switched_off{{provider="{name}"}} {int(off)}\n'.encode()
    eventually(lambda: ask(stack.gateway.internal, request("GET", "/metrics")).body, lambda page: shown in page)


@pytest.fixture
def stack(made: Stack) -> Stack:
    made.account.let_go()  # of the test before
    made.sim.reset()
    made.account.skip()
    return made


def chat(stack: Stack, name: str, token: str = "", **more: Any) -> Answer:
    body = {"model": name, "max_completion_tokens": 50, "messages": [{"role": "user", "content": "hello"}], **more}
    headers = {"authorization": f"Bearer {token or stack.token}"}
    return ask(stack.url, request("POST", CHAT, json.dumps(body).encode(), headers=headers))


@pytest.mark.parametrize("case", dict.fromkeys(CASES), ids=said)
def test_the_whole_answer_comes_from_who_is_left(stack: Stack, case: tuple[Any, ...]) -> None:
    dialect, _, second, _, stream = case
    found = Asked(stack, dialect)(named(case), [("user", "Go on.")], stream=stream)
    assert (found.text.count(MARK), found.stop) == (12, ENDS[dialect][0])
    [record] = stack.account.records(1)
    assert (record["provider"], record["basis"], record["outcome"]) == (f"{named(case)}-2", "reported", "completed")
    bill = stack.sim.bills()[-1]
    assert as_bill(record) == {name: bill[name] for name in as_bill(record)}
    assert bill["operation"] in OPERATIONS[second]
    stack.account.let_go()


def test_what_is_told_of_a_leg_is_true_of_the_one_that_answered(stack: Stack) -> None:
    own = chat(stack, "headers", seed=7)
    assert (own.status, own.headers["x-provider"], own.headers["x-attempts"]) == (200, "headers-1", "1")
    assert "x-translation-dropped" not in own.headers
    switch(stack, "headers-1", off=True)
    other = chat(stack, "headers", seed=7)
    assert other.headers["x-provider"] == "headers-2"
    assert (other.status, other.headers["x-translation-dropped"]) == (200, "seed")
    assert other.json()["object"] == "chat.completion"


def test_only_an_allowed_company_takes_over(stack: Stack) -> None:
    alone = account_of(stack.gateway, stack.store, "alone", fallback_companies=[])
    answer = chat(stack, "apart", alone.token)
    assert (answer.status, answer.headers["x-provider"], answer.headers["x-attempts"]) == (503, "apart-1", "1")
    assert len(stack.sim.requests()) == 1


def test_a_pinned_region_is_not_left(stack: Stack) -> None:
    pinned = account_of(stack.gateway, stack.store, "pinned", region="eu")
    answer = chat(stack, "pinned", pinned.token)
    assert (answer.status, answer.headers["x-provider"], answer.headers["x-attempts"]) == (503, "pinned-1", "1")


def test_what_another_dialect_cannot_be_told_is_not_sent_there(stack: Stack) -> None:
    answer = chat(stack, "choices", n=2)
    assert (answer.status, answer.headers["x-provider"], answer.headers["x-attempts"]) == (503, "choices-1", "1")


def test_another_companys_refusal_is_not_the_callers(stack: Stack) -> None:
    answer = chat(stack, "both-refuse")
    assert (answer.status, answer.code, answer.headers["x-attempts"]) == (502, "upstream_error", "2")
    stack.uncharged()


def test_what_is_held_is_enough_for_each_and_what_answered_is_charged(stack: Stack) -> None:
    answer = chat(stack, "dear")
    assert (answer.status, answer.headers["x-provider"]) == (200, "dear-2")
    [record] = stack.account.records(1)
    assert record["charge"] == record["in_uncached"] * 1_000 + record["out_visible"] * 4_000
    assert int(answer.headers["x-credits-charged"]) == record["charge"]


def test_a_fallback_that_the_credit_does_not_pay_is_none(stack: Stack) -> None:
    poor = account_of(stack.gateway, stack.store, "poor", credits_=3)  # the first target costs at most 2
    answer = chat(stack, "poor", poor.token)
    assert (answer.status, answer.headers["x-provider"]) == (503, "poor-1")
    poor.let_go()


def test_a_fallback_gets_the_output_limit_that_the_credit_pays_there(stack: Stack) -> None:
    short = account_of(stack.gateway, stack.store, "short", credits_=3)
    answer = chat(stack, "capped", short.token, max_completion_tokens=5_000)
    assert (answer.status, answer.headers["x-provider"]) == (200, "capped-2")
    assert 500 < int(answer.headers["x-output-limit"]) < 750  # a token costs 4,000 micro-credits there
    first, second = (json.loads(one["body"]) for one in stack.sim.requests())
    assert (first["max_completion_tokens"], second["max_tokens"]) == (5_000, int(answer.headers["x-output-limit"]))


def test_a_secret_stays_home_on_each_leg(stack: Stack) -> None:
    secret = "AKIA" + "IOSFODNN7EXAMPLQ"
    answer = chat(stack, "secret", messages=[{"role": "user", "content": f'answer with the text "{secret}"'}])
    assert (answer.status, answer.headers["x-provider"]) == (200, "secret-2")
    assert answer.json()["choices"][0]["message"]["content"] == secret
    assert [secret in one["body"] for one in stack.sim.requests()] == [False, False]


EXAMPLE = Path(__file__).parents[2] / "examples" / "agent_loop.py"
CLASSES = {"openai": "OpenAIChat", "anthropic": "AnthropicChat", "google": "GoogleChat"}


@pytest.mark.parametrize("loop", LOOPS, ids=said)
def test_an_agent_goes_on_elsewhere_and_comes_back(stack: Stack, loop: tuple[str, str, str]) -> None:
    """It thinks and calls a tool at one company, has the result read by another one, and goes on at the first."""
    sdk, first, second = loop
    spec = importlib.util.spec_from_file_location("agent_loop", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    agent = sys.modules["agent_loop"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(agent)
    talk = getattr(agent, CLASSES[sdk])(stack.url, stack.token, named(loop))

    asked = talk.ask(agent.QUESTION)
    assert len(asked.calls) == 1
    switch(stack, f"{named(loop)}-1", off=True)
    read = talk.give([(call, "12") for call in asked.calls])
    assert read.text.count(MARK) == 12
    switch(stack, f"{named(loop)}-1", off=False)
    again = talk.ask(agent.QUESTION)
    assert len(again.calls) == 1

    records = stack.account.records(3)
    assert [record["provider"][-1] for record in sorted(records, key=lambda one: one["started_ms"])] == ["1", "2", "1"]
    there, elsewhere, back = (one["body"] for one in stack.sim.requests())
    assert SEALS[first] not in there
    assert SEALS[first] not in elsewhere or SEALS[second] == SEALS[first]
    assert SEALS[first] in back
    assert SEALS[second] not in back
