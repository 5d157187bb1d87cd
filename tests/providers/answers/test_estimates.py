from __future__ import annotations

import json

import pytest

from providers.answers.body import BODY_LIMIT
from providers.dialect import Head, Operation
from providers.wires import WIRES

HEAD = Head(model="m", stream=True)


def cut_stream(operation: Operation, event: dict, events: int):
    scanner = WIRES[operation].scanner(HEAD, sse=True)
    for _ in range(events):
        scanner.feed(f"data: {json.dumps(event)}\n\n".encode())
    return scanner


CONTENT = {
    Operation.OPENAI_CHAT: {"choices": [{"delta": {"content": "word"}, "finish_reason": None}], "id": "x" * 200},
    Operation.OPENAI_COMPLETIONS: {"choices": [{"text": "word", "finish_reason": None}], "id": "x" * 200},
    Operation.OPENAI_RESPONSES: {"type": "response.output_text.delta", "delta": "word", "item_id": "x" * 200},
    Operation.ANTHROPIC_MESSAGES: {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"text": "four or five words of text"},
    },
    Operation.GEMINI_STREAM: {"candidates": [{"content": {"parts": [{"text": "word " * 100}]}}]},
}


@pytest.mark.parametrize("operation", CONTENT)
def test_an_estimate_grows_with_the_stream_and_starts_at_nothing(operation):
    estimates = [cut_stream(operation, CONTENT[operation], events).estimated_output() for events in (0, 10, 100, 1000)]
    assert estimates[0] == 0
    assert estimates == sorted(set(estimates))
    assert all(type(estimate) is int for estimate in estimates)


def test_a_body_that_was_cut():
    scanner = WIRES[Operation.OPENAI_CHAT].scanner(HEAD, sse=False)
    scanner.feed(b'{"choices":[{"message":{"content":"' + b"x" * 1600)
    assert scanner.estimated_output() == 102
    scanner.feed(b"x" * 10_000_000)
    assert scanner.estimated_output() == BODY_LIMIT


@pytest.mark.parametrize(
    "operation", [Operation.OPENAI_EMBEDDINGS, Operation.GEMINI_BATCH_EMBED, Operation.ANTHROPIC_COUNT_TOKENS]
)
def test_vectors_and_counts_are_no_output(operation):
    scanner = WIRES[operation].scanner(HEAD, sse=False)
    scanner.feed(b'{"data":[' + b"0.1," * 1000)
    assert scanner.estimated_output() == 0


WORDS = {"choices": [{"index": 0, "delta": {"content": "some words here "}, "finish_reason": None}]}
STOP = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
USAGE = {"prompt_tokens": 50, "completion_tokens": 30, "total_tokens": 80}
SAID = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "some words here "}}
FAILED = {"status": "failed", "error": {"code": "e"}, "usage": {"input_tokens": 50, "output_tokens": 30}}
TEXT = {"type": "response.output_text.delta", "delta": "some words here "}
ERROR = {"error": {"message": "x", "code": 500}}
CHAT, MESSAGES = Operation.OPENAI_CHAT, Operation.ANTHROPIC_MESSAGES


@pytest.mark.parametrize(
    ("operation", "events", "final"),
    [
        (CHAT, [*[WORDS] * 20, STOP, {"choices": [], "usage": USAGE}, ERROR], True),
        (CHAT, [*[WORDS] * 20, WORDS | {"usage": USAGE}, ERROR], False),  # so far
        (CHAT, [*[WORDS] * 20, STOP, ERROR], False),
        (Operation.OPENAI_RESPONSES, [*[TEXT] * 20, {"type": "response.failed", "response": FAILED}], True),
        (Operation.OPENAI_RESPONSES, [TEXT] * 20, False),
        (MESSAGES, [*[SAID] * 20, {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 30}}], True),
        (MESSAGES, [*[SAID] * 20, {"type": "message_delta", "delta": {"stop_reason": None}, "usage": {"output_tokens": 30}}], False),
        (MESSAGES, [*[SAID] * 20, {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}], False),
    ],
)  # fmt: skip
def test_what_is_stated_of_the_whole_answer_stands_also_where_it_ends_badly(operation, events, final):
    scanner = WIRES[operation].scanner(HEAD, sse=True)
    for event in events:
        scanner.feed(f"event: {event.get('type', 'message')}\ndata: {json.dumps(event)}\n\n".encode())
    assert scanner.estimated_output() == 30 if final else scanner.estimated_output() > 60
