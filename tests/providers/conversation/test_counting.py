"""Counting tokens through another API: the same conversation, only members that the API takes, and its number."""

import json
from dataclasses import replace

import pytest
from anthropic.types import MessageCountTokensParams, MessageTokensCount
from google.genai.types import CountTokensResponse
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import InputTokenCountParams, InputTokenCountResponse

from providers.conversation.conversation import Dialect, Sampling
from providers.conversation.counting import COUNTING, prepare_count, translate_count
from providers.conversation.dialects import Capabilities, read_request, write_request
from providers.dialect import Refusal
from tests.providers.conversation.test_fitting import conversations, fit, told

COUNTED = list(COUNTING.values())
GEMINI = {"contents", "systemInstruction", "tools", "toolConfig", "generationConfig", "model"}
ALLOWED = {
    Dialect.RESPONSES: set(InputTokenCountParams.__annotations__),
    Dialect.MESSAGES: set(MessageCountTokensParams.__annotations__),
    Dialect.GEMINI: {"generateContentRequest"},
}
ASK = {
    Dialect.RESPONSES: {"model": "m", "instructions": "Be brief.", "input": "hi"},
    Dialect.MESSAGES: {"model": "m", "system": "Be brief.", "messages": [{"role": "user", "content": "hi"}]},
    Dialect.GEMINI: {
        "generateContentRequest": {
            "model": "models/m",
            "systemInstruction": {"parts": [{"text": "Be brief."}]},
            "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
        }
    },
}
ANSWERS = {
    Dialect.RESPONSES: {"object": "response.input_tokens", "input_tokens": 7},
    Dialect.MESSAGES: {"input_tokens": 7},
    Dialect.GEMINI: {"totalTokens": 7},
}
TYPES = {
    Dialect.RESPONSES: InputTokenCountResponse,
    Dialect.MESSAGES: MessageTokensCount,
    Dialect.GEMINI: CountTokensResponse,
}


def prepared(source, target, body, **more):
    return prepare_count(source, target, body, members=(), model="theirs", capabilities=Capabilities(8_192), **more)


@pytest.mark.parametrize("target", COUNTED)
@pytest.mark.parametrize("source", COUNTED)
@settings(max_examples=15)
@given(conversations())
def test_what_is_counted_is_the_conversation(source, target, conversation):
    body = write_request(source, fit(replace(conversation, sampling=Sampling()), source)[0], "m", Capabilities(0))
    made = json.loads(prepared(source, target, body).body)
    assert set(made) <= ALLOWED[target]
    inner = made.get("generateContentRequest", made)
    assert target is not Dialect.GEMINI or set(inner) <= GEMINI
    assert inner["model"].removeprefix("models/") == "theirs"
    expected, _ = fit(replace(read_request(source, body), sampling=Sampling(), stream=False), target)
    found = read_request(target, json.dumps(inner, separators=(",", ":"), ensure_ascii=False).encode())
    assert told(replace(found, sampling=expected.sampling)) == told(expected)


@pytest.mark.parametrize("target", COUNTED)
def test_what_the_count_does_not_depend_on_is_left_out_and_refuses_nothing(target):
    ask = ASK[Dialect.GEMINI]["generateContentRequest"] | {"generationConfig": {"stopSequences": ["a"], "topK": 1}}
    made = prepared(Dialect.GEMINI, target, json.dumps({"generateContentRequest": ask}).encode())
    assert made.dropped == ()
    assert b"stop" not in made.body


@pytest.mark.parametrize("target", COUNTED)
@pytest.mark.parametrize("source", COUNTED)
def test_the_number_comes_back(source, target):
    made = json.loads(prepared(source, target, json.dumps(ASK[source]).encode()).body)
    assert "Be brief." in json.dumps(made)
    answer = json.dumps(ANSWERS[target] | {"more": [1]}).encode()
    back = translate_count(source, target, answer)
    assert json.loads(back) == ANSWERS[source]
    TYPES[source].model_validate_json(back)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"totalTokens":"x"}', b'{"totalTokens":-1}', b"\xff", b"[" * 9_999]
)
def test_an_answer_without_a_count_is_none(body):
    assert translate_count(Dialect.MESSAGES, Dialect.GEMINI, body) is None


@given(
    st.binary(max_size=40) | st.sampled_from([b'{"generateContentRequest":%b}' % one for one in (b"1", b"null", b"[]")])
)
def test_any_other_body_is_refused(body):
    try:
        made = prepared(Dialect.GEMINI, Dialect.MESSAGES, body)
    except Refusal as refusal:
        assert refusal.code == "invalid_request"  # noqa: PT017
    else:
        json.loads(made.body)
