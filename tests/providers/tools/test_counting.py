"""What a tool costs beside its tokens is counted in each form of an answer, or the tool is refused there."""

import json

import pytest

from metering.usage import PARTS
from providers.dialect import Family, Head, Operation
from providers.tools.catalog import SERVER_TOOLS, TOOLS_BY_ID, bills
from providers.wires import WIRES

OPERATIONS = {
    Family.OPENAI: (Operation.OPENAI_CHAT, Operation.OPENAI_RESPONSES, Operation.OPENAI_COMPACT),
    Family.ANTHROPIC: (Operation.ANTHROPIC_MESSAGES,),
    Family.GOOGLE: (Operation.GEMINI_GENERATE, Operation.GEMINI_STREAM),
}
CASES = [
    (tool.id, operation)
    for tool in SERVER_TOOLS
    for operation in OPERATIONS[tool.family]
    if tool.unit and bills(tool.id, operation)
]
CALLS = 2
ITEMS = {
    "openai_web_search": "web_search_call",
    "openai_web_search_preview": "web_search_call",
    "openai_file_search": "file_search_call",
    "openai_code_interpreter": "code_interpreter_call",
    "openai_shell": "shell_call",
}
STATED = {"searches": "web_search_requests", "fetches": "web_fetch_requests", "code_runs": "code_execution_requests"}
BLOCKS = {"searches": "web_search_tool_result", "fetches": "web_fetch_tool_result"}


def items(tool):
    return [{"type": ITEMS[tool], "id": f"i{number}", "status": "completed"} for number in range(CALLS)]


def event(data, name=None):
    return (f"event: {name}\n" if name else "").encode() + b"data: " + json.dumps(data).encode() + b"\n\n"


def responses_events(tool):
    yield event({"type": "response.created", "response": {"output": []}}, "response.created")
    for number, item in enumerate(items(tool)):
        done = {"type": "response.output_item.done", "output_index": number, "item": item}
        yield event(done, "response.output_item.done")
    yield event({"type": "response.output_text.delta", "delta": "x"}, "response.output_text.delta")
    usage = {"input_tokens": 5, "output_tokens": 3, "total_tokens": 8}
    whole = {"status": "completed", "output": items(tool), "usage": usage}
    yield event({"type": "response.completed", "response": whole}, "response.completed")


def message_events(unit):
    start = {"type": "message", "usage": {"input_tokens": 5, "output_tokens": 1}}
    yield event({"type": "message_start", "message": start}, "message_start")
    for number in range(CALLS if unit in BLOCKS else 0):
        block = {"type": BLOCKS[unit], "tool_use_id": "t", "content": [{"type": "web_search_result"}]}
        yield event({"type": "content_block_start", "index": number, "content_block": block}, "content_block_start")
    text = {"type": "content_block_delta", "index": 9, "delta": {"type": "text_delta", "text": "x"}}
    yield event(text, "content_block_delta")
    usage = {"output_tokens": 3, "server_tool_use": {STATED[unit]: CALLS}}
    yield event({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage}, "message_delta")
    yield event({"type": "message_stop"}, "message_stop")


def gemini_chunk(tool):
    maps = {"groundingChunks": [{"maps": {"placeId": "p"}}]} if tool == "gemini_google_maps" else {}
    grounding = {"webSearchQueries": ["a", "b"], **maps}
    return {
        "candidates": [{"content": {"parts": [{"text": "x"}]}, "finishReason": "STOP", "groundingMetadata": grounding}],
        "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 3, "totalTokenCount": 8},
        "modelVersion": "gemini-3-pro",
    }


def answers(tool, operation):
    """(the answer's pieces, whether it is an event stream, whether its end is missing)"""
    unit = TOOLS_BY_ID[tool].unit
    if operation is Operation.OPENAI_CHAT:
        usage = {"prompt_tokens": 5, "completion_tokens": 3, "server_tool_use": {"web_search_requests": CALLS}}
        choice = {"index": 0, "delta": {"content": "x"}, "message": {"content": "x"}, "finish_reason": "stop"}
        yield [json.dumps({"choices": [choice], "usage": usage}).encode()], False, False
        yield [event({"choices": [choice]}), event({"choices": [], "usage": usage}), b"data: [DONE]\n\n"], True, False
    elif tool == "openrouter_web_search":  # stated in the usage object, and by no items
        usage = {"input_tokens": 5, "output_tokens": 3, "server_tool_use_details": {"web_search_requests": CALLS}}
        whole = {"status": "completed", "output": [], "usage": usage}
        yield [json.dumps(whole).encode()], False, False
        yield [event({"type": "response.completed", "response": whole})], True, False
    elif operation.family is Family.OPENAI:
        usage = {"input_tokens": 5, "output_tokens": 3, "total_tokens": 8}
        yield [json.dumps({"status": "completed", "output": items(tool), "usage": usage}).encode()], False, False
        yield list(responses_events(tool)), True, False
        yield list(responses_events(tool))[:-1], True, True
    elif operation.family is Family.ANTHROPIC:
        usage = {"input_tokens": 5, "output_tokens": 3, "server_tool_use": {STATED[unit]: CALLS}}
        whole = {"type": "message", "content": [{"type": "text", "text": "x"}], "usage": usage}
        yield [json.dumps(whole).encode()], False, False
        yield list(message_events(unit)), True, False
        if unit in BLOCKS:
            yield list(message_events(unit))[:-2], True, True
    elif operation is Operation.GEMINI_GENERATE:
        yield [json.dumps(gemini_chunk(tool)).encode()], False, False
    else:
        last = {"candidates": [{"content": {"parts": [{"text": "y"}]}, "finishReason": "STOP"}]}
        yield [event(gemini_chunk(tool)), event(last)], True, False
        yield [event(gemini_chunk(tool))], True, True
        yield [b"[" + json.dumps(gemini_chunk(tool)).encode(), b"," + json.dumps(last).encode() + b"]"], False, False


def test_every_tool_with_a_fee_is_counted_somewhere():
    assert {tool for tool, _ in CASES} == {tool.id for tool in SERVER_TOOLS if tool.unit}


@pytest.mark.parametrize("cut", ["events", "bytes", "whole"])
@pytest.mark.parametrize(("tool", "operation"), CASES)
def test_the_calls_of_a_tool_are_counted_in_each_form_of_an_answer(tool, operation, cut):
    unit = TOOLS_BY_ID[tool].unit
    head = Head(model="gemini-3-pro", stream=True, server_tools=frozenset((tool,)))
    seen = 0
    for pieces, sse, _ in answers(tool, operation):
        seen += 1
        fed = {"events": pieces, "whole": [b"".join(pieces)]}.get(cut) or [
            bytes((byte,)) for piece in pieces for byte in piece
        ]
        scanner = WIRES[operation].scanner(head, sse=sse)
        for piece in fed:
            scanner.feed(piece)
        for _ in range(2):  # to be asked twice changes nothing
            usage = scanner.report().usage
            assert usage is not None
            assert getattr(usage, unit) == CALLS
            assert getattr(usage, PARTS.get(unit, unit)) == CALLS
        scanner.finish()
        assert getattr(scanner.report().usage, unit) == CALLS
    assert seen
