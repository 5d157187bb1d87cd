"""What is scanned, what is held, and answers that come in a coding although none was asked for."""

import gzip

import pytest

from gateway.inference.encoded import Encoded
from gateway.inference.responses import watch_of
from providers.dialect import Head, Operation
from providers.masking.masking import Vault
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
        (200, [*SSE, (b"content-encoding", b"br")], True, True, True),
    ],
)
def test_scanned_and_held(status, headers, stream, scanned, flows):
    watch = watch_of(CHAT, Head(model="m", stream=stream), status, headers)
    assert (watch.scanner is not None, watch.flows) == (scanned, flows)


@pytest.mark.parametrize(
    "headers",
    [
        [*SSE, (b"content-encoding", b"br")],
        [*SSE, (b"content-encoding", b"gzip, br")],
        [(b"content-type", b"application/x-protobuf")],
        [(b"content-type", b"application/octet-stream")],
        [(b"content-type", b"audio/mpeg")],
    ],
)
def test_what_nobody_here_can_read(headers):
    scanner = watch_of(CHAT, Head(model="m", stream=True), 200, headers).scanner
    assert scanner.feed(b"bytes") == b"bytes"
    assert not scanner.readable
    assert (scanner.begun, scanner.ended) == (True, False)
    assert scanner.finish() == b""
    assert scanner.ended  # HTTP's end is the only one that it has
    assert scanner.report().usage is None


@pytest.mark.parametrize("kind", [b"application/octet-stream", b"binary/octet-stream", b"application/stream"])
def test_what_is_labelled_as_any_bytes_is_read_by_its_first_one(kind):
    headers = [(b"content-type", kind)]
    stream = watch_of(CHAT, Head(model="m", stream=True), 200, headers).scanner
    assert stream.feed(STREAM) == STREAM
    assert (stream.readable, stream.ended, stream.report().usage.output_tokens) == (True, True, 1)
    for asked in (True, False):
        error = watch_of(CHAT, Head(model="m", stream=asked), 200, headers).scanner
        error.feed(b' {"error": {"message": "m", "code": 429}}')
        error.finish()
        assert (error.readable, error.begun, error.error.status) == (True, False, 429)


@pytest.mark.parametrize("kind", [b"text/event-stream", b"text/plain", b"text/plain; charset=utf-8", None])
def test_a_stream_that_was_asked_for_is_read_as_one_whatever_its_label(kind):
    watch = watch_of(
        CHAT, Head(model="m", stream=True, wants_usage=False), 200, [(b"content-type", kind)] if kind else []
    )
    shown = (
        b"".join(watch.scanner.feed(STREAM[at : at + 9]) for at in range(0, len(STREAM), 9)) + watch.scanner.finish()
    )
    assert (watch.sse, watch.changes, watch.scanner.ended) == (True, True, True)
    assert b"prompt_tokens" not in shown
    assert watch.scanner.report().usage.output_tokens == 1


@pytest.mark.parametrize(
    ("vault", "stream", "changes"), [(None, False, False), (None, True, True), (True, False, True)]
)
def test_a_body_that_may_change_has_no_length_of_its_own(vault, stream, changes):
    head = Head(model="m", stream=stream, wants_usage=False)
    assert watch_of(CHAT, head, 200, SSE if stream else JSON, Vault(str.upper) if vault else None).changes is changes


def packed(*, wants_usage):
    head = Head(model="m", stream=True, wants_usage=wants_usage)
    scanner = watch_of(CHAT, head, 200, [*SSE, (b"content-encoding", b"gzip")]).scanner
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
