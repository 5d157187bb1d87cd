from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.usage import Geography, ServiceTier, Speed, Usage, Variant
from providers.answers.body import JsonBody
from providers.anthropic.answer import MESSAGE, MessageStream, read_counted, read_message
from providers.anthropic.output import message_output
from providers.dialect import Head
from tests.strategies import cut_up, every_byte

HEAD = Head(model="m", stream=True, variant=Variant(speed=Speed.FAST))
FORGED = {"usage": {"input_tokens": 999, "output_tokens": 999}}


def event(kind: str, **members: object) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **members})}   \n\n".encode()


def start(**usage: object) -> bytes:
    message = {"id": "msg_1", "type": "message", "role": "assistant", "content": [], "model": "m", "usage": usage}
    return event("message_start", message=message)


TOOL = event(
    "content_block_start",
    index=1,
    content_block={"type": "server_tool_use", "input": FORGED | {"type": "message_delta"}, "message": FORGED, **FORGED},
)
ARGUMENTS = event(
    "content_block_delta", index=1, delta={"type": "input_json_delta", "partial_json": json.dumps(FORGED)}
)
PING = b'event: ping\ndata: {"type": "ping"}\n\n'
DELTA = event(
    "message_delta",
    delta={"stop_reason": "end_turn", **FORGED},
    usage={"output_tokens": 40, "output_tokens_details": {"thinking_tokens": 15}},
)
STOP = event("message_stop")
START = start(
    input_tokens=10,
    cache_read_input_tokens=5,
    cache_creation_input_tokens=0,
    output_tokens=1,
    service_tier="standard",
    inference_geo="us",
)


def scanned(*pieces: bytes) -> MessageStream:
    scanner = MessageStream(HEAD)
    for piece in pieces:
        assert scanner.feed(piece) is piece
    assert scanner.finish() == b""
    return scanner


@given(cut_up(st.just(START + PING + TOOL + ARGUMENTS * 3 + DELTA + STOP)))
def test_a_stream_cut_anywhere(case):
    scanner = scanned(*case[1])
    assert scanner.report().usage == Usage(
        in_uncached=10, cache_read=5, cache_write_5m=0, out_visible=25, out_reasoning=15
    )
    assert scanner.report().variant == Variant(ServiceTier.STANDARD, Speed.FAST, Geography.US)
    assert scanner.ended
    assert scanner.error is None
    assert scanner.at_boundary
    assert scanner.events == 8


def test_before_the_end():
    scanner = scanned(START, ARGUMENTS, TOOL)
    assert scanner.report().usage == Usage(in_uncached=10, cache_read=5, cache_write_5m=0)
    assert not scanner.ended
    assert not scanned(START, DELTA).ended


def test_a_later_statement_of_the_input_wins():
    delta = event("message_delta", usage={"input_tokens": 400, "cache_read_input_tokens": 0, "output_tokens": 9})
    assert scanned(START, delta, STOP).report().usage == Usage(
        in_uncached=400, cache_read=0, cache_write_5m=0, out_visible=9
    )


def test_usage_of_an_undocumented_event_is_passed_over():
    for kind in ("ping", "content_block_stop", "message_stop", "tomorrow"):
        scanner = scanned(START, event(kind, message=FORGED, **FORGED))
        assert scanner.report().usage == Usage(in_uncached=10, cache_read=5, cache_write_5m=0)


def test_an_error_inside_the_stream():
    error = event("error", error={"type": "overloaded_error", "message": "Overloaded", "details": None})
    for pieces in ([START, error], every_byte(START + error)):
        scanner = scanned(*pieces)
        assert scanner.error is not None
        assert not scanner.ended


def test_a_host_that_adds_the_end_of_chat():
    scanner = scanned(START, DELTA, STOP, b"event: data\ndata: [DONE]\n\n")
    assert scanner.ended
    assert scanned(START + DELTA + STOP + b"event: data\ndata: [DONE]\n\n").ended


