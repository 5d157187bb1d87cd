"""Anthropic Messages: JSON, stream, token counting, models and errors.

Stream: ``event:`` and ``data:`` lines with LF, the data padded with spaces before its last braces;
``message_start`` states the input counts, ``ping`` follows the first block's start, ``message_delta``
repeats the input and gives the cumulative output. Errors are JSON, also for a streaming call.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import msgspec
import orjson

from benchmarks.simulator import content
from benchmarks.simulator.content import Plan
from benchmarks.simulator.exchange import Act, Call, Event, Last, Reply, http_date, identifier
from benchmarks.simulator.openai_chat import last_user_text

PING = b'event: ping\ndata: {"type": "ping"}\n\n'
STOP = b'event: message_stop\ndata: {"type":"message_stop"             }\n\n'
SIGNATURE = "ErUBCkYIBRgC" + "c2ltLXRob3VnaHQ" * 6
MODELS = (("claude-opus-4-8", "Claude Opus 4.8"), ("claude-haiku-4-5", "Claude Haiku 4.5"))
_HEADERS = (
    b"Date: %b\r\nContent-Type: %b\r\nServer: cloudflare\r\nCF-RAY: 9f0fc416ef9b6e82-SJC\r\n"
    b"cf-cache-status: DYNAMIC\r\nrequest-id: %b\r\nanthropic-organization-id: 00000000-5157-4000-8000-000000000000\r\n"
    b"strict-transport-security: max-age=31536000; includeSubDomains; preload\r\nX-Robots-Tag: none\r\n"
    b"Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\nvary: Accept-Encoding\r\n"
    b"set-cookie: _cfuvid=simulated; HttpOnly; SameSite=None; Secure; Path=/\r\n"
)
_KINDS = (b"requests", b"tokens", b"input-tokens", b"output-tokens")


def headers(call: Call, content_type: bytes = b"application/json") -> bytes:
    """The header lines of an answer, without framing."""
    return _HEADERS % (http_date(), content_type, call.bill.id.encode())


def limits(remaining: int = 19999) -> bytes:
    """The four families of rate-limit headers, their resets in RFC 3339."""
    reset = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2)).encode()
    line = b"anthropic-ratelimit-%b-%b: %b\r\n"
    return b"".join(
        line % (kind, name, value)
        for kind in _KINDS
        for name, value in ((b"limit", b"20000"), (b"remaining", b"%d" % remaining), (b"reset", reset))
    )


def request_id(number: int) -> str:
    return f"req_01{identifier(number, 22)}"


_ERRORS: dict[str, tuple[int, str, str]] = {
    "400": (400, "invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"),
    "invalid": (400, "invalid_request_error", "The request body is not valid JSON"),
    "401": (401, "authentication_error", "invalid x-api-key"),
    "402": (402, "billing_error", "Your credit balance is too low to access the Anthropic API."),
    "403": (403, "permission_error", "Your API key does not have permission to use the specified resource"),
    "404": (404, "not_found_error", "model: unknown"),
    "413": (413, "request_too_large", "Request exceeds the maximum size"),
    "429": (429, "rate_limit_error", "This request would exceed your organization's rate limit."),
    "500": (500, "api_error", "Internal server error"),
    "503": (503, "api_error", "Service unavailable"),
    "529": (529, "overloaded_error", "Overloaded"),
}
_ERRORS["quota"] = (400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API.")


def error(call: Call, fault: str) -> Reply:
    """An error answer with the request's id beside the error."""
    status, kind, message = _ERRORS[fault]
    lines = headers(call)
    if status == 429:
        lines += b"retry-after: %d\r\n" % call.controls.retry + limits(0)
    lines += b"x-should-retry: %b\r\n" % (b"true" if status == 429 or status >= 500 else b"false")
    body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": call.bill.id}
    return Reply(status, lines, orjson.dumps(body))


def _stream_error(call: Call) -> bytes:
    body = {"type": "error", "error": {"details": None, "type": "overloaded_error", "message": "Overloaded"}}
    return b"event: error\ndata: " + orjson.dumps(body | {"request_id": call.bill.id})[:-1] + b" }\n\n"


