from __future__ import annotations

import json

import pytest

from providers.dialect import Head, Operation
from providers.partial import BODY_LIMIT, estimated_output, partial_output
from providers.scanner import scanner_for

HEAD = Head(model="m", stream=True)


def cut_stream(operation: Operation, event: dict, events: int):
    scanner = scanner_for(operation, HEAD, sse=True)
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
    estimates = [partial_output(cut_stream(operation, CONTENT[operation], events)) for events in (0, 10, 100, 1000)]
    assert estimates[0] == 0
    assert estimates == sorted(set(estimates))
    assert all(type(estimate) is int for estimate in estimates)


def test_what_the_provider_stated_goes_first():
    scanner = cut_stream(
        Operation.OPENAI_CHAT, {"choices": [{}], "usage": {"prompt_tokens": 1, "completion_tokens": 3}}, 50
    )
    assert partial_output(scanner) == 3
    assert estimated_output(scanner) == 50
    counted = {"candidates": [{}], "usageMetadata": {"candidatesTokenCount": 2, "thoughtsTokenCount": 5}}
    assert partial_output(cut_stream(Operation.GEMINI_STREAM, counted, 50)) == 7


def test_a_placeholder_counts_only_if_it_is_larger():
    start = {"type": "message_start", "message": {"usage": {"input_tokens": 5, "output_tokens": 8}}}
    scanner = cut_stream(Operation.ANTHROPIC_MESSAGES, start, 1)
    assert partial_output(scanner) == 8
    for _ in range(100):
        scanner.feed(f"data: {json.dumps(CONTENT[Operation.ANTHROPIC_MESSAGES])}\n\n".encode())
    estimate = partial_output(scanner)
    assert estimate > 100
    scanner.feed(b'data: {"type":"message_delta","usage":{"output_tokens":60}}\n\n')
    assert partial_output(scanner) == 60


def test_a_body_that_was_cut():
    scanner = scanner_for(Operation.OPENAI_CHAT, HEAD, sse=False)
    scanner.feed(b'{"choices":[{"message":{"content":"' + b"x" * 1600)
    assert partial_output(scanner) == 102
    scanner.feed(b"x" * 10_000_000)
    assert partial_output(scanner) == BODY_LIMIT


@pytest.mark.parametrize(
    "operation", [Operation.OPENAI_EMBEDDINGS, Operation.GEMINI_BATCH_EMBED, Operation.ANTHROPIC_COUNT_TOKENS]
)
def test_vectors_and_counts_are_no_output(operation):
    scanner = scanner_for(operation, HEAD, sse=False)
    scanner.feed(b'{"data":[' + b"0.1," * 1000)
    assert partial_output(scanner) == 0
