"""Amazon's framing: read whole, byte by byte and cut at random, with botocore's own decoder as the judge."""

from __future__ import annotations

import json
import struct

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.answers.sse import data_of, event_spans
from providers.dialect import Head, Operation
from providers.hosts.event_stream import CorruptFrame, Frames, Unframed, event_of
from providers.wires import WIRES
from tests.aws_frames import body, chunk, exception, frame, message
from tests.strategies import every_byte, pieces

EVENTS = message('Hëllo \\ "there" \U0001f600')
WHOLE = body(EVENTS)
OTHER = b"\x01b\x00\x01i\x04\0\0\0\7\x01x\x06\0\2ab\x01t\x08" + b"\0" * 8 + b"\x01u\x09" + b"\0" * 16


def scanner() -> Unframed:
    return Unframed(WIRES[Operation.ANTHROPIC_MESSAGES].scanner(Head(model="m", stream=True), sse=True))


def read(parts) -> tuple[bytes, Unframed]:
    made = scanner()
    shown = b"".join(made.feed(part) for part in parts)
    return shown + made.finish(), made


def events(shown: bytes) -> list:
    return [json.loads(data_of(shown[start:end])) for start, end in event_spans(shown)]


@settings(max_examples=25, deadline=None)
@given(pieces(WHOLE))
def test_the_events_do_not_depend_on_the_cut(parts):
    shown, made = read(parts)
    assert events(shown) == EVENTS
    assert shown.startswith(b"event: message_start\ndata: {")
    assert (made.begun, made.ended, made.error, made.at_boundary) == (True, True, None, True)
    usage = made.report().usage
    assert (usage.in_uncached, usage.cache_read, usage.output_tokens) == (11, 4, 7)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.dictionaries(st.text("kl:-", min_size=1, max_size=8), st.text(max_size=9)), st.binary(max_size=40)
        ),
        max_size=5,
    )
)
def test_messages_are_botocores(messages):
    data = b"".join(frame(headers, payload, more=OTHER) for headers, payload in messages)
    judge = EventStreamBuffer()
    judge.add_data(data)
    frames = Frames()
    found = [made for part in every_byte(data) for made in frames.feed(part)]
    assert found == [
        ({name: value for name, value in one.headers.items() if name in of}, one.payload)
        for one, (of, _) in zip(judge, messages, strict=True)
    ]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255))
def test_a_changed_byte_is_a_cut(position, flip):
    changed = WHOLE[:position] + bytes([WHOLE[position] ^ flip]) + WHOLE[position + 1 :]
    shown, made = read([changed])
    assert events(shown) == EVENTS[: len(events(shown))]
    assert len(events(shown)) < len(EVENTS)
    assert not made.ended
    assert made.error is None
    assert made.at_boundary


@settings(max_examples=25, deadline=None)
@given(st.integers(0, len(WHOLE) - 1))
def test_a_stream_that_is_cut_has_not_ended(position):
    shown, made = read([WHOLE[:position]])
    assert events(shown) == EVENTS[: len(events(shown))]
    assert not made.ended


@pytest.mark.parametrize("data", [
    struct.pack(">III", 12, 0, 0),
    struct.pack(">II", 1 << 30, 0) + struct.pack(">I", 0),
    frame({}, b"")[:8] + b"\0\0\0\0" + b"\0\0\0\0",
    frame({}, b"", more=b"\x05ab"),
    frame({}, b"", more=b"\x01a\x0b"),
    frame({}, b"", more=b"\x01a\x07\0\x09a"),
    b"<html>nothing of the kind</html>",
])  # fmt: skip
def test_what_is_no_event_stream(data):
    with pytest.raises(CorruptFrame):
        list(Frames().feed(data))


def test_lengths_have_bounds():
    from zlib import crc32

    for total, headers in ((15, 0), (40, 30), (16 + (129 << 10), 129 << 10), (17 + (24 << 20), 0)):
        prelude = struct.pack(">II", total, headers)
        with pytest.raises(CorruptFrame):
            list(Frames().feed(prelude + struct.pack(">I", crc32(prelude))))


@pytest.mark.parametrize(
    ("name", "kind", "status"),
    [
        ("throttlingException", "rate_limit_error", 429),
        ("internalServerException", "api_error", 500),
        ("modelStreamErrorException", "api_error", 500),
        ("modelTimeoutException", "timeout_error", 504),
        ("serviceUnavailableException", "overloaded_error", 529),
        ("validationException", "invalid_request_error", 400),
        ("somethingNewException", "api_error", 500),
    ],
)
def test_an_exception_is_the_dialects_error_event(name, kind, status):
    shown, made = read([body(EVENTS[:3]), exception(name, "It \n failed")])
    assert events(shown)[-1] == {"type": "error", "error": {"type": kind, "message": "It \n failed"}}
    assert (made.error.status, made.ended, made.begun) == (status, False, True)


def test_an_error_message():
    headers = {":message-type": "error", ":error-code": "ThrottlingException", ":error-message": "slow down"}
    shown, made = read([frame(headers, b"")])
    assert events(shown) == [{"type": "error", "error": {"type": "rate_limit_error", "message": "slow down"}}]
    assert made.error.status == 429


def test_other_messages_are_left_out_and_what_a_payload_is_not_is_a_cut():
    (unknown,) = Frames().feed(frame({":message-type": "event", ":event-type": "initial-response"}, b"{}"))
    assert event_of(unknown) == b""
    for payload in (b"{", b'{"bytes":"e30K!"}', b'{"bytes":""}'):
        headers = {":message-type": "event", ":event-type": "chunk"}
        (bad,) = Frames().feed(frame(headers, payload))
        with pytest.raises(CorruptFrame):
            event_of(bad)


def test_line_ends_in_an_event_are_no_end_of_it():
    (found,) = Frames().feed(chunk(b'{"type":\n"ping",\r\n"x":1}'))
    assert json.loads(data_of(event_of(found))) == {"type": "ping", "x": 1}
