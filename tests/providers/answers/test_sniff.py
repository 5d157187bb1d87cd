from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.answers.sniff import is_stream
from providers.dialect import Head, Operation
from providers.wires import WIRES
from tests.strategies import cut_up

CHAT = WIRES[Operation.OPENAI_CHAT]
UNASKED = Head(model="m", stream=True, wants_usage=False)
CHUNK = b'data: {"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}\n\n'
BODY = json.dumps({"choices": [{"message": {"content": "a"}}], "usage": {"prompt_tokens": 7}}).encode()
SPACES = st.sampled_from([b"", b"\n", b" \t\r\n\r\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n\n", b" " * 500])


@pytest.mark.parametrize("first", [b"data: x", b"event: y", b": ping", b"id: 1", b"retry: 5", b"\r\n\xef\xbb\xbfdata:"])
def test_what_begins_a_stream(first: bytes):
    assert is_stream(first) is True


@pytest.mark.parametrize("first", [b"{", b'[{"a":1}]', b"<html>", b'"text"', b"\n {"])
def test_what_begins_a_body(first: bytes):
    assert is_stream(first) is False


@pytest.mark.parametrize("first", [b"", b"\n", b" \r\n\t", b"\xef\xbb", b"\xef\xbb\xbf"])
def test_spaces_do_not_tell(first: bytes):
    assert is_stream(first) is None


@given(st.data())
def test_spaces_before_the_answer_pass_and_change_nothing(data):
    spaces = data.draw(SPACES)
    sse = data.draw(st.booleans())
    answer = CHUNK + USAGE if sse else BODY
    whole, pieces = data.draw(cut_up(st.just(spaces + answer)))
    scanner = CHAT.scanner(UNASKED, sse=None)
    shown = []
    for piece in pieces:
        glanced = scanner.glance(b"%x\r\n%b\r\n" % (len(piece), piece), len(piece))
        shown.append(piece if glanced else scanner.feed(piece))
    assert b"".join(shown) + scanner.finish() == spaces + (CHUNK if sse else BODY)
    assert scanner.ended
    assert scanner.begun
    assert scanner.sse == sse
    assert scanner.size == len(whole)
    assert scanner.events == (2 if sse else 0)
    assert scanner.report().usage.in_uncached == 7
    assert scanner.estimated_output() > 0


def test_before_the_first_byte_nothing_is_known():
    scanner = CHAT.scanner(UNASKED, sse=None)
    assert scanner.feed(b"\n\n") == b"\n\n"
    assert scanner.finish() == b""
    assert (scanner.begun, scanner.ended, scanner.error, scanner.sse) == (False, False, None, False)
    assert (scanner.size, scanner.events, scanner.estimated_output()) == (2, 0, 0)
    assert scanner.at_boundary
    assert scanner.report().usage is None
