"""Which items of a response are billed, and how often."""

import json

import msgspec
import pytest

from metering.usage import Usage
from providers.dialect import Head, Operation
from providers.openai.calls import ResponseCalls
from providers.wires import WIRES


def raw(value):
    return msgspec.Raw(json.dumps(value).encode())


def called(*items, tools=(), usage=None):
    calls = ResponseCalls(frozenset(tools))
    calls.take(raw(list(items)))
    found = usage or Usage()
    calls.add_to(found)
    return found, calls.unpriced


def web(action="search", status="completed", **more):
    return {"type": "web_search_call", "status": status, "action": {"type": action}, **more}


@pytest.mark.parametrize(
    ("items", "searches"),
    [
        ([web()], 1),
        ([web(), web("open_page"), web("open_page"), web("find_in_page")], 1),
        ([web(), web(status="failed")], 1),
        ([web(status="in_progress"), web(status="searching"), web(status="incomplete")], None),
        ([{"type": "web_search_call"}], 1),
        ([{"type": "web_search_call", "status": "completed"}], 1),
        ([web() | {"action": None}], 1),
        ([web() | {"action": {"type": "search", "query": "q", "queries": ["a", "b"], "sources": []}}], 1),
        ([{"type": "message"}, {"type": "reasoning"}, 5, None, {}], None),
    ],
)
def test_only_searches_that_came_to_an_end_are_billed(items, searches):
    assert called(*items) == (Usage(searches=searches), False)


def test_an_action_of_tomorrow_counts_and_may_cost_something_else():
    assert called(web("image_search")) == (Usage(searches=1), True)


def test_the_preview_tool_has_its_own_price_even_beside_the_other():
    for tools in (["openai_web_search_preview"], ["openai_web_search_preview", "openai_web_search"]):
        assert called(web(), web(), tools=tools)[0] == Usage(searches=2, preview_searches=2)
    assert called(web(), tools=["openai_web_search"])[0] == Usage(searches=1)


def test_file_searches_are_a_part_of_the_searches():
    file = {"type": "file_search_call", "status": "completed"}
    found, _ = called(web(), file, file, file | {"status": "failed"})
    assert found == Usage(searches=3, file_searches=2)


def test_the_number_that_the_provider_bills_goes_before_the_items():
    file = {"type": "file_search_call"}
    found, _ = called(web(), web(), file, usage=Usage(searches=1), tools=["openai_web_search_preview"])
    assert found == Usage(searches=2, preview_searches=1, file_searches=1)
    assert called(web(), usage=Usage(searches=0))[0] == Usage(searches=0)


def test_containers_are_billed_whatever_becomes_of_the_code():
    code = {"type": "code_interpreter_call", "status": "failed"}
    assert called(code, code)[0] == Usage(code_runs=2)
    shell = {"type": "shell_call"}
    assert called(shell)[0] == Usage()
    assert called(shell, tools=["openai_shell"])[0] == Usage(code_runs=1)


def test_an_item_is_counted_once_in_the_stream_and_in_its_end():
    head = Head(model="m", stream=True, server_tools=frozenset(("openai_web_search",)))
    done = {"type": "response.output_item.done", "output_index": 0, "item": web()}
    scanner = WIRES[Operation.OPENAI_RESPONSES].scanner(head, sse=True)
    for number in range(2):
        scanner.feed(b"data: " + json.dumps(done).encode() + b"\n\n")
        assert scanner.report().usage == Usage(searches=1), number
    whole = {"type": "response.completed", "response": {"output": [web(), web("open_page"), web()], "usage": None}}
    scanner.feed(b"data: " + json.dumps(whole).encode() + b"\n\n")
    assert scanner.report().usage == Usage(searches=2)


def test_a_stream_without_tools_reads_no_item_on_the_way():
    scanner = WIRES[Operation.OPENAI_RESPONSES].scanner(Head(model="m", stream=True), sse=True)
    scanner.feed(b'data: {"type":"response.output_text.delta","delta":"x"}\n\n')
    done = {"type": "response.output_item.done", "output_index": 0, "item": web(), "pad": "x" * 99}
    scanner.feed(b"data: " + json.dumps(done).encode() + b"\n\n")
    scanner.feed(b'data: {"type":"response.output_text.delta","delta":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}\n\n')
    assert scanner.report().usage is None
