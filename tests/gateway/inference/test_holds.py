"""What a request may cost, and the output limit that an amount of credit pays: a table of requests and models."""

import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.principal import Mode, Principal
from gateway.catalog.catalog import load
from gateway.config.load import read
from gateway.errors import InvalidRequest
from gateway.inference.admission import admit, read_head
from gateway.inference.holds import LEAST_REASONING, MOST_CALLS, UNKNOWN_OUTPUT, USUAL_OUTPUT
from metering.learning import Learning
from providers.dialect import Family, Operation
from providers.steps import at_once
from providers.wires import WIRES

STATEMENT = {"api_keys": ["k"], "retention_days": 0, "training": False, "region": "global"}
CHEAP, DEAR = {"input": 1, "output": 4}, {"input": 2, "output": 40, "searches": 10_000}
TOOLS = ["openai_web_search", "anthropic_web_search"]
TOKEN = 100  # micro-credits of a token at one USD a million


def admitted(body, operation=Operation.OPENAI_CHAT, *, targets=(CHEAP,), billing=None, kind="openai", **model):
    providers = {f"p{number}": {"kind": kind, "company": "c", **STATEMENT} for number in range(len(targets))}
    served = [{"provider": f"p{number}", "model": "m", "price": price} for number, price in enumerate(targets)]
    config = read(
        {
            "providers": providers,
            "models": [{"name": "m", "targets": served, **model}],
            "policy": {"server_tools": TOOLS},
            "billing": billing or {},
        },
        Path("gateway.toml"),
        {},
    )
    return admit(
        WIRES[operation],
        at_once(
            read_head(
                WIRES[operation],
                json.dumps(body).encode(),
                "m" if operation.family is Family.GOOGLE else None,
                config.policy,
            )
        ),
        (),
        catalog=load(config),
        config=config,
        principal=Principal("s", "p", "default", Mode.CLOUD, 2**53),
        learning=Learning(),
    )


def chat(**members):
    return {"model": "m", "messages": [{"role": "user", "content": "hi"}], **members}


def test_the_usual_amount_is_held_for_the_most_expensive_target_that_may_answer():
    one, two = admitted(chat(max_tokens=100)), admitted(chat(max_tokens=100), targets=(CHEAP, DEAR))
    assert one.amount == one.worst == TOKEN * (one.input_bound + 4 * 100)
    assert two.amount == two.worst == TOKEN * (2 * two.input_bound + 40 * 100)
    assert admitted(chat(max_tokens=100), targets=(DEAR, CHEAP)).amount == two.amount


@pytest.mark.parametrize(
    ("body", "model", "longest"),
    [
        (chat(max_tokens=9_000), {}, 9_000),
        (chat(max_tokens=9_000), {"max_output": 5_000}, 5_000),
        (chat(max_tokens=9_000), {"context_window": 5_000}, 9_000),
        (chat(), {"max_output": 5_000, "context_window": 400_000}, 5_000),
        (chat(), {"context_window": 400_000}, 400_000),
        (chat(), {}, UNKNOWN_OUTPUT),
        (chat(max_tokens=0), {}, 0),
    ],
)
def test_the_longest_answer_is_the_requests_limit_or_the_models(body, model, longest):
    found = admitted(body, **model)
    assert found.most_output == longest
    assert found.worst == TOKEN * (found.input_bound + 4 * longest)
    assert found.amount == TOKEN * (found.input_bound + 4 * min(longest, USUAL_OUTPUT))


@pytest.mark.parametrize("more", [{"n": 10**9}, {"n": 2**31 - 1, "max_tokens": 2**31 - 1}])
def test_what_no_ledger_can_hold_is_refused_and_is_no_outage(more):
    with pytest.raises(InvalidRequest):
        admitted(chat(**more))
    assert admitted(chat(n=128)).head.choices == 128


