"""Why a model stopped, by the closed list, from each dialect's own words, in a stream and in a body, however cut."""

from __future__ import annotations

import json
from typing import Any

import pytest

from metering.usage import FinishReason
from providers.dialect import Head, Operation
from providers.wires import WIRES

STOP, LENGTH, TOOL, FILTER, OTHER = FinishReason
OPERATIONS = {
    "chat": Operation.OPENAI_CHAT,
    "responses": Operation.OPENAI_RESPONSES,
    "messages": Operation.ANTHROPIC_MESSAGES,
    "gemini": Operation.GEMINI_GENERATE,
}
WORDS = [
    ("chat", "stop", STOP),
    ("chat", "length", LENGTH),
    ("chat", "tool_calls", TOOL),
    ("chat", "function_call", TOOL),
    ("chat", "content_filter", FILTER),
    ("chat", "a word of a host", OTHER),
    ("responses", "", STOP),
    ("responses", "max_output_tokens", LENGTH),
    ("responses", "content_filter", FILTER),
    ("responses", "new", OTHER),
    ("messages", "end_turn", STOP),
    ("messages", "stop_sequence", STOP),
    ("messages", "max_tokens", LENGTH),
    ("messages", "tool_use", TOOL),
    ("messages", "refusal", FILTER),
    ("messages", "pause_turn", OTHER),
    ("gemini", "STOP", STOP),
    ("gemini", 1, STOP),
    ("gemini", "MAX_TOKENS", LENGTH),
    ("gemini", "SAFETY", FILTER),
    ("gemini", "MALFORMED_FUNCTION_CALL", OTHER),
]
SOME = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def whole(dialect: str, word: Any) -> dict[str, Any]:
    if dialect == "chat":
        message = {"role": "assistant", "content": "Some text."}
        return {"choices": [{"index": 0, "message": message, "finish_reason": word}], "usage": SOME}
    if dialect == "responses":
        details = {"status": "incomplete", "incomplete_details": {"reason": word}} if word else {"status": "completed"}
        output = [{"type": "message", "content": [{"type": "output_text", "text": "Some text."}]}]
        return {"object": "response", "output": output, "usage": {"input_tokens": 3, "output_tokens": 2}, **details}
    if dialect == "messages":
        content = [{"type": "text", "text": "Some text."}]
        usage = {"input_tokens": 3, "output_tokens": 2}
        return {"type": "message", "content": content, "stop_reason": word, "usage": usage}
    content = {"parts": [{"text": "Some text."}], "role": "model"}
    return {"candidates": [{"content": content, "finishReason": word}], "usageMetadata": {"promptTokenCount": 3}}


def events(dialect: str, word: Any) -> list[dict[str, Any]]:
    if dialect == "chat":
        texts = [{"choices": [{"index": 0, "delta": {"content": f"Some text {n}."}}]} for n in range(3)]
        end = {"choices": [{"index": 0, "delta": {}, "finish_reason": word}]}
        return [*texts, end, {"choices": [], "usage": SOME}]
    if dialect == "responses":
        texts = [{"type": "response.output_text.delta", "delta": f"Some text {n}."} for n in range(3)]
        response = whole(dialect, word)
        return [*texts, {"type": f"response.{response['status']}", "response": response}]
    if dialect == "messages":
        start = {"type": "message_start", "message": {"type": "message", "usage": {"input_tokens": 3}}}
        texts = [
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": f"Some text {n}."}}
            for n in range(3)
        ]
        end = {"type": "message_delta", "delta": {"stop_reason": word}, "usage": {"output_tokens": 2}}
        return [start, *texts, end, {"type": "message_stop"}]
    texts = [{"candidates": [{"content": {"parts": [{"text": f"Some text {n}."}]}}]} for n in range(3)]
    return [*texts, whole(dialect, word)]


def stream(found: list[dict[str, Any]]) -> bytes:
    named = [f"event: {one['type']}\n" if "type" in one else "" for one in found]
    return "".join(f"{name}data: {json.dumps(one)}\n\n" for name, one in zip(named, found, strict=True)).encode()


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize(("dialect", "word", "reason"), WORDS)
def test_a_reason_is_read(dialect: str, word: Any, reason: FinishReason, size: int) -> None:
    wire = WIRES[OPERATIONS[dialect]]
    for sse, data in ((True, stream(events(dialect, word))), (False, json.dumps(whole(dialect, word)).encode())):
        scanner = wire.scanner(Head("m", stream=sse), sse=sse)
        for start in range(0, len(data), size):
            scanner.feed(data[start : start + size])
        scanner.finish()
        assert scanner.ended, (sse, data)
        assert scanner.report().finish == (reason,)


@pytest.mark.parametrize("dialect", OPERATIONS)
def test_a_cut_stream_has_none(dialect: str) -> None:
    scanner = WIRES[OPERATIONS[dialect]].scanner(Head("m", stream=True), sse=True)
    found = events(dialect, "stop")
    scanner.feed(stream([one for one in found if "Some text" in json.dumps(one)][:2]))
    assert scanner.begun
    assert scanner.report().finish == ()


@pytest.mark.parametrize("dialect", ["chat", "gemini"])
def test_each_choice_has_its_own(dialect: str) -> None:
    member, words = ("choices", ("length", "stop")) if dialect == "chat" else ("candidates", ("MAX_TOKENS", "STOP"))
    found = []
    for index in (1, 0):
        for one in events(dialect, words[index]):
            for choice in one[member]:
                choice["index"] = index
            found.append(one)
    scanner = WIRES[OPERATIONS[dialect]].scanner(Head("m", stream=True, choices=2), sse=True)
    scanner.feed(stream(found))
    assert scanner.report().finish == (LENGTH, STOP)


def test_a_blocked_prompt_was_filtered() -> None:
    scanner = WIRES[Operation.GEMINI_GENERATE].scanner(Head("m", stream=True), sse=True)
    scanner.feed(stream([{"promptFeedback": {"blockReason": "SAFETY"}}]))
    assert (scanner.ended, scanner.report().finish) == (True, (FILTER,))