class MessagesRequest(msgspec.Struct):
    """The members that change the answer; everything else is skipped undecoded."""

    model: str
    messages: msgspec.Raw = msgspec.Raw(b"[]")
    max_tokens: int | None = None
    stream: bool | None = False
    tools: list[dict[str, Any]] | None = None
    tool_choice: dict[str, Any] | None = None
    thinking: dict[str, Any] | None = None
    output_config: dict[str, Any] | None = None
    output_format: dict[str, Any] | None = None


def _tool(call: Call, request: MessagesRequest) -> tuple[str, Any] | None:
    tools = [tool for tool in request.tools or () if "input_schema" in tool]
    choice = (request.tool_choice or {}).get("type", "auto")
    if not tools or choice == "none":
        return None
    if choice == "tool":
        name = (request.tool_choice or {}).get("name")
        tools = [tool for tool in tools if tool.get("name") == name] or tools
    return content.asked_tool(
        call,
        lambda: last_user_text(bytes(request.messages)),
        [(tool.get("name", "tool"), tool["input_schema"]) for tool in tools],
        must=choice in {"any", "tool"},
    )


def _bill(call: Call) -> None:
    total = content.input_tokens(call)
    caches = b'"cache_control"' in call.body
    controls = call.controls
    written = controls.written if controls.written is not None else total // 2 if caches else 0
    read = controls.cached if controls.cached is not None else total // 4 if caches else 0
    content.bill_input(call, total, read, written)


def _input_usage(call: Call) -> dict[str, Any]:
    bill = call.bill
    return {
        "input_tokens": bill.input - bill.cache_read - bill.cache_write,
        "cache_creation_input_tokens": bill.cache_write,
        "cache_read_input_tokens": bill.cache_read,
    }


def _full_usage(call: Call, output: int) -> dict[str, Any]:
    long = b'"1h"' in call.body
    written = call.bill.cache_write
    split = {"ephemeral_5m_input_tokens": 0 if long else written, "ephemeral_1h_input_tokens": written if long else 0}
    rest = {"output_tokens": output, "service_tier": "standard", "inference_geo": "not_available"}
    return _input_usage(call) | {"cache_creation": split} | rest


def messages(call: Call) -> Reply:
    """POST /v1/messages. Raises msgspec errors for a body that is not a request."""
    request = msgspec.json.decode(call.body, type=MessagesRequest)
    asked = (request.thinking or {}).get("type") in {"enabled", "adaptive"}
    structured = request.output_format or (request.output_config or {}).get("format") or {}
    plan = content.plan(
        call,
        schema=structured.get("schema"),
        tool=_tool(call, request),
        limit=request.max_tokens,
        thinking=4 if asked else 0,
    )
    _bill(call)
    call.bill.reasoning = plan.thinking
    if request.stream:
        call.bill.stream = True
        lines = headers(call, b"text/event-stream; charset=utf-8") + b"Cache-Control: no-cache\r\n" + limits()
        return Reply(200, lines, _events(call, plan), _stream_error(call))
    return Reply(200, headers(call) + limits(), _json(call, plan))


def _output(call: Call, plan: Plan) -> int:
    stated = call.controls.tokens_out
    return (plan.count if stated is None else stated) + plan.thinking


def _stop_reason(plan: Plan) -> str:
    return "tool_use" if plan.kind == "tool" else "max_tokens" if plan.truncated else "end_turn"


def _block(call: Call, plan: Plan) -> dict[str, Any]:
    if plan.kind != "tool":
        return {"type": "text", "text": ""}
    return {"type": "tool_use", "id": f"toolu_01{identifier(call.number, 22)}", "name": plan.tool, "input": {}}


def _message(call: Call, blocks: list[dict[str, Any]], stop: str | None, usage: dict[str, Any]) -> dict[str, Any]:
    return {
        "model": call.bill.model,
        "id": f"msg_01{identifier(call.number, 22)}",
        "type": "message",
        "role": "assistant",
        "content": blocks,
        "stop_reason": stop,
        "stop_sequence": None,
        "stop_details": None,
        "usage": usage,
    }