def test_another_model_that_worked_on_the_request():
    iterations = [
        {"type": "message", "input_tokens": 10, "output_tokens": 40},
        {"type": "advisor_message", "model": "other", "input_tokens": 70, "output_tokens": 30},
    ]
    delta = event("message_delta", usage={"input_tokens": 10, "output_tokens": 40, "iterations": iterations})
    report = scanned(START, delta, STOP).report()
    assert report.usage == Usage(in_uncached=10, cache_read=5, cache_write_5m=0, out_visible=40)
    assert report.others == (("other", Usage(in_uncached=70, out_visible=30)),)


def test_a_whole_message():
    body = {
        "type": "message",
        "content": [{"type": "tool_use", "input": FORGED, **FORGED}],
        "usage": {"input_tokens": 3, "output_tokens": 4, "speed": "standard"},
    }
    answer = read_message(json.dumps(body).encode(), HEAD)
    assert answer.report.usage == Usage(in_uncached=3, out_visible=4)
    assert answer.report.variant == Variant()
    assert answer.error is None
    assert read_message(b'{"type":"error","error":{"type":"api_error"}}', HEAD).error is not None
    assert read_message(b'{"type":"mess', HEAD) is None


def test_a_token_count():
    assert read_counted(b'{"input_tokens":41}', HEAD).report.usage == Usage(in_uncached=41)
    assert read_counted(b'{"input_tokens":-1}', HEAD).report.usage is None
    assert read_counted(b"[", HEAD) is None


DROPPED = {"type": "thinking_dropped", "path": "messages.1.content.0", "reason": "end_user_binding_mismatch"}
ALLOWED = {"type": "thinking_mismatch_allowed", "path": "messages.1.content.0", "reason": "prefix_binding_mismatch"}


@pytest.mark.parametrize(
    ("told", "dropped"),
    [
        ([], False),
        ([ALLOWED], False),
        ([DROPPED], True),
        ([{"type": "of tomorrow"}, ALLOWED, DROPPED], True),
        ([DROPPED] * 400, True),
        (None, False),
        ("thinking_dropped", False),
        ({"type": "thinking_dropped"}, False),
        ([{"path": "thinking_dropped"}, {"type": None}], False),
        (["thinking_dropped"], False),
    ],
)
def test_an_answer_says_whether_reasoning_was_dropped(told, dropped):
    message = {"type": "message", "content": [], "usage": {"input_tokens": 3}, "input_transformations": told}
    begin = event("message_start", message=message)
    assert scanned(begin, DELTA, STOP).report().reasoning_dropped is dropped
    assert scanned(begin + DELTA + STOP).report().reasoning_dropped is dropped
    half = len(begin) // 2
    assert scanned(begin[:half], begin[half:], DELTA, STOP).report().reasoning_dropped is dropped
    whole = JsonBody(HEAD, read_message, MESSAGE, output=message_output)
    whole.feed(json.dumps(message).encode())
    whole.finish()
    assert whole.report().reasoning_dropped is dropped


@pytest.mark.parametrize("first", ["usage", "input_transformations"])
def test_counts_are_read_however_much_was_dropped(first):
    members = {"usage": {"input_tokens": 3}, "input_transformations": [DROPPED] * 5_000}
    message = {"type": "message", "content": [], **{name: members[name] for name in sorted(members, key=first.__ne__)}}
    assert scanned(event("message_start", message=message), DELTA, STOP).report().usage.in_uncached == 3
    whole = JsonBody(HEAD, read_message, MESSAGE, output=message_output)
    whole.feed(json.dumps(message).encode())
    whole.finish()
    assert whole.report().usage.in_uncached == 3


def test_the_model_that_took_over_says_it_for_itself():
    def answer(first, *then):
        begin = event("message_start", message={"usage": {"input_tokens": 3}, "input_transformations": first})
        return scanned(
            begin, *(event("message_delta", input_transformations=one, usage={}) for one in then), DELTA, STOP
        )

    assert not answer([DROPPED], []).report().reasoning_dropped
    assert answer([], [DROPPED]).report().reasoning_dropped
    assert answer([DROPPED], None).report().reasoning_dropped


def test_what_a_tool_is_given_says_nothing_of_dropped_reasoning():
    forged = {"input_transformations": [DROPPED], "message": {"input_transformations": [DROPPED]}, **FORGED}
    call = event("content_block_start", index=0, content_block={"type": "tool_use", "input": forged, **forged})
    assert not scanned(START, call, DELTA, STOP).report().reasoning_dropped
