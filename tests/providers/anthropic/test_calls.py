"""The calls of a message that ended before its provider stated them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.usage import Usage
from providers.anthropic.calls import MessageCalls
from providers.dialect import Head, Operation
from providers.wires import WIRES
from tests.strategies import pieces

RESULTS = [{"type": "web_search_result", "url": "u"}]


def block(kind="web_search_tool_result", content=RESULTS):
    return {"type": kind, "tool_use_id": "t", "content": content}


@pytest.mark.parametrize(
    ("blocks", "searches", "fetches"),
    [
        ([block(), block()], 2, None),
        ([block(content={"type": "web_search_tool_result_error", "error_code": "max_uses_exceeded"})], None, None),
        ([block(content=[])], 1, None),
        ([block("web_fetch_tool_result", {"type": "web_fetch_result"})], None, 1),
        ([block("web_fetch_tool_result", {"type": "web_fetch_tool_result_error"})], None, None),
        ([block("code_execution_tool_result"), {"type": "server_tool_use", "name": "web_search"}, 5, None], None, None),
    ],
)
def test_blocks_with_results_are_calls(blocks, searches, fetches):
    calls = MessageCalls()
    for index, found in enumerate(blocks):
        calls.note(index, found, 100)
        calls.note(index, found, 100)
    assert (calls.add_to(None) or Usage()) == Usage(searches=searches, fetches=fetches)


SEARCHING = Head(model="m", stream=True, server_tools=frozenset({"anthropic_web_search"}))


def stream(*events):
    scanner = WIRES[Operation.ANTHROPIC_MESSAGES].scanner(SEARCHING, sse=True)
    for event in events:
        scanner.feed(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
    return scanner.report().usage


START = {"type": "message_start", "message": {"type": "message", "usage": {"input_tokens": 300, "output_tokens": 1}}}
TEXT = {"type": "content_block_delta", "index": 9, "delta": {"type": "text_delta", "text": "word " * 30}}


def begun(index, **more):
    return {"type": "content_block_start", "index": index, "content_block": block(**more)}


def final(**more):
    return {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9, **more}}


def test_an_aborted_stream_counts_its_searches():
    usage = stream(START, begun(1), TEXT, begun(3), TEXT, begun(5))
    assert (usage.searches, usage.fetches, usage.out_visible) == (3, None, None)


def found(size, results=2):
    """A search with so many tokens: a result has 150, and a byte about a quarter of one."""
    encrypted = "E" * ((size - 150 * results) * 1_000 // 255 // results)
    return [{"type": "web_search_result", "encrypted_content": encrypted}] * results


CACHED = {
    "type": "message",
    "usage": {"input_tokens": 3, "cache_read_input_tokens": 700, "cache_creation_input_tokens": 297},
}
HOUR = {**CACHED["usage"], "cache_creation": {"ephemeral_1h_input_tokens": 297}}


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        # After each result everything is read again.
        ([begun(1, content=found(2_000))], {"in_uncached": 300 + 2_300}),
        ([begun(1, content=found(2_000)), TEXT, begun(4, content=found(1_000))], {"in_uncached": 300 + 2_300 + 3_300}),
        # Results that come together are read once.
        ([begun(1, content=found(2_000)), begun(2, content=found(1_000))], {"in_uncached": 300 + 3_300}),
        # A call that failed is read, too; the search of a tool is none of the model's own.
        ([begun(1, content={"type": "web_search_tool_result_error", "error_code": "unavailable"})], {"in_uncached": 650}),
        ([begun(1, kind="tool_search_tool_result", content={"type": "x"})], {"in_uncached": 300}),
        # What was stated is not estimated.
        ([begun(1, content=found(2_000)), final(input_tokens=2_222)], {"in_uncached": 2_222}),
        ([begun(1, content=found(2_000)), final(input_tokens=2_222), begun(4, content=found(1_000))], {"in_uncached": 5_444}),
    ],
)  # fmt: skip
def test_what_the_model_read_of_results_is_input(events, expected):
    usage = stream(START, *events, TEXT)
    for name, tokens in expected.items():
        assert getattr(usage, name) == pytest.approx(tokens, abs=4, rel=0.03)
    assert (usage.cache_read, usage.cache_write_5m, usage.cache_write_1h) in {(None, None, None), (0, None, None)}


def test_of_a_cached_prompt_it_is_read_from_the_cache_and_written_to_it():
    searched = [begun(1, content=found(2_000)), TEXT, begun(4, content=found(1_000)), TEXT]
    usage = stream({"type": "message_start", "message": CACHED}, *searched)
    assert usage.in_uncached == 3
    assert usage.cache_read == pytest.approx(700 + 1_000 + 3_000, abs=8)
    assert usage.cache_write_5m == pytest.approx(297 + 3_000, abs=8)
    usage = stream({"type": "message_start", "message": {**CACHED, "usage": HOUR}}, *searched)
    assert usage.cache_write_1h == pytest.approx(297 + 3_000, abs=8)
    assert not usage.cache_write_5m


def test_a_document_in_a_result_counts_by_its_pages():
    source = {"type": "base64", "media_type": "application/pdf", "data": "J" * 100_000}
    document = {"type": "web_fetch_result", "content": {"type": "document", "source": source}}
    usage = stream(START, begun(1, kind="web_fetch_tool_result", content=document), TEXT)
    assert 2_000 < usage.in_uncached < 5_000
    assert usage.fetches == 1


@given(st.data())
def test_the_estimate_does_not_depend_on_the_cut(data):
    events = [START, begun(1, content=found(2_000)), TEXT, begun(3, content=found(900)), TEXT]
    body = b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events)
    scanner = WIRES[Operation.ANTHROPIC_MESSAGES].scanner(SEARCHING, sse=True)
    for piece in data.draw(pieces(body)):
        scanner.feed(piece)
        scanner.report()
    assert scanner.report().usage == stream(*events)


def test_a_result_too_large_to_keep_counts_too():
    large = [{"type": "web_search_result", "encrypted_content": "E" * 400_000}]
    usage = stream(START, begun(1, content=large), TEXT)
    assert usage.searches == 1
    assert usage.in_uncached > 100_000


def test_what_the_provider_states_goes_first():
    stated = final(server_tool_use={"web_search_requests": 1})
    assert stream(START, begun(1), begun(3), TEXT, stated).searches == 1
    assert stream(START, begun(1), TEXT, final()).searches is None
    assert stream(START, begun(1), TEXT, stated, begun(3), begun(5), TEXT).searches == 3
