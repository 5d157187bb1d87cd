"""OpenAI Chat Completions and Completions: JSON and stream, as api.openai.com frames them.

Stream: ``data:`` lines with LF, a first chunk with the role, one chunk a token, one with the
finish reason; with ``include_usage`` every chunk has ``"usage":null`` and one more with
``choices: []`` carries the usage; then ``[DONE]``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import msgspec
import orjson

from benchmarks.simulator import content
from benchmarks.simulator.content import Plan
from benchmarks.simulator.exchange import Act, Call, Event, Last, Reply, identifier
from benchmarks.simulator.openai_errors import headers, stream_error

DONE = b"data: [DONE]\n\n"
FINGERPRINT = "fp_51a1b2c3d4"
_FILL_IN = {
    "model",
    "prompt",
    "suffix",
    "temperature",
    "top_p",
    "max_tokens",
    "min_tokens",
    "stop",
    "stream",
    "random_seed",
}


class StreamOptions(msgspec.Struct):
    include_usage: bool = False
    include_obfuscation: bool = True


class ChatRequest(msgspec.Struct):
    """The members that change the answer; everything else is skipped undecoded."""

    model: str
    messages: msgspec.Raw = msgspec.Raw(b"[]")
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: Any = None
    n: int | None = 1
    response_format: dict[str, Any] | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None


class CompletionRequest(msgspec.Struct):
    model: str
    prompt: msgspec.Raw = msgspec.Raw(b'""')
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    n: int | None = 1
    max_tokens: int | None = None


def reasons(model: str) -> bool:
    """Whether a model of that name thinks before it answers."""
    return (model[:4] == "gpt-" and model[4:5] in "56789") or (model[:1] == "o" and model[1:2].isdigit())


def usage(call: Call, plan: Plan, choices: int) -> dict[str, Any]:
    """The usage object; the prompt includes what came from the cache, completion what was thought."""
    controls, bill = call.controls, call.bill
    visible = plan.count * choices if controls.tokens_out is None else controls.tokens_out
    return {
        "prompt_tokens": bill.input,
        "completion_tokens": visible + plan.thinking,
        "total_tokens": bill.input + visible + plan.thinking,
        "prompt_tokens_details": {"cached_tokens": bill.cache_read, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": plan.thinking,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def last_user_text(messages: bytes) -> str:
    """What users said after the last answer and after the last result of a tool."""
    said: list[str] = []
    for message in reversed(orjson.loads(messages)):
        text = message.get("content")
        if message.get("role") not in {"user", "system", "developer"}:
            break
        if isinstance(text, str):
            said.append(text)
        elif any(part.get("type") == "tool_result" for part in text or ()):
            break
        else:
            said += [part.get("text", "") for part in text or ()]
    return " ".join(said)


def chosen_tool(call: Call, request: ChatRequest) -> tuple[str, Any] | None:
    if not request.tools or request.tool_choice == "none":
        return None
    functions = [tool.get("function", {}) for tool in request.tools]
    choice = request.tool_choice
    if isinstance(choice, dict):
        name = choice.get("function", {}).get("name")
        functions = [function for function in functions if function.get("name") == name] or functions
    return content.asked_tool(
        call,
        lambda: last_user_text(bytes(request.messages)),
        [(function.get("name", "tool"), function.get("parameters")) for function in functions],
        must=choice == "required" or isinstance(choice, dict),
    )


def chat(call: Call) -> Reply:
    """POST /v1/chat/completions. Raises msgspec errors for a body that is not a request."""
    request = msgspec.json.decode(call.body, type=ChatRequest)
    base = call.bill.model
    schema = (request.response_format or {}).get("json_schema", {}).get("schema")
    if schema is None and (request.response_format or {}).get("type") == "json_object":
        schema = {"type": "object", "properties": {"answer": {"type": "string"}}}
    plan = content.plan(
        call,
        schema=schema,
        tool=chosen_tool(call, request),
        limit=request.max_completion_tokens or request.max_tokens,
        thinking=16 if reasons(base) else 0,
    )
    content.bill_input(call, content.input_tokens(call), call.controls.cached or 0, 0)
    call.bill.reasoning = plan.thinking
    choices = request.n or 1
    identity = f"chatcmpl-{identifier(call.number, 29)}"
    if not request.stream:
        return Reply(200, headers(call), _chat_json(call, plan, choices, identity), stream_error())
    call.bill.stream = True
    options = request.stream_options or StreamOptions()
    events = _chat_events(call, plan, choices, identity, options)
    return Reply(200, headers(call, b"text/event-stream; charset=utf-8"), events, stream_error())


def _finish(plan: Plan) -> str:
    return "tool_calls" if plan.kind == "tool" else "length" if plan.truncated else "stop"


def _chat_json(call: Call, plan: Plan, choices: int, identity: str) -> bytes:
    bill, controls = call.bill, call.controls
    counts = usage(call, plan, choices)
    bill.output += counts["completion_tokens"]
    least = controls.kib * 1024 if "big" in controls.faults else 0
    message: dict[str, Any] = {"role": "assistant", "content": None}
    if plan.kind == "tool":
        message["tool_calls"] = [
            {
                "id": f"call_{identifier(call.number, 24)}",
                "type": "function",
                "function": {"name": plan.tool, "arguments": plan.document},
            }
        ]
    else:
        message["content"] = plan.text(controls.size, least)
    message |= {"refusal": None, "annotations": []}
    body = {
        "id": identity,
        "object": "chat.completion",
        "created": int(time.time()),
        "model": bill.model,
        "choices": [
            {"index": index, "message": message, "logprobs": None, "finish_reason": _finish(plan)}
            for index in range(choices)
        ],
        "usage": counts,
        "service_tier": "default",
        "system_fingerprint": FINGERPRINT,
    }
    return orjson.dumps(body, option=orjson.OPT_INDENT_2) + b"\n"


def _chat_events(call: Call, plan: Plan, choices: int, identity: str, options: StreamOptions) -> Iterator[Event | Act]:
    bill = call.bill
    start = (
        b'data: {"id":"%b","object":"chat.completion.chunk","created":%d,"model":%b,'
        b'"service_tier":"default","system_fingerprint":"%b","choices":['
        % (identity.encode(), int(time.time()), orjson.dumps(bill.model), FINGERPRINT.encode())
    )
    tail = b',"usage":null' if options.include_usage else b""
    close = tail + (b',"obfuscation":"Zk3"}\n\n' if options.include_obfuscation else b"}\n\n")

    def chunk(index: int, delta: bytes, finish: bytes = b"null") -> bytes:
        return b'%b{"index":%d,"delta":%b,"logprobs":null,"finish_reason":%b}]%b' % (
            start,
            index,
            delta,
            finish,
            close,
        )

    everyone = range(choices)
    if plan.kind == "tool":
        role = (
            b'{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"call_%b","type":"function",'
            b'"function":{"name":%b,"arguments":""}}],"refusal":null}'
            % (identifier(call.number, 24).encode(), orjson.dumps(plan.tool))
        )
        before, after = b'{"tool_calls":[{"index":0,"function":{"arguments":"', b'"}}]}'
    else:
        role = b'{"role":"assistant","content":"","refusal":null}'
        before, after = b'{"content":"', b'"}'
    bill.output += plan.thinking
    first = tuple(chunk(index, role) for index in everyone)
    parts = [chunk(index, b"%s").partition(b"%s") for index in everyone]
    sides = [(head + before, after + rest) for head, _, rest in parts]
    pad = max(0, call.controls.size - len(sides[0][0]) - len(sides[0][1]) - 17)
    pending: tuple[bytes, ...] = first
    for fragment in plan.fragments(pad):
        for head, rest in sides:
            bill.output += 1
            bill.events += 1
            if pending:
                yield (*pending, head + fragment + rest)
                pending = ()
            else:
                yield head + fragment + rest
    final = [chunk(index, b"{}", b'"%b"' % _finish(plan).encode()) for index in everyone]
    counts = usage(call, plan, choices)
    bill.output = counts["completion_tokens"]
    if options.include_usage:
        end = close.replace(b'"usage":null', b'"usage":' + orjson.dumps(counts))
        final.append(start + b"]" + end)
    yield Last((*pending, *final, DONE))


def fill_in(call: Call) -> Reply:
    """POST /v1/fim/completions of Mistral, which refuses members that it does not know, and answers as chat."""
    asked = orjson.loads(call.body)
    if unknown := set(asked) - _FILL_IN:
        raise msgspec.ValidationError(f"extra_forbidden: {', '.join(sorted(unknown))}")
    body = {name: asked[name] for name in ("model", "max_tokens", "stream", "stop") if name in asked}
    body |= {"messages": [{"role": "user", "content": asked["prompt"]}], "stream_options": {"include_usage": True}}
    call.body = orjson.dumps(body)
    return chat(call)


def completion(call: Call) -> Reply:
    """POST /v1/completions."""
    request = msgspec.json.decode(call.body, type=CompletionRequest)
    plan = content.plan(call, limit=request.max_tokens)
    content.bill_input(call, content.input_tokens(call), call.controls.cached or 0, 0)
    bill = call.bill
    choices = request.n or 1
    counts = usage(call, plan, choices)
    counts = {key: counts[key] for key in ("prompt_tokens", "completion_tokens", "total_tokens")}
    common = {
        "id": f"cmpl-{identifier(call.number, 29)}",
        "object": "text_completion",
        "created": int(time.time()),
    }
    if not request.stream:
        bill.output += counts["completion_tokens"]
        rows = [
            {"text": plan.text(call.controls.size), "index": index, "logprobs": None, "finish_reason": _finish(plan)}
            for index in range(choices)
        ]
        body = common | {"model": bill.model, "choices": rows, "usage": counts}
        return Reply(200, headers(call), orjson.dumps(body, option=orjson.OPT_INDENT_2) + b"\n", stream_error())
    bill.stream = True
    asked = (request.stream_options or StreamOptions()).include_usage

    def events() -> Iterator[Event | Act]:
        start = b"data: " + orjson.dumps(common)[:-1] + b',"choices":[{"text":"'
        named = orjson.dumps(bill.model) + (b',"usage":null}\n\n' if asked else b"}\n\n")
        for index in range(choices):
            for number, fragment in enumerate(plan.fragments()):
                bill.output += 1
                bill.events += 1
                reason = b'"%b"' % _finish(plan).encode() if number == plan.count - 1 else b"null"
                yield b'%b%b","index":%d,"logprobs":null,"finish_reason":%b}],"model":%b' % (
                    start,
                    fragment,
                    index,
                    reason,
                    named,
                )
        bill.output = counts["completion_tokens"]
        if asked:
            last = common | {"model": bill.model, "usage": counts, "choices": []}
            yield Last((b"data: " + orjson.dumps(last) + b"\n\n", DONE))
        else:
            yield Last((DONE,))

    return Reply(200, headers(call, b"text/event-stream"), events(), stream_error())
