"""Two estimates of a request's input: what always holds between them, and the cases that were wrong by hundreds."""

import base64
import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.inference.estimate import of_input, reasoning
from metering.learning import LEAST_FACTOR, MOST_FACTOR
from providers.dialect import Operation
from providers.measures import Detail, Kind, Medium, TextWeight, Weight
from providers.steps import at_once
from providers.tools.catalog import TOOLS_BY_ID
from providers.wires import WIRES

MODELS = st.sampled_from(
    ("gpt-3.5-turbo", "gpt-4o", "gpt-4o-mini", "gpt-5", "gpt-5.6-sol", "o3", "claude-sonnet-4-5", "claude-opus-4-8",
     "gemini-2.0-flash", "gemini-2.5-pro", "gemini-3-pro", "mistral-large", "x")
)  # fmt: skip
SMALL = st.integers(0, 100_000)
TEXTS = st.builds(TextWeight, SMALL, st.integers(0, 10**8), SMALL, SMALL, SMALL, SMALL, SMALL)
MEDIA = st.lists(
    st.builds(
        Medium,
        st.sampled_from(Kind),
        st.integers(0, 30_000_000),
        st.integers(0, 9_000),
        st.integers(0, 9_000),
        st.integers(0, 300),
        st.integers(0, 900),
        st.integers(0, 10**7),
        st.sampled_from(Detail),
    ),
    max_size=4,
).map(tuple)
WEIGHTS = st.builds(
    Weight, TEXTS, TEXTS, TEXTS, TEXTS, st.integers(0, 500), st.booleans(), st.integers(0, 500), st.integers(0, 200),
    SMALL, st.booleans(), SMALL, SMALL, MEDIA,
)  # fmt: skip


@given(
    WEIGHTS,
    st.sampled_from(Operation),
    st.lists(MODELS, min_size=1, max_size=3),
    st.none() | st.integers(LEAST_FACTOR, MOST_FACTOR),
    st.integers(0, 1_000),
    st.none() | st.integers(1, 10**6),
)
def test_what_is_expected_is_never_above_the_bound(weight, operation, models, factor, share, window):
    found = of_input(weight, operation, models, factor=factor, cached_share=share, window=window)
    assert found.expected.uncached >= 0
    assert found.expected.cached >= 0
    assert found.expected.tokens <= found.bound
    assert found.expected.audio >= 0
    assert 0 <= found.expected.video <= found.expected.uncached - found.expected.audio
    assert window is None or found.bound <= window
    cold = of_input(weight, operation, models, factor=factor, window=window)
    assert cold.expected.tokens == found.expected.tokens
    assert found.bound >= of_input(weight, operation, models[:1], factor=factor, window=window).expected.tokens


@given(WEIGHTS, st.sampled_from(Operation), MODELS, st.sampled_from(("turns", "calls", "tokens", "rest", "signed")))
def test_more_is_never_less(weight, operation, model, more):
    numbers = {name: getattr(weight, name) for name in weight.__struct_fields__}
    heavier = Weight(**numbers | {more: numbers[more] + 1 + numbers[more] // 3})
    before, after = (of_input(one, operation, [model]) for one in (weight, heavier))
    assert after.bound >= before.bound
    assert after.expected.tokens >= before.expected.tokens


def estimate(operation, body, *models):
    text = json.dumps(body if operation.value.startswith("gemini") else body | {"model": "m"}).encode()
    return of_input(at_once(WIRES[operation].read(text, "m")).weight, operation, models)


NOISE = base64.b64encode(random.Random(3).randbytes(1_500_000)).decode()


@pytest.mark.parametrize(
    ("operation", "body", "model", "most"),
    [
        (
            Operation.OPENAI_CHAT,
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64," + NOISE}}]}]},
            "gpt-4o",
            1_700,
        ),
        (
            Operation.OPENAI_RESPONSES,
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "data:image/png;base64," + NOISE}]}]},
            "gpt-5",
            1_500,
        ),
        (
            Operation.ANTHROPIC_MESSAGES,
            {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": NOISE}}]}]},
            "claude-sonnet-4-5",
            1_800,
        ),
        (
            Operation.GEMINI_STREAM,
            {"contents": [{"parts": [{"inlineData": {"mimeType": "image/png", "data": NOISE}}]}]},
            "gemini-2.5-pro",
            4_600,
        ),
    ],
)  # fmt: skip
def test_a_screenshot_is_not_two_megabytes_of_text(operation, body, model, most):
    found = estimate(operation, body, model)
    assert 250 <= found.expected.tokens <= found.bound <= most
    assert found.text == 0  # teaches nothing about text


