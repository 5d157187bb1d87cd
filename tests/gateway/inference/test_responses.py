"""What is scanned, what is held, and answers that come packed against our word."""

import gzip

import pytest

from gateway.inference.responses import Encoded, scanner_of
from providers.dialect import Head, Operation
from providers.wires import WIRES

SSE = [(b"content-type", b"text/event-stream; charset=utf-8")]
JSON = [(b"content-type", b"application/json")]
CHAT = WIRES[Operation.OPENAI_CHAT]
STREAM = (
    b'data: {"choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n'
    b'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":1,"total_tokens":6}}\n\n'
    b"data: [DONE]\n\n"
)


@pytest.mark.parametrize(
    ("status", "headers", "stream", "scanned", "flows"),
    [
        (200, SSE, True, True, True),
        (200, JSON, False, True, False),
        (200, SSE, False, True, True),
        (200, JSON, True, True, True),
        (429, SSE, True, False, False),  # Google labels errors of streaming calls as event streams
        (500, JSON, False, False, False),
        (200, [*SSE, (b"content-encoding", b"br")], True, False, True),
    ],
)
def test_scanned_and_held(status, headers, stream, scanned, flows):
    scanner, streaming = scanner_of(CHAT, Head(model="m", stream=stream), status, headers)
    assert (scanner is not None, streaming) == (scanned, flows)


def packed(*, wants_usage):
    head = Head(model="m", stream=True, wants_usage=wants_usage)
    scanner, _ = scanner_of(CHAT, head, 200, [*SSE, (b"content-encoding", b"gzip")])
    assert isinstance(scanner, Encoded)
    return scanner


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_a_packed_stream_passes_as_it_is_and_is_counted(size):
    scanner, wire = packed(wants_usage=True), gzip.compress(STREAM)
    out = b"".join(scanner.feed(wire[start : start + size]) for start in range(0, len(wire), size))
    assert out + scanner.finish() == wire
    assert scanner.ended
    assert not scanner.at_boundary  # nothing can be added to a packed stream
    assert scanner.report().usage.output_tokens == 1


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_where_the_usage_is_hidden_a_packed_stream_is_unpacked(size):
    scanner, wire = packed(wants_usage=False), gzip.compress(STREAM)
    out = b"".join(scanner.feed(wire[start : start + size]) for start in range(0, len(wire), size)) + scanner.finish()
    assert b'"hi"' in out
    assert b"prompt_tokens" not in out
    assert out.endswith(b"data: [DONE]\n\n")
    assert scanner.report().usage.output_tokens == 1


def test_what_only_claims_to_be_packed():
    scanner = packed(wants_usage=True)
    assert scanner.feed(b"not packed") == b"not packed"
    assert scanner.feed(b" at all") == b" at all"
    assert not scanner.ended
    assert packed(wants_usage=False).feed(b"not packed") == b""