def test_every_choice_counts():
    found = admitted(chat(max_tokens=100, n=5))
    assert found.worst == TOKEN * (found.input_bound + 4 * 100 * 5)
    body = {"model": "m", "prompt": ["a", "b"], "max_tokens": 100, "n": 2, "best_of": 3}
    found = admitted(body, Operation.OPENAI_COMPLETIONS)
    assert found.worst == TOKEN * (found.input_bound + 4 * 100 * 2 * 3)


@pytest.mark.parametrize(
    ("more", "calls"),
    [
        ({}, MOST_CALLS),
        ({"max_tool_calls": 3}, 3),
        ({"max_tool_calls": 0}, 0),
        ({"max_tool_calls": 2**31 - 1}, 2**31 - 1),
    ],
)
def test_a_tool_of_the_provider_may_be_called_as_often_as_the_request_allows(more, calls):
    body = {"model": "m", "input": "a", "max_output_tokens": 100, "tools": [{"type": "web_search"}], **more}
    found = admitted(body, Operation.OPENAI_RESPONSES, targets=(DEAR,))
    assert found.worst == TOKEN * (2 * found.input_bound + 40 * 100) + calls * 1_000_000


@pytest.mark.parametrize(("uses", "calls"), [([None], MOST_CALLS), ([2], 2), ([2, 3], 5), ([2, None], MOST_CALLS)])
def test_uses_of_anthropics_tools_are_counted_if_each_states_them(uses, calls):
    tools = [
        {"type": "web_search_20250305", "name": "web_search"} | ({} if use is None else {"max_uses": use})
        for use in uses
    ]
    body = {"model": "m", "max_tokens": 100, "messages": [], "tools": [*tools, {"name": "f", "input_schema": {}}]}
    found = admitted(body, Operation.ANTHROPIC_MESSAGES, targets=(DEAR,), kind="anthropic")
    assert found.worst == TOKEN * (2 * found.input_bound + 40 * 100) + calls * 1_000_000


def test_a_cheaper_tier_may_fall_back_to_the_standard_one_and_a_faster_one_costs_more():
    price = {**CHEAP, "variants": {"flex": Decimal("0.5"), "priority": 2}}
    standard = admitted(chat(max_tokens=100), targets=(price,))
    flex = admitted(chat(max_tokens=100, service_tier="flex"), targets=(price,))
    priority = admitted(chat(max_tokens=100, service_tier="priority"), targets=(price,))
    assert flex.worst == pytest.approx(standard.worst, rel=0.05)  # the body has the tier's name more
    assert flex.amount == pytest.approx(standard.amount / 2, rel=0.05)
    assert priority.worst == priority.amount == pytest.approx(2 * standard.worst, rel=0.05)


def test_media_are_in_the_worst_case_only_if_the_request_has_or_asks_for_them():
    price = {**CHEAP, "audio_in": 40, "audio_out": 80}
    text = admitted(chat(max_tokens=100), targets=(price,))
    spoken = admitted(chat(max_tokens=100, modalities=["text", "audio"]), targets=(price,))
    assert text.worst == TOKEN * (text.input_bound + 4 * 100)
    assert spoken.worst == TOKEN * (spoken.input_bound + 80 * 100)


@pytest.mark.parametrize(
    ("part", "rate"),
    [
        ({"type": "text", "text": "a"}, 2),
        ({"type": "image_url", "image_url": {"url": "https://a.test/a.png"}}, 5),
        ({"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0xLjQK"}}, 5),
        ({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}, 40),
    ],
)
def test_an_image_is_not_billed_as_sound(part, rate):
    prices = {"input": 2, "output": 4, "image_in": 5, "audio_in": 40}
    found = admitted(chat(max_tokens=100, messages=[{"role": "user", "content": [part]}]), targets=(prices,))
    assert found.worst == TOKEN * (rate * found.input_bound + 4 * 100)


