from __future__ import annotations

import pytest

from metering.usage import Usage
from providers.answers.body import JsonBody
from providers.anthropic.answer import MessageStream
from providers.dialect import Head, Operation, Scanner
from providers.gemini.answer import GenerateArray, GenerateStream
from providers.openai.answer import ChatStream, ResponsesStream
from providers.wires import WIRES

HEAD = Head(model="m", stream=True)


@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        (Operation.OPENAI_CHAT, ChatStream),
        (Operation.OPENAI_COMPLETIONS, ChatStream),
        (Operation.OPENAI_RESPONSES, ResponsesStream),
        (Operation.OPENAI_COMPACT, ResponsesStream),
        (Operation.ANTHROPIC_MESSAGES, MessageStream),
        (Operation.GEMINI_STREAM, GenerateStream),
    ],
)
def test_streams(operation, kind):
    assert type(WIRES[operation].scanner(HEAD, sse=True)) is kind


def test_a_stream_of_google_without_events_is_an_array():
    assert type(WIRES[Operation.GEMINI_STREAM].scanner(HEAD, sse=False)) is GenerateArray


@pytest.mark.parametrize(
    ("operation", "body", "usage"),
    [
        (Operation.OPENAI_CHAT, b'{"usage":{"prompt_tokens":7}}', Usage(in_uncached=7)),
        (Operation.OPENAI_COMPLETIONS, b'{"usage":{"prompt_tokens":7}}', Usage(in_uncached=7)),
        (
            Operation.OPENAI_EMBEDDINGS,
            b'{"usage":{"prompt_tokens":7,"total_tokens":7}}',
            Usage(in_uncached=7, out_visible=0),
        ),
        (Operation.OPENAI_RESPONSES, b'{"usage":{"input_tokens":7}}', Usage(in_uncached=7)),
        (Operation.OPENAI_COMPACT, b'{"usage":{"input_tokens":7}}', Usage(in_uncached=7)),
        (Operation.OPENAI_INPUT_TOKENS, b'{"input_tokens":7}', Usage(in_uncached=7)),
        (Operation.ANTHROPIC_MESSAGES, b'{"usage":{"input_tokens":7}}', Usage(in_uncached=7)),
        (Operation.ANTHROPIC_COUNT_TOKENS, b'{"input_tokens":7}', Usage(in_uncached=7)),
        (Operation.GEMINI_GENERATE, b'{"usageMetadata":{"promptTokenCount":7}}', Usage(in_uncached=7)),
        (
            Operation.GEMINI_EMBED,
            b'{"usageMetadata":{"promptTokenCount":7}}',
            Usage(in_uncached=7, out_visible=0),
        ),
        (
            Operation.GEMINI_BATCH_EMBED,
            b'{"usageMetadata":{"promptTokenCount":7}}',
            Usage(in_uncached=7, out_visible=0),
        ),
        (Operation.GEMINI_COUNT_TOKENS, b'{"totalTokens":7}', Usage(in_uncached=7)),
    ],
)
def test_bodies(operation, body, usage):
    scanner = WIRES[operation].scanner(HEAD, sse=False)
    assert type(scanner) is JsonBody
    scanner.feed(body)
    assert scanner.report().usage == usage


@pytest.mark.parametrize("operation", list(Operation))
@pytest.mark.parametrize("sse", [True, False])
def test_every_operation_has_a_scanner_that_starts_empty(operation, sse):
    scanner: Scanner = WIRES[operation].scanner(HEAD, sse=sse)
    assert not scanner.ended
    assert scanner.error is None
    assert scanner.at_boundary
    assert scanner.report().usage is None
    assert scanner.finish() == b""
    assert (scanner.size, scanner.events) == (0, 0)
