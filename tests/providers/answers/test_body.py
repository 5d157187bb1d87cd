from __future__ import annotations

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.usage import Usage
from providers.answers.body import KEEP_LIMIT, JsonBody
from providers.answers.sse import BOM
from providers.dialect import Head
from providers.document.projection import JsonProjection
from providers.openai.answer import CHAT, read_chat
from providers.openai.output import chat_output
from tests.strategies import cut_up

USAGE = {"prompt_tokens": 7, "completion_tokens": 3}
COUNTED = Usage(in_uncached=7, out_visible=3)


def body(text: str = "é", **more: object) -> bytes:
    message = {"content": text, "function_call": {"arguments": {"usage": {"prompt_tokens": 99}}}}
    return json.dumps({"choices": [{"message": message, "finish_reason": "stop"}], "usage": USAGE, **more}).encode()


def scanner() -> JsonBody:
    return JsonBody(Head(model="m"), read_chat, CHAT, output=chat_output)


@given(cut_up(st.sampled_from([body(), body() + b"\n", b"\n " + body(), BOM + body(), body(logprobs=[float("nan")])])))
def test_a_body_cut_anywhere(case):
    whole, pieces = case
    found = scanner()
    for piece in pieces:
        assert found.feed(piece) is piece
    assert found.finish() == b""
    assert found.ended
    assert found.error is None
    assert not found.at_boundary
    assert found.report().usage == COUNTED
    assert found.size == len(whole)


@pytest.mark.parametrize(
    ("text", "least", "most"), [("", 0, 0), ("Hello.", 1, 4), ("The quick brown fox jumps over it. " * 40, 250, 450)]
)
def test_output_is_estimated_by_the_texts_of_a_body(text, least, most):
    found = scanner()
    found.feed(body(text, system_fingerprint="x" * 2_000))
    assert found.ended
    assert least <= found.estimated_output() <= most


@pytest.mark.parametrize("step", [1000, 65_536, 10**9])
def test_counts_at_the_end_of_a_huge_body(step):
    whole = body("QUJD" * (KEEP_LIMIT // 2))
    found = scanner()
    for start in range(0, len(whole), step):
        assert not found.ended
        found.feed(whole[start : start + step])
    assert found.ended
    assert found.report().usage == COUNTED


def test_memory_of_a_huge_body_is_bounded():
    found = scanner()
    found.feed(b'{"data":[')
    piece = b"0.12345678," * 1500
    tracemalloc.start()
    try:
        for _ in range(KEEP_LIMIT // len(piece) * 20):
            found.feed(bytes(bytearray(piece)))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < KEEP_LIMIT
    found.feed(b'0],"usage":{"prompt_tokens":7}}')
    assert found.report().usage == Usage(in_uncached=7)


def test_what_was_stated_before_a_cut_counts():
    whole = json.dumps({"usage": USAGE, "choices": [{"message": {"content": "cut off here"}}]}).encode()
    found = scanner()
    found.feed(whole[:-10])
    assert not found.ended
    assert found.report().usage == COUNTED


def test_half_an_object_states_nothing():
    found = scanner()
    found.feed(b'{"usage":{"prompt_tokens":7,"completion_tok')
    assert found.report().usage is None


def test_an_error_with_a_good_status():
    found = scanner()
    found.feed(b'{"error":{"message":"x"}}')
    assert found.error is not None


@pytest.mark.parametrize("whole", [b"", b"<html>", b"[]", b"null", b'"x"'])
def test_what_is_no_object_states_nothing(whole):
    found = scanner()
    found.feed(whole)
    assert found.report().usage is None
    assert found.error is None


def test_nothing_is_read_twice(monkeypatch):
    found = scanner()
    reads = []
    found._read = lambda whole, head: reads.append(whole) or read_chat(whole, head)
    found.feed(body())
    for _ in range(3):
        assert found.ended
        assert found.report().usage == COUNTED
    assert len(reads) == 1


def test_a_body_that_is_asked_about_at_every_byte_is_looked_at_once(monkeypatch):
    fed = []
    original = JsonProjection.feed
    monkeypatch.setattr(JsonProjection, "feed", lambda self, data: fed.append(len(data)) or original(self, data))
    whole = body("QUJD" * 5000)
    found = scanner()
    for index in range(len(whole)):
        assert not found.ended
        found.feed(whole[index : index + 1])
        assert found.begun == found.begun
    assert found.ended
    assert found.report().usage == COUNTED
    assert sum(fed) <= len(whole)
