"""A request for a model of another API: what its provider gets, what is dropped by name, what is refused by name."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.conversation.conversation import Dialect
from providers.conversation.dialects import Capabilities, prepare, write_request
from providers.dialect import Refusal
from tests.providers.conversation.test_fitting import conversations, fit

TOOL = {"name": "f", "input_schema": {"type": "object"}}
ASK = {
    Dialect.CHAT: {"messages": [{"role": "user", "content": "hi"}], "seed": 1, "user": "u", "logit_bias": {"1": 2}},
    Dialect.RESPONSES: {"input": "hi", "metadata": {"a": "b"}, "text": {"verbosity": "low"}},
    Dialect.MESSAGES: {
        "messages": [{"role": "user", "content": "hi"}],
        "system": [{"type": "text", "text": "x-anthropic-billing-header: cc_version=1"}, {"type": "text", "text": "b"}],
        "max_tokens": 9,
        "top_k": 5,
        "metadata": {"user_id": "u"},
        "tools": [TOOL],
    },
    Dialect.GEMINI: {"contents": [{"parts": [{"text": "hi"}]}], "safetySettings": [], "labels": {"a": "b"}},
}


def prepared(source, target, **members):
    ask = ASK[source] | members
    names = [*ask, *(f"{name}.{inner}" for name, value in ask.items() if isinstance(value, dict) for inner in value)]
    return prepare(
        source, target, json.dumps(ask).encode(), members=names, model="theirs", capabilities=Capabilities(4_096)
    )


@pytest.mark.parametrize("target", Dialect)
@pytest.mark.parametrize("source", Dialect)
def test_every_pair(source, target):
    made = prepared(source, target)
    body = json.loads(made.body)
    assert target is Dialect.GEMINI or body["model"] == "theirs"
    assert "hi" in json.dumps(body)
    assert not {"user", "metadata", "labels", "logit_bias", "safetySettings"} & set(body)
    assert target is not Dialect.MESSAGES or body["max_tokens"] == (9 if source is Dialect.MESSAGES else 4_096)


@pytest.mark.parametrize(
    ("source", "target", "dropped"),
    [
        (Dialect.CHAT, Dialect.MESSAGES, ("logit_bias", "seed", "user")),
        (Dialect.CHAT, Dialect.GEMINI, ("logit_bias", "user")),
        (Dialect.RESPONSES, Dialect.MESSAGES, ("metadata", "text.verbosity")),
        (Dialect.MESSAGES, Dialect.CHAT, ("metadata", "metadata.user_id", "top_k")),
        (Dialect.GEMINI, Dialect.CHAT, ("labels", "safetySettings")),
    ],
)
def test_what_is_dropped_is_named(source, target, dropped):
    assert prepared(source, target).dropped == dropped


@pytest.mark.parametrize(
    ("source", "target", "members", "param"),
    [
        (Dialect.CHAT, Dialect.RESPONSES, {"stop": ["a"], "logprobs": True}, "stop"),
        (Dialect.GEMINI, Dialect.RESPONSES, {"generationConfig": {"stopSequences": ["a" * 257]}}, "generationConfig.stopSequences"),
        (Dialect.CHAT, Dialect.MESSAGES, {"n": 2}, "n"),
        (Dialect.CHAT, Dialect.GEMINI, {"n": 9}, "n"),
        (Dialect.GEMINI, Dialect.RESPONSES, {"generationConfig": {"candidateCount": 2}}, "generationConfig.candidateCount"),
    ],
)  # fmt: skip
def test_what_is_refused_is_named(source, target, members, param):
    with pytest.raises(Refusal) as caught:
        prepared(source, target, **members)
    assert (caught.value.code, caught.value.param) == ("unsupported_feature", param)


def test_the_attribution_of_a_coding_agent_is_left_out():
    assert b"billing" not in prepared(Dialect.MESSAGES, Dialect.CHAT).body
    assert json.loads(prepared(Dialect.MESSAGES, Dialect.GEMINI).body)["systemInstruction"] == {
        "parts": [{"text": "b"}]
    }


@pytest.mark.parametrize(
    ("target", "budgets", "sent"),
    [
        (Dialect.MESSAGES, False, {"type": "adaptive"}),
        (Dialect.MESSAGES, True, {"type": "enabled", "budget_tokens": 4_095}),
        (Dialect.GEMINI, False, {"includeThoughts": True, "thinkingLevel": "MEDIUM"}),
        (Dialect.GEMINI, True, {"includeThoughts": True, "thinkingBudget": 4_095}),
    ],
)
def test_an_effort_is_a_budget_for_models_that_know_none(target, budgets, sent):
    ask = json.dumps(ASK[Dialect.CHAT] | {"reasoning_effort": "medium"}).encode()
    made = prepare(Dialect.CHAT, target, ask, members=(), model="m", capabilities=Capabilities(4_096, budgets=budgets))
    body = json.loads(made.body)
    assert (body["thinking"] if target is Dialect.MESSAGES else body["generationConfig"]["thinkingConfig"]) == sent


VALUE = re.compile(rb'[:,\[]("(?:[^"\\]|\\.)*"|-?[0-9]+|true|false|null)')
OTHERS = st.sampled_from(
    [b'"x"', b"{}", b"[]", b"null", b"-1", b"1e400", b"true", b'"\\ud800"', b'"\xff"', b"", b"[{}]"]
)


@settings(max_examples=150)
@given(conversations(), st.sampled_from(Dialect), st.sampled_from(Dialect), st.data())
def test_whatever_a_request_holds_it_is_prepared_or_refused(conversation, source, target, data):
    body = write_request(source, fit(conversation, source)[0], "m", Capabilities(0))
    for _ in range(data.draw(st.integers(1, 2))):
        value = data.draw(st.sampled_from(list(VALUE.finditer(body)) or [re.match(b"", body)]))
        body = body[: value.start(value.lastindex or 0)] + data.draw(OTHERS) + body[value.end() :]
    try:
        made = prepare(source, target, body, members=(), model="m", capabilities=Capabilities(4_096))
    except Refusal as refusal:
        assert refusal.message.endswith(".")  # noqa: PT017 - and nothing else is raised
    else:
        json.loads(made.body)
