"""Makes answers that end in every way, for every form in which an answer streams, and says what each one is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from hypothesis import strategies as st

from metering.usage import Usage
from providers.dialect import Operation

COUNTED: Final = Usage(in_uncached=1007, out_visible=203)
INPUT_ONLY: Final = Usage(in_uncached=1007)


@dataclass(frozen=True)
class Form:
    """One form of a stream.

    Attributes:
        operation: Whose.
        opening: Events that begin an answer and are no output.
        outputs: Events that are output by themselves.
        closing: The events from the reason to stop to the end.
        ends: How many of them must have come for the end to have come.
        errors: Events that are an error, and the status that each one means.
        counts: The event of ``closing`` that states the counts.
        input_first: The input is stated in the opening.
        head, join, tail: What stands before, between and after the events.
        framing: What tells it from another form of its operation.
    """

    operation: Operation
    opening: tuple[bytes, ...]
    outputs: tuple[bytes, ...]
    closing: tuple[bytes, ...]
    ends: int
    errors: tuple[tuple[bytes, int], ...]
    counts: int
    input_first: bool = False
    head: bytes = b""
    join: bytes = b""
    tail: bytes = b""
    sse: bool = True
    framing: str = ""

    def __repr__(self) -> str:
        return self.operation.value + self.framing


def data(chunk: Any, line: str = "\n") -> bytes:
    """An event without a name."""
    return f"data: {chunk if isinstance(chunk, str) else json.dumps(chunk)}{line}{line}".encode()


def named(kind: str, **members: Any) -> bytes:
    """An event with its type as its name."""
    return f"event: {kind}\n".encode() + data({"type": kind, **members})


def choice(**members: Any) -> dict[str, Any]:
    """A chunk of one choice."""
    return {"id": "c1", "object": "chat.completion.chunk", "model": "m", "choices": [{"index": 0, **members}]}


def delta(**members: Any) -> dict[str, Any]:
    return choice(delta=members, finish_reason=None)


_CHAT_USAGE: Final = {"prompt_tokens": 1007, "completion_tokens": 203, "total_tokens": 1210}
_OVERLOADED: Final = {"message": "overloaded", "type": "server_error", "code": "server_is_overloaded"}
_CHAT_ERRORS: Final = (
    (data({"error": _OVERLOADED}), 503),
    (data({"error": "it broke"}), 502),
    (data({"error": {"message": "slow down", "code": 429}}), 429),
    (data({"error": {"message": "too long", "type": "invalid_request_error", "code": None}, "choices": None}), 400),
    (b"event: error\n" + data({"error": {"message": "no", "status_code": 400}}), 400),
    (b"event: error\n" + data("Internal Server Error"), 502),
    (data({"object": "error", "message": "no", "type": "BadRequestError", "code": 400}), 400),
    (data({"id": "x", "error": {"code": 502, "message": "no"}, "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}]}), 502),
    (b'{"error":{"message":"bare","code":"insufficient_quota"}}\n\n', 429),
)  # fmt: skip
_CHAT: Final = Form(
    operation=Operation.OPENAI_CHAT,
    opening=(
        b": PROCESSING\n\n",
        data({"choices": [], "prompt_filter_results": [{"index": 0}], "usage": None}),
        data(delta(role="assistant", content="", refusal=None, tool_calls=[])),
        data(delta(content=None, reasoning_content=None) | {"usage": None, "obfuscation": "abc"}),
        data(delta()),
        b"id: 1\n\n",
    ),
    outputs=(
        data(delta(content="words")),
        data(delta(reasoning="hm")),
        data(delta(reasoning_content="hm")),
        data(delta(refusal="no")),
        data(delta(tool_calls=[{"index": 0, "id": "t", "function": {"name": "f", "arguments": ""}}])),
        data(delta(audio={"data": "QUJD"})),
        data(delta(content='"error" {"finish_reason":"stop"} data: [DONE]')),
    ),
    closing=(
        data(choice(delta={}, finish_reason="stop")),
        data({"choices": [], "usage": _CHAT_USAGE}),
        data("[DONE]"),
    ),
    ends=1,
    errors=_CHAT_ERRORS,
    counts=1,
)
_COMPLETIONS: Final = Form(
    operation=Operation.OPENAI_COMPLETIONS,
    opening=(data(choice(text="", finish_reason=None)), b": ping\n\n"),
    outputs=(data(choice(text="words", logprobs=None, finish_reason=None)), data(choice(text='"error"'))),
    closing=(
        data(choice(text="", finish_reason="length")),
        data({"choices": None, "usage": _CHAT_USAGE}),
        data("[DONE]"),
    ),
    ends=1,
    errors=_CHAT_ERRORS,
    counts=1,
)


def _response(status: str, **members: Any) -> dict[str, Any]:
    return {"id": "r", "object": "response", "status": status, "error": None, "output": [], "usage": None} | members


_RESPONSES_USAGE: Final = {"input_tokens": 1007, "output_tokens": 203, "total_tokens": 1210}


def _responses(operation: Operation, end: str) -> Form:
    return Form(
        operation=operation,
        opening=(
            named("response.created", response=_response("in_progress")),
            named("response.queued", response=_response("queued")),
            named("response.in_progress", response=_response("in_progress")),
            named("keepalive", sequence_number=3),
            named("response.output_item.added", item={"id": "i", "type": "reasoning", "summary": []}),
            named("response.output_item.added", item={"id": "i", "type": "message", "role": "assistant", "content": []}),
            named("response.content_part.added", part={"type": "output_text", "text": "", "annotations": []}),
            named("response.output_text.delta", delta=""),
        ),
        outputs=(
            named("response.output_text.delta", delta="words"),
            named("response.reasoning_summary_text.delta", delta="hm"),
            named("response.refusal.delta", delta="no"),
            named("response.output_item.added", item={"type": "function_call", "name": "f", "arguments": ""}),
            named("response.web_search_call.searching", item_id="w"),
            named("response.function_call_arguments.delta", delta='{"response.completed":"error"}'),
        ),
        closing=(named(f"response.{end}", response=_response(end, usage=_RESPONSES_USAGE)),),
        ends=1,
        errors=(
            (named("error", error={"type": "insufficient_quota", "code": "insufficient_quota", "message": "m"}), 429),
            (named("error", code="rate_limit_exceeded", message="m", param=None, sequence_number=4), 429),
            (named("error", code=None, message="m", param=None), 502),
            (named("response.failed", response=_response("failed", error={"code": "server_error", "message": "m"})), 500),
            (named("response.failed", response=_response("failed")), 502),
            (named("response.cancelled", response=_response("cancelled")), 502),
            (data({"error": {"message": "m", "type": "invalid_request_error"}}), 400),
            (data({"type": "response.completed", "response": _response("failed", error={"code": "server_error"})}), 500),
        ),
        counts=0,
    )  # fmt: skip


def _anthropic_error(kind: str) -> bytes:
    return (
        b'event: error\ndata: {"type":"error","error":{"details":null,"type":"%b","message":"m"} }\n\n' % kind.encode()
    )


def block(**members: Any) -> bytes:
    return named("content_block_start", index=0, content_block=members)


def block_delta(**members: Any) -> bytes:
    return named("content_block_delta", index=0, delta=members)


_START_USAGE: Final = {"input_tokens": 1007, "output_tokens": 1}
_MESSAGES: Final = Form(
    operation=Operation.ANTHROPIC_MESSAGES,
    opening=(
        named("message_start", message={"type": "message", "content": [], "stop_reason": None, "usage": _START_USAGE}),
        named("ping"),
        block(type="text", text=""),
        block(type="thinking", thinking="", signature=""),
        block_delta(type="text_delta", text=""),
        named("content_block_stop", index=0),
    ),
    outputs=(
        block_delta(type="text_delta", text="words"),
        block_delta(type="thinking_delta", thinking="hm"),
        block_delta(type="input_json_delta", partial_json='{"message_stop":"error"}'),
        block(type="tool_use", id="t", name="f", input={}),
        block(type="server_tool_use", id="t", name="web_search", input={}),
        block(type="redacted_thinking", data="QUJD"),
    ),
    closing=(
        named("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 203}),
        named("message_stop"),
    ),
    ends=2,
    errors=(
        (_anthropic_error("overloaded_error"), 529),
        (_anthropic_error("rate_limit_error"), 429),
        (_anthropic_error("invalid_request_error"), 400),
        (_anthropic_error("something_new"), 502),
        (b"event: error\n" + data("overloaded"), 502),
        (data({"error": {"type": "api_error", "message": "m"}}), 500),
        (data({"type": "error", "error": "m"}), 502),
    ),
    counts=0,
    input_first=True,
)


def candidate(*parts: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"candidates": [{"content": {"parts": list(parts), "role": "model"}, "index": 0, **members}]}


def _metadata(candidates: int | None) -> dict[str, Any]:
    stated = {"promptTokenCount": 1007, "totalTokenCount": 1007 + (candidates or 0)}
    return {"usageMetadata": stated if candidates is None else stated | {"candidatesTokenCount": candidates}}


_GEMINI_OPENING: Final = (
    {"candidates": [{"content": {}, "index": 0}], "promptFeedback": {"safetyRatings": []}},
    {"candidates": []} | _metadata(None),
    candidate({"text": ""}) | _metadata(None),
    candidate({"text": "", "thought": True}),
)
_GEMINI_OUTPUTS: Final = (
    candidate({"text": "words"}),
    candidate({"text": "words"}) | _metadata(150),
    candidate({"text": "hm", "thought": True}),
    candidate({"functionCall": {"name": "f", "args": {"error": {"usageMetadata": {"promptTokenCount": 1}}}}}),
    candidate({"inlineData": {"mimeType": "image/png", "data": "QUJD"}}),
    candidate({"text": "", "thoughtSignature": "QUJD"}),
)
_GEMINI_CLOSING: Final = candidate({"text": ""}, finishReason="STOP") | _metadata(203)
_QUOTA: Final = {
    "code": 429,
    "message": "m",
    "status": "RESOURCE_EXHAUSTED",
    "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34s"}],
}
_GEMINI_ERRORS: Final[tuple[tuple[dict[str, Any], int], ...]] = (
    ({"error": _QUOTA}, 429),
    ({"error": {"code": 503, "message": "m", "status": "UNAVAILABLE"}}, 503),
    ({"error": {"status": "DEADLINE_EXCEEDED"}}, 504),
    ({"error": {"code": 8, "message": "m"}}, 429),
    ({"error": "m"}, 502),
)
_GEMINI: Final = Form(
    operation=Operation.GEMINI_STREAM,
    opening=tuple(data(chunk, "\r\n") for chunk in _GEMINI_OPENING),
    outputs=tuple(data(chunk, "\r\n") for chunk in _GEMINI_OUTPUTS),
    closing=(data(_GEMINI_CLOSING, "\r\n"),),
    ends=1,
    errors=(
        *((data(chunk, "\r\n"), status) for chunk, status in _GEMINI_ERRORS),
        (json.dumps({"error": _QUOTA}, indent=2).encode() + b"\r\n\r\n", 429),
        (data([{"error": _QUOTA}], "\r\n"), 429),
    ),
    counts=0,
)
_LINES: Final = Form(
    operation=Operation.GEMINI_STREAM,
    opening=tuple(data(chunk, "") + b"\n" for chunk in _GEMINI_OPENING),
    outputs=tuple(data(chunk, "") + b"\r\n" for chunk in _GEMINI_OUTPUTS),
    closing=(data(_GEMINI_CLOSING, "") + b"\n",),
    ends=1,
    errors=(
        *((data(chunk, "") + b"\n", status) for chunk, status in _GEMINI_ERRORS),
        (json.dumps({"error": _QUOTA}, indent=2).encode() + b"\n", 429),
    ),
    counts=0,
    framing=".lines",
)
_ARRAY: Final = Form(
    operation=Operation.GEMINI_STREAM,
    opening=tuple(json.dumps(chunk, indent=1).encode() for chunk in _GEMINI_OPENING),
    outputs=tuple(json.dumps(chunk).encode() for chunk in _GEMINI_OUTPUTS),
    closing=(json.dumps(_GEMINI_CLOSING).encode(),),
    ends=1,
    errors=tuple((json.dumps(chunk).encode(), status) for chunk, status in _GEMINI_ERRORS),
    counts=0,
    head=b"[",
    join=b"\n,\r\n",
    tail=b"]\n",
    sse=False,
    framing=".array",
)
FORMS: Final = (
    _CHAT,
    _COMPLETIONS,
    _responses(Operation.OPENAI_RESPONSES, "completed"),
    _responses(Operation.OPENAI_COMPACT, "incomplete"),
    _MESSAGES,
    _GEMINI,
    _LINES,
    _ARRAY,
)


@dataclass(frozen=True)
class Ending:
    """One answer and what it is.

    Attributes:
        body: Its bytes.
        begun, ended: See `providers.dialect.Scanner`.
        status: That of its error, if there is one.
        stated: Its closing event with counts is in it.
        opened: Its opening is in it.
        cut: Its last event is not whole.
    """

    body: bytes
    begun: bool
    ended: bool
    status: int | None = None
    stated: bool = False
    opened: bool = False
    cut: bool = False


@st.composite
def endings(draw: st.DrawFn, form: Form) -> Ending:
    """Clean, cut, an error first, an error later, no end, twice the end; with everything before it drawn."""
    opening = list(form.opening) if draw(st.booleans()) else []
    outputs = draw(st.lists(st.sampled_from(form.outputs), max_size=4))
    way = draw(st.sampled_from(["clean", "cut", "error first", "error", "no end", "twice", "error after the end"]))
    if form.input_first and not opening:
        opening = [form.opening[0]]
    events = opening + outputs
    status: int | None = None
    closed = 0
    if way == "error first":
        outputs = []
        error, status = draw(st.sampled_from(form.errors))
        events = [*opening, error]
    elif way == "error":
        error, status = draw(st.sampled_from(form.errors))
        events = [*events, error]
    elif way in {"clean", "twice", "error after the end"}:
        closed = len(form.closing)
        events += form.closing
        if way == "twice":
            events.append(form.closing[-1])
        if way == "error after the end":
            error, status = draw(st.sampled_from(form.errors))
            events.append(error)
    elif way == "no end":
        closed = draw(st.integers(0, form.ends - 1))
        events += form.closing[:closed]
    body = form.head + form.join.join(events) + form.tail
    cut = False
    if way == "cut" and (outputs or opening):
        last = events[-1]
        kept = draw(st.integers(1, max(1, len(last.rstrip()) - 2)))
        body = form.head + form.join.join([*events[:-1], last[:kept]])
        cut = True
        (outputs or opening).pop()
    begun = bool(outputs) or closed > 0
    ended = closed >= form.ends and status is None
    return Ending(body, begun, ended, status, closed > form.counts, bool(opening), cut)
