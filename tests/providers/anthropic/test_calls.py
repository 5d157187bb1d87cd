"""The calls of a message that ended before its provider stated them."""

import json

import pytest

from metering.usage import Usage
from providers.anthropic.calls import MessageCalls
from providers.dialect import Head, Operation
from providers.wires import WIRES

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
        calls.note(index, found)
        calls.note(index, found)
    assert (calls.add_to(None) or Usage()) == Usage(searches=searches, fetches=fetches)


def stream(*events, tools=("anthropic_web_search",)):
    scanner = WIRES[Operation.ANTHROPIC_MESSAGES].scanner(
        Head(model="m", stream=True, server_tools=frozenset(tools)), sse=True
    )
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
    assert stream(START, begun(1), TEXT, begun(3), TEXT, begun(5)) == Usage(in_uncached=300, searches=3)


def test_a_result_too_large_to_keep_counts_too():
    large = [{"type": "web_search_result", "encrypted_content": "E" * 400_000}]
    assert stream(START, begun(1, content=large), TEXT).searches == 1


def test_what_the_provider_states_goes_first():
    stated = final(server_tool_use={"web_search_requests": 1})
    assert stream(START, begun(1), begun(3), TEXT, stated).searches == 1
    assert stream(START, begun(1), TEXT, final()).searches is None
    assert stream(START, begun(1), TEXT, stated, begun(3), begun(5), TEXT).searches == 3