def test_each_text_to_embed_and_each_prompt_has_the_window_to_itself():
    text = "word " * 3_000
    for operation, body, most in (
        (Operation.OPENAI_EMBEDDINGS, {"model": "m", "input": [text] * 20}, 20 * 4_500),
        (Operation.OPENAI_COMPLETIONS, {"model": "m", "prompt": [text] * 4}, 4 * 4_000),
        (Operation.OPENAI_CHAT, chat(messages=[{"role": "user", "content": text * 20}]), 4_000),
    ):
        found = admitted(body, operation, context_window=4_000)
        assert 0.6 * most < found.input_bound <= 1.1 * most


def test_compaction_takes_no_limit_and_answers_with_no_more_than_it_reads():
    found = admitted({"model": "m", "input": "word " * 100}, Operation.OPENAI_COMPACT, max_output=128_000)
    assert found.most_output == found.input_bound + USUAL_OUTPUT
    assert found.least == found.worst


def test_what_nobody_bills_costs_nothing():
    found = admitted({"model": "m", "input": "a"}, Operation.OPENAI_INPUT_TOKENS)
    assert (found.amount, found.worst, found.least) == (0, 0, 0)


def test_the_strict_choices():
    strict = admitted(chat(), billing={"hold": "worst"}, max_output=10_000)
    assert strict.amount == strict.worst
    assert strict.least < strict.worst
    assert admitted(chat(), billing={"short": "refuse"}).least == admitted(chat()).worst


@pytest.mark.parametrize(
    ("body", "operation", "model", "least"),
    [
        (chat(), Operation.OPENAI_CHAT, {}, 16),
        (chat(max_tokens=5), Operation.OPENAI_CHAT, {}, 5),
        (chat(), Operation.OPENAI_CHAT, {"reasoning": True}, LEAST_REASONING),
        (chat(max_tokens=100), Operation.OPENAI_CHAT, {"reasoning": True}, 100),
        (chat(reasoning_effort="none"), Operation.OPENAI_CHAT, {"reasoning": True}, 16),
    ],
)
def test_the_least_is_an_answer_of_some_use(body, operation, model, least):
    found = admitted(body, operation, **model)
    assert found.least == TOKEN * (found.input_bound + 4 * least)


@pytest.mark.parametrize(
    ("body", "operation", "model", "limit"),
    [
        (chat(max_tokens=90_000), Operation.OPENAI_CHAT, {}, 50_000),
        (chat(max_tokens=90_000), Operation.OPENAI_CHAT, {"max_output": 100_000, "context_window": 9_000}, 50_000),
        (chat(), Operation.OPENAI_CHAT, {"max_output": 100_000}, 50_000),
        (chat(), Operation.OPENAI_CHAT, {"max_output": 1_000}, 1_000),
        (chat(), Operation.OPENAI_CHAT, {}, USUAL_OUTPUT),  # a limit that is not known to be too high
        (chat(), Operation.OPENAI_CHAT, {"max_output": 100_000, "context_window": 9_000}, 9_000),
        ({"model": "m", "prompt": "a"}, Operation.OPENAI_COMPLETIONS, {}, 16),  # what the API does without a limit
        ({"model": "m", "prompt": "a", "max_tokens": 90_000}, Operation.OPENAI_COMPLETIONS, {}, 50_000),
    ],
)
def test_the_limit_to_send_is_what_the_credit_pays_and_the_model_takes(body, operation, model, limit):
    found = admitted(body, operation, **model)
    room = found.input_bound if limit == 9_000 else 0
    assert found.limit(found.costs.worst(50_000)) == limit - room


@given(
    prices=st.lists(st.tuples(st.integers(0, 100), st.integers(1, 100)), min_size=1, max_size=3),
    choices=st.integers(1, 8),
    amount=st.integers(0, 10**9),
)
def test_one_token_more_would_cost_more(prices, choices, amount):
    targets = tuple({"input": i, "output": o} for i, o in prices)
    found = admitted(chat(max_tokens=100_000, n=choices), targets=targets)
    if amount >= found.least:
        limit = found.limit(amount)
        assert found.costs.worst(limit) <= amount
        assert limit == 100_000 or found.costs.worst(limit + 1) > amount