def _json(call: Call, plan: Plan) -> bytes:
    controls = call.controls
    blocks: list[dict[str, Any]] = []
    if plan.thinking:
        blocks.append({"type": "thinking", "thinking": "".join(plan.thoughts()), "signature": SIGNATURE})
    block = _block(call, plan)
    if plan.kind == "tool":
        block["input"] = plan.arguments
    else:
        block["text"] = plan.text(controls.size, controls.kib * 1024 if "big" in controls.faults else 0)
    usage = _full_usage(call, _output(call, plan))
    if plan.thinking:
        usage["output_tokens_details"] = {"thinking_tokens": plan.thinking}
    call.bill.output += usage["output_tokens"]
    return orjson.dumps(_message(call, [*blocks, block], _stop_reason(plan), usage))


def _event(kind: str, padding: int, **members: Any) -> bytes:
    data = orjson.dumps({"type": kind} | members)
    return b"event: %b\ndata: %b%b}\n\n" % (kind.encode(), data[:-1], b" " * padding)


def _events(call: Call, plan: Plan) -> Iterator[Event | Act]:
    bill = call.bill
    start = _message(call, [], None, _full_usage(call, 1))
    pending: list[bytes] = [_event("message_start", 8, message=start)]
    index = 0
    if plan.thinking:
        empty = {"type": "thinking", "thinking": "", "signature": ""}
        pending += [_event("content_block_start", 5, index=0, content_block=empty), PING]
        for thought in plan.thoughts():
            bill.output += 1
            bill.events += 1
            delta = {"type": "thinking_delta", "thinking": thought}
            yield (*pending, _event("content_block_delta", 9, index=0, delta=delta))
            pending = []
        delta = {"type": "signature_delta", "signature": SIGNATURE}
        pending.append(_event("content_block_delta", 3, index=0, delta=delta))
        pending.append(_event("content_block_stop", 0, index=0))
        index = 1
    pending.append(_event("content_block_start", 5, index=index, content_block=_block(call, plan)))
    if not index:
        pending.append(PING)
    kind, member = (b"input_json_delta", b"partial_json") if plan.kind == "tool" else (b"text_delta", b"text")
    head = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"%b","%b":"' % (
        index,
        kind,
        member,
    )
    pad = max(0, call.controls.size - len(head) - 17 - 11)
    for number, fragment in enumerate(plan.fragments(pad)):
        bill.output += 1
        bill.events += 1
        event = head + fragment + b'"}%b}\n\n' % (b" " * (number * 7 % 15 if not pad else 6))
        if pending:
            yield (*pending, event)
            pending = []
        else:
            yield event
    bill.output = _output(call, plan)
    usage = _input_usage(call) | {"output_tokens": bill.output}
    if plan.thinking:
        usage["output_tokens_details"] = {"thinking_tokens": plan.thinking}
    end: dict[str, Any] = {"stop_reason": _stop_reason(plan), "stop_sequence": None, "stop_details": None}
    stop = _event("content_block_stop", 9, index=index)
    yield Last((*pending, stop, _event("message_delta", 12, delta=end, usage=usage), STOP))


def count_tokens(call: Call) -> Reply:
    """POST /v1/messages/count_tokens, which is not billed."""
    return Reply(200, headers(call), orjson.dumps({"input_tokens": content.input_tokens(call)}))


def models(call: Call) -> Reply:
    """GET /v1/models and /v1/models/{id} in Anthropic's shape."""
    rows = [
        {"type": "model", "id": name, "display_name": title, "created_at": "2026-07-24T00:00:00Z"}
        for name, title in MODELS
    ]
    name = call.path.partition("/models")[2].strip("/")
    if name:
        row = next((row for row in rows if row["id"] == name), None)
        return error(call, "404") if row is None else Reply(200, headers(call), orjson.dumps(row))
    page = {"data": rows, "has_more": False, "first_id": rows[0]["id"], "last_id": rows[-1]["id"]}
    return Reply(200, headers(call), orjson.dumps(page))