def test_three_minutes_of_audio_are_some_six_thousand_tokens():
    body = {"contents": [{"parts": [{"inlineData": {"mimeType": "audio/wav", "data": "A" * 8_000_000}}]}]}
    assert 5_000 <= estimate(Operation.GEMINI_STREAM, body, "gemini-2.5-pro").expected.tokens <= 15_000


def test_audio_and_video_are_told_apart_for_their_price():
    media = (Medium(Kind.AUDIO, 1_000, milliseconds=60_000), Medium(Kind.VIDEO, 1_000, milliseconds=60_000))
    found = of_input(Weight(turns=1, media=media), Operation.GEMINI_GENERATE, ["gemini-2.5-flash"]).expected
    plain = of_input(Weight(turns=1), Operation.GEMINI_GENERATE, ["gemini-2.5-flash"]).expected
    assert found.audio > 0
    assert found.video > 0
    assert found.tokens == plain.tokens + found.audio + found.video
    assert (plain.audio, plain.video) == (0, 0)


def test_the_bound_is_that_of_the_target_with_most_tokens():
    body = {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a/b"}}]}]}
    one, other = (estimate(Operation.OPENAI_CHAT, body, name) for name in ("gpt-4o", "gpt-4o-mini"))
    both = estimate(Operation.OPENAI_CHAT, body, "gpt-4o", "gpt-4o-mini")
    assert both.bound == other.bound > one.bound
    assert both.expected == one.expected


def test_letters_that_no_language_writes_are_bounded():
    body = {"messages": [{"role": "user", "content": "".join(random.Random(1).choices("qxzvkjwpy", k=20_000))}]}
    assert estimate(Operation.OPENAI_CHAT, body, "gpt-4o").bound >= 9_000  # o200k has 0.42 tokens a letter here


def test_the_cached_share_is_taken_out_of_what_is_expected():
    body = {"messages": [{"role": "user", "content": "some words " * 500}]}
    weight = at_once(WIRES[Operation.OPENAI_CHAT].read(json.dumps(body | {"model": "m"}).encode(), None)).weight
    found = of_input(weight, Operation.OPENAI_CHAT, ["gpt-4o"], cached_share=900)
    assert found.expected.cached == found.expected.tokens * 9 // 10


@pytest.mark.parametrize(
    ("waited", "speed", "tokens"), [(0, None, 0), (300, 50, 0), (10_300, None, 600), (10_300, 126, 1_260), (100, 9, 0)]
)
def test_reasoning_is_time_by_speed(waited, speed, tokens):
    assert reasoning(waited, speed) == tokens


@pytest.mark.parametrize(
    ("operation", "body", "thinks"),
    [
        (Operation.OPENAI_CHAT, {}, True),
        (Operation.OPENAI_CHAT, {"reasoning_effort": "minimal"}, False),
        (Operation.OPENAI_RESPONSES, {"reasoning": {"effort": "high"}}, True),
        (Operation.OPENAI_RESPONSES, {"reasoning": {"effort": "none"}}, False),
        (Operation.ANTHROPIC_MESSAGES, {}, False),
        (Operation.ANTHROPIC_MESSAGES, {"thinking": {"type": "disabled"}}, False),
        (Operation.ANTHROPIC_MESSAGES, {"thinking": {"type": "enabled", "budget_tokens": 9}}, True),
        (Operation.ANTHROPIC_MESSAGES, {"thinking": {"type": "adaptive"}}, True),
    ],
)
def test_reasoning_that_is_asked_for_is_known(operation, body, thinks):
    text = json.dumps(body | {"model": "m", "messages": []}).encode()
    assert at_once(WIRES[operation].read(text, None)).weight.thinks is thinks


def test_tools_at_the_provider_read_more_than_the_request():
    weight = Weight(turns=1)
    plain = of_input(weight, Operation.ANTHROPIC_MESSAGES, ["claude-sonnet-4-5"])
    tools = of_input(weight, Operation.ANTHROPIC_MESSAGES, ["claude-sonnet-4-5"], tools=TOOLS_BY_ID)
    assert tools.bound >= plain.bound + 20_000
    assert tools.expected == plain.expected
