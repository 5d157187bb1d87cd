"""Lowering the output limit, for every wire: what the API obeys is lowered, and every other byte is as it was sent."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from providers.dialect import Family, Operation, Target
from providers.steps import at_once
from providers.wires import WIRES

LIMITED = (
    Operation.OPENAI_CHAT,
    Operation.OPENAI_RESPONSES,
    Operation.OPENAI_COMPLETIONS,
    Operation.OPENAI_FILL_IN,
    Operation.ANTHROPIC_MESSAGES,
    Operation.GEMINI_GENERATE,
    Operation.GEMINI_STREAM,
)


def path_model(operation):
    return "m" if operation.family is Family.GOOGLE else None


def sent(operation, body, tokens=None, **target):
    """The bytes for a host at which nothing else of these bodies has to change."""
    wire = WIRES[operation]
    target = {"store": False, "include_usage": False} | target
    named = Target("m", output_limit=tokens, strip_unknown=False, **target)
    return at_once(wire.splice(body, at_once(wire.read(body, path_model(operation))), named))


@pytest.mark.parametrize(
    ("operation", "body", "lowered"),
    [
        (Operation.OPENAI_CHAT, '{"model":"m", "max_tokens" : 900}', '{"model":"m", "max_tokens" : 300}'),
        (
            Operation.OPENAI_CHAT,
            '{"model":"m","max_completion_tokens":900}',
            '{"model":"m","max_completion_tokens":300}',
        ),
        (
            Operation.OPENAI_CHAT,
            '{"model":"m","max_tokens":100,"max_completion_tokens":900}',
            '{"model":"m","max_tokens":100,"max_completion_tokens":300}',
        ),
        (Operation.OPENAI_CHAT, '{"model":"m"}', '{"max_completion_tokens":300,"model":"m"}'),
        (
            Operation.OPENAI_CHAT,
            '{"model":"m","max_completion_tokens":null}',
            '{"model":"m","max_completion_tokens":300}',
        ),
        (Operation.OPENAI_CHAT, '{"model":"m","max_tokens":-1}', '{"model":"m","max_tokens":300}'),
        (Operation.OPENAI_RESPONSES, '{"model":"m","max_output_tokens":900}', '{"model":"m","max_output_tokens":300}'),
        (Operation.OPENAI_RESPONSES, '{"model":"m"}', '{"max_output_tokens":300,"model":"m"}'),
        (Operation.OPENAI_COMPLETIONS, '{"model":"m","max_tokens":900}', '{"model":"m","max_tokens":300}'),
        (Operation.OPENAI_COMPLETIONS, '{"model":"m"}', '{"max_tokens":16,"model":"m"}'),
        (Operation.ANTHROPIC_MESSAGES, '{"model":"m","max_tokens":900}', '{"model":"m","max_tokens":300}'),
        (Operation.ANTHROPIC_MESSAGES, '{"model":"m"}', '{"model":"m"}'),
        (Operation.GEMINI_GENERATE, "{}", '{"generationConfig":{"maxOutputTokens":300}}'),
        (Operation.GEMINI_GENERATE, '{"generation_config": null}', '{"generation_config": {"maxOutputTokens":300}}'),
        (
            Operation.GEMINI_STREAM,
            '{"generation_config":{"temperature":0, "max_output_tokens": "900"}}',
            '{"generation_config":{"temperature":0, "max_output_tokens": 300}}',
        ),
        (
            Operation.GEMINI_STREAM,
            '{"generationConfig":{"temperature":0}}',
            '{"generationConfig":{"maxOutputTokens":300,"temperature":0}}',
        ),
    ],
)
def test_the_member_that_the_api_obeys_is_lowered(operation, body, lowered):
    assert sent(operation, body.encode(), 300) == lowered.encode()


def test_a_compatible_host_is_told_by_the_older_name():
    body = b'{"model":"m"}'
    assert sent(Operation.OPENAI_CHAT, body, 300, completion_limit=False) == b'{"max_tokens":300,"model":"m"}'


@pytest.mark.parametrize(
    ("limit", "budget", "tokens", "lowered"),
    [
        (32_000, 16_000, 8_000, 4_000),  # the same share of the limit
        (32_000, 31_999, 8_000, 7_999),
        (32_000, 1_024, 8_000, 1_024),
        (32_000, 4_000, 1_280, 1_024),  # the least that the API takes
        (8_000, 30_000, 4_000, 30_000),  # interleaved thinking: of a whole turn
    ],
)
def test_a_thinking_budget_of_anthropic_stays_below_the_limit(limit, budget, tokens, lowered):
    body = {"model": "m", "max_tokens": limit, "thinking": {"type": "enabled", "budget_tokens": budget}}
    found = json.loads(sent(Operation.ANTHROPIC_MESSAGES, json.dumps(body).encode(), tokens))
    assert (found["max_tokens"], found["thinking"]["budget_tokens"]) == (tokens, lowered)


@pytest.mark.parametrize(
    ("body", "least"),
    [
        ({"max_tokens": 9_000, "thinking": {"type": "enabled", "budget_tokens": 2_000}}, 1_280),
        ({"max_tokens": 9_000, "thinking": {"type": "enabled", "budget_tokens": 9_000}}, 16),
        ({"max_tokens": 9_000, "thinking": {"type": "adaptive"}}, 16),
        ({"max_tokens": 9_000, "thinking": None}, 16),
        ({"max_tokens": 9_000}, 16),
    ],
)
def test_a_request_that_thinks_needs_room_for_the_least_budget(body, least):
    head = at_once(WIRES[Operation.ANTHROPIC_MESSAGES].read(json.dumps({"model": "m"} | body).encode(), None))
    assert head.least_output == least


@pytest.mark.parametrize(
    ("budget", "tokens", "lowered"),
    [(8_192, 2_000, 1_000), (8_192, 600, 512), (400, 300, 400), (1_000, 2_000, 1_000), (-1, 300, -1), (0, 300, 0)],
)
@pytest.mark.parametrize(
    ("config", "name"), [("thinkingConfig", "thinkingBudget"), ("thinking_config", "thinking_budget")]
)
def test_a_thinking_budget_of_gemini_leaves_room_for_an_answer(budget, tokens, lowered, config, name):
    body = json.dumps({"generationConfig": {"maxOutputTokens": 9_000, config: {name: budget}}}).encode()
    found = json.loads(sent(Operation.GEMINI_GENERATE, body, tokens))["generationConfig"]
    assert (found["maxOutputTokens"], found[config][name]) == (tokens, lowered)


def test_an_operation_that_takes_no_limit_says_so_and_is_left_alone():
    for operation in set(Operation) - set(LIMITED):
        body = b'{"model":"m","input":"a"}' if operation.family is not Family.GOOGLE else b'{"generationConfig":{}}'
        assert at_once(WIRES[operation].read(body, path_model(operation))).least_output is None
        assert sent(operation, body, 300) == sent(operation, body)


LIMIT = st.one_of(st.none(), st.integers(0, 10**7), st.floats(0, 10**7), st.integers(0, 10**7).map(str), st.just(-5))
NAMES = ("max_tokens", "max_completion_tokens", "max_output_tokens", "maxOutputTokens")
MEMBERS = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(NAMES[:3], LIMIT)
    | {
        "thinking": st.builds(
            lambda kind, budget: {"type": kind, "budget_tokens": budget},
            st.sampled_from(["enabled", "adaptive"]),
            st.integers(0, 10**6),
        ),
        "generationConfig": st.none()
        | st.fixed_dictionaries(
            {},
            optional={
                "maxOutputTokens": LIMIT,
                "topK": st.integers(1, 9),
                "thinkingConfig": st.fixed_dictionaries({}, optional={"thinkingBudget": st.integers(-1, 10**5)}),
            },
        ),
        "temperature": st.floats(0, 1),
        "messages": st.lists(st.fixed_dictionaries({"content": st.text(max_size=5)}), max_size=2),
    },
)


@example(
    operation=Operation.OPENAI_CHAT, members={"max_tokens": -5, "max_completion_tokens": 0}, indent=None, tokens=16
)
@example(
    operation=Operation.OPENAI_CHAT, members={"max_tokens": 1.5, "max_completion_tokens": 0}, indent=None, tokens=16
)
@given(
    operation=st.sampled_from(LIMITED), members=MEMBERS, indent=st.none() | st.just(1), tokens=st.integers(16, 10**6)
)
def test_whatever_a_request_states_it_asks_for_no_more_and_all_else_stays(operation, members, indent, tokens):
    wire = WIRES[operation]
    stated = {} if operation.family is Family.GOOGLE else {"model": "m"}
    body = json.dumps(stated | members, indent=indent, ensure_ascii=False).encode()
    head = at_once(wire.read(body, path_model(operation)))
    tokens = max(tokens, head.least_output)

    lowered = sent(operation, body, tokens)
    again = at_once(wire.read(lowered, path_model(operation)))

    if members.get("max_tokens") is None and operation is Operation.ANTHROPIC_MESSAGES:
        assert again.output_limit is None  # which the API rejects
    elif head.output_limit is None:
        assert again.output_limit == min(tokens, head.unstated_output or tokens)
    else:
        assert again.output_limit == min(tokens, head.output_limit)
    assert sent(operation, lowered, tokens) == lowered
    before, after = json.loads(body), json.loads(lowered)
    assert without_limits(after) == without_limits(before)
    if operation is Operation.ANTHROPIC_MESSAGES:
        budget, limit = (before.get("thinking") or {}).get("budget_tokens"), head.output_limit
        if budget is not None and limit is not None and 1_024 <= budget < limit:
            assert 1_024 <= after["thinking"]["budget_tokens"] < again.output_limit
    for name, span in head.members.items():
        if name not in {*NAMES, "generationConfig", "thinking"}:
            assert lowered[slice(*again.members[name])] == body[slice(*span)]


def without_limits(value):
    if not isinstance(value, dict):
        return value
    kept = {name: without_limits(item) for name, item in value.items() if name not in {*NAMES, "thinkingBudget"}}
    kept.pop("budget_tokens", None)
    return {name: item for name, item in kept.items() if name != "generationConfig" or item}
