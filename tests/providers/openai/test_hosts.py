"""What hosts that speak OpenAI's format do differently, and what a chat stream's end is among them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.usage import Usage
from providers.answers.events import CARRY_LIMIT
from providers.dialect import Head, Operation, Scanner
from providers.wires import WIRES
from tests.providers.answers.endings import choice, data, delta, named
from tests.strategies import cut_up, every_byte

ASKED = Head(model="m", stream=True)
NOT_ASKED = Head(model="m", stream=True, wants_usage=False)
USAGE = {"prompt_tokens": 1000, "completion_tokens": 50, "total_tokens": 1050}
COUNTED = Usage(in_uncached=1000, out_visible=50)
DONE = data("[DONE]")
STOP = data(choice(delta={}, finish_reason="stop"))
WORDS = data(delta(content="words"))


def scanned(*events: bytes, head: Head = ASKED) -> Scanner:
    scanner = WIRES[Operation.OPENAI_CHAT].scanner(head, sse=True)
    for event in events:
        if not scanner.glance(b"%x\r\n%b\r\n" % (len(event), event), len(event)):
            scanner.feed(event)
    scanner.finish()
    return scanner


def whole(body: Any) -> Scanner:
    scanner = WIRES[Operation.OPENAI_CHAT].scanner(Head(model="m"), sse=False)
    scanner.feed(json.dumps(body).encode())
    return scanner


@pytest.mark.parametrize(
    "last",
    [
        choice(delta={}, finish_reason="stop", usage=USAGE),  # Kimi
        choice(delta={}, finish_reason="stop") | {"x_groq": {"id": "r", "usage": USAGE | {"queue_time": 0.2}}},  # Groq
        choice(delta={"content": ""}, finish_reason="stop") | {"usage": USAGE},  # xAI, DeepSeek, Mistral
        {"choices": [], "usage": USAGE},
        choice(delta={}, finish_reason="stop", usage={"prompt_tokens": 1}) | {"usage": USAGE},
        choice(delta={}, finish_reason="stop", usage=USAGE) | {"usage": None, "x_groq": {"usage": None}},
    ],
)
def test_where_usage_stands(last: dict):
    scanner = scanned(WORDS, data(last), DONE)
    assert scanner.report().usage == COUNTED
    assert not scanner.report().unpriced
    assert scanner.ended


@pytest.mark.parametrize(
    "place",
    [
        lambda usage: {"delta": {"usage": usage}},
        lambda usage: {"delta": {"tool_calls": [{"function": {"arguments": json.dumps({"usage": usage})}}]}},
        lambda usage: {"logprobs": {"usage": usage}},
        lambda usage: {"message": {"usage": usage}},
    ],
)
def test_usage_inside_what_the_model_wrote_is_content(place):
    for body in (choice(**place(USAGE)), {"choices": [{}, {"usage": USAGE}]}, {"choices": [], "x": {"usage": USAGE}}):
        assert scanned(WORDS, data(body)).report().usage is None


def test_models_that_groq_lists_have_prices_of_their_own():
    one = {"model": "m", "usage": USAGE}
    for models, unpriced in ([], False), ([one], False), ([one, one], True):
        breakdown = {"usage_breakdown": {"models": models}}
        scanner = scanned(
            WORDS, data(choice(delta={}, finish_reason="stop") | {"x_groq": {"usage": USAGE, **breakdown}})
        )
        assert (scanner.report().usage, scanner.report().unpriced) == (COUNTED, unpriced)
        body = {"choices": [{"message": {"content": "x"}}], "usage": USAGE, **breakdown}
        assert whole(body).report().unpriced == unpriced


@pytest.mark.parametrize(("tier", "unpriced"), [("default", False), ("", False), (None, False), ("ultrafast", True)])
def test_a_tier_that_nobody_knows_is_unpriced(tier, unpriced):
    assert scanned(WORDS, data({"choices": [], "service_tier": tier, "usage": USAGE})).report().unpriced == unpriced
    body = {"choices": [{"message": {"content": "x"}}], "usage": USAGE, "service_tier": tier}
    assert whole(body).report().unpriced == unpriced


# -- the end ------------------------------------------------------------------------------------


def test_a_terminator_ends_an_answer_of_a_host_that_gives_no_reason():
    assert scanned(WORDS, data({"choices": [], "usage": USAGE}), DONE).ended  # Snowflake Cortex
    assert not scanned(WORDS, data({"choices": [], "usage": USAGE})).ended
    assert not scanned(data(delta(role="assistant", content="")), DONE).ended


def test_a_reason_ends_an_answer_of_a_host_without_a_terminator():
    assert scanned(WORDS, STOP).ended  # Perplexity
    for reason in ("", "null", None, "error"):
        assert not scanned(WORDS, data(choice(delta={}, finish_reason=reason))).ended


def test_an_empty_chunk_after_the_reason_takes_nothing_back_and_words_do():
    for empty in (
        choice(delta={"role": "assistant", "content": ""}, finish_reason=None) | {"usage": USAGE},  # OpenRouter
        {"choices": [], "usage": USAGE},
    ):
        assert scanned(WORDS, STOP, data(empty)).ended
    assert not scanned(WORDS, STOP, data(delta(content="more") | {"usage": USAGE})).ended
    assert scanned(WORDS, STOP, WORDS, STOP).ended


@given(st.data())
def test_of_several_choices_each_must_end(draws):
    choices = draws.draw(st.integers(2, 4))
    head = Head(model="m", stream=True, choices=choices)
    ended = draws.draw(st.lists(st.integers(0, choices - 1), unique=True))
    events = [
        data({"choices": [{"index": index, "delta": {"content": "words"}, "finish_reason": None}]})
        for index in range(choices)
    ]
    events += [data({"choices": [{"index": index, "delta": {}, "finish_reason": "stop"}]}) for index in ended]
    _, pieces = draws.draw(cut_up(st.just(b"".join(events))))
    assert scanned(*pieces, head=head).ended == (len(ended) == choices)
    assert scanned(*pieces, DONE, head=head).ended


def test_all_choices_of_a_chunk_are_looked_at():
    both = [{"index": index, "delta": {}, "finish_reason": "stop"} for index in range(2)]
    assert scanned(WORDS, data({"choices": both}), head=Head(model="m", stream=True, choices=2)).ended


# -- the usage chunk ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "chunk",
    [
        {"choices": [], "usage": USAGE},
        {"choices": None, "usage": USAGE},
        {"usage": USAGE},
        {"id": "c", "object": "chat.completion.chunk", "usage": USAGE, "x": [1]},
        {"choices": [], "x_groq": {"usage": USAGE}},
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_usage_chunk_is_hidden_whatever_its_choices_are(chunk: dict, end: str):
    hidden = data(chunk, end)
    before, after = data(delta(content="a"), end), data("[DONE]", end)
    for pieces in ([before, hidden, after], [before + hidden + after], every_byte(before + hidden + after)):
        scanner = WIRES[Operation.OPENAI_CHAT].scanner(NOT_ASKED, sse=True)
        shown = []
        for piece in pieces:
            glanced = scanner.glance(b"%x\r\n%b\r\n" % (len(piece), piece), len(piece))
            shown.append(piece if glanced else scanner.feed(piece))
        assert b"".join(shown) + scanner.finish() == before + after
        assert scanner.report().usage == COUNTED
        assert scanner.ended


@pytest.mark.parametrize(
    "chunk",
    [
        choice(delta={}, finish_reason="stop") | {"usage": USAGE},
        {"choices": [], "prompt_filter_results": [], "usage": None, "x_tokens": 3},
        {"choices": [], "usage": USAGE, "error": {"message": "m"}},
    ],
)
def test_what_says_more_than_usage_passes(chunk: dict):
    scanner = WIRES[Operation.OPENAI_CHAT].scanner(NOT_ASKED, sse=True)
    assert scanner.feed(data(chunk)) == data(chunk)


# -- errors in other places ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"object": "error", "message": "m", "type": "BadRequestError", "code": 400}, 400),  # vLLM, Mistral
        ({"code": "InvalidApiKey", "message": "m", "request_id": "r"}, 502),  # DashScope
        ({"code": "Throttling", "message": "m"}, 429),
        ({"detail": "m"}, 502),  # FastAPI
        ({"success": False, "errors": [{"code": 1, "message": "m"}], "result": None}, 502),  # Cloudflare
        ({"id": "x", "choices": None, "base_resp": {"status_code": 1008, "status_msg": "m"}}, 502),  # MiniMax
        ({"error": {"message": "m", "code": 402}, "user_id": "u"}, 402),  # OpenRouter
        ({"choices": [{"error": {"message": "m", "code": 502}, "finish_reason": "error"}]}, 502),
        ({"x_groq": {"error": "m"}, "choices": []}, 502),
        ({"error": "m"}, 502),  # Ollama
    ],
)
def test_errors_with_a_good_status(body: dict, status: int):
    for scanner in (whole(body), scanned(data(body)), scanned(WORDS, data(body))):
        assert scanner.error.status == status
        assert not scanner.ended
        message = json.loads(scanner.error.body)["error"]["message"]
        assert message in {"m", ""}
    assert not whole(body).begun


@pytest.mark.parametrize("error", [None, "", {}, [], False, 0])
def test_an_empty_error_is_none(error):
    body = {"choices": [{"message": {"content": "x"}}], "error": error, "base_resp": {"status_code": 0}}
    assert whole(body).error is None
    assert whole(body).ended
    assert scanned(WORDS, data(choice(delta={}, finish_reason="stop") | {"error": error})).ended


def test_an_error_is_not_hidden_by_the_end_that_follows():
    error = data({"error": {"message": "m", "code": 503}})
    for events in (
        [WORDS, error, DONE],
        [WORDS, error, STOP, DONE],
        [WORDS, error, WORDS, STOP],
        [WORDS, error, STOP + DONE],
        [WORDS, error + STOP, DONE],
        [error, WORDS, STOP, DONE],
    ):
        scanner = scanned(*events)
        assert scanner.error.status == 503
        assert not scanner.ended


# -- events that are too large to keep ----------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "event", "begun", "status"),
    [
        (Operation.OPENAI_CHAT, data(delta(images=["QUJD" * CARRY_LIMIT])), True, None),
        (Operation.OPENAI_CHAT, data({"error": {"message": "m", "code": 429}, "x": "x" * CARRY_LIMIT}), False, 429),
        (Operation.OPENAI_RESPONSES, named("response.created", response={"instructions": "x" * CARRY_LIMIT}), False, None),
        (Operation.OPENAI_RESPONSES, named("response.image_generation_call.partial_image", b64="x" * CARRY_LIMIT), True, None),
        (Operation.OPENAI_RESPONSES, named("response.failed", response={"error": {"code": "server_error"}, "x": "x" * CARRY_LIMIT}), False, 500),
        (Operation.ANTHROPIC_MESSAGES, named("message_start", message={"content": [], "x": "x" * CARRY_LIMIT}), False, None),
        (Operation.ANTHROPIC_MESSAGES, named("content_block_delta", delta={"partial_json": "x" * CARRY_LIMIT}), True, None),
        (Operation.ANTHROPIC_MESSAGES, named("error", error={"type": "api_error", "x": "x" * CARRY_LIMIT}), False, 500),
    ],
)  # fmt: skip
def test_a_large_event_is_output_unless_it_opens_or_fails(operation, event, begun, status):
    for step in (len(event), 9999):
        scanner = WIRES[operation].scanner(ASKED, sse=True)
        for start in range(0, len(event), step):
            scanner.feed(event[start : start + step])
        assert scanner.begun == begun
        assert (scanner.error.status if scanner.error is not None else None) == status


def test_the_first_error_that_says_what_it_means_counts():
    vague, clear = (
        named("error", code="unknown-error", message="m"),
        named("error", code="rate_limit_exceeded", message="m"),
    )
    for events, status in (([vague, clear], 429), ([clear, vague], 429), ([vague, vague], 502), ([vague + clear], 429)):
        scanner = WIRES[Operation.OPENAI_RESPONSES].scanner(ASKED, sse=True)
        for event in events:
            scanner.feed(event)
        assert scanner.error.status == status
