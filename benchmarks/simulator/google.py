"""Google's Gemini API: generateContent, its stream in both forms, counting, embeddings, models.

Stream with ``alt=sse``: ``data:`` lines with CRLF, no event names, no end marker; every chunk carries
``usageMetadata`` so far. Without it: a JSON array of pretty-printed objects. With
``$alt=json;enum-encoding=int`` enumerations are numbers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs

import msgspec
import orjson

from benchmarks.simulator import content
from benchmarks.simulator.content import Plan
from benchmarks.simulator.exchange import Act, Call, Event, Last, Reply, identifier
from benchmarks.simulator.google_errors import error_body, headers

SIGNATURE = "CmIBEU0yD5" + "c2ltLXRob3VnaHQ" * 6


class GenerateRequest(msgspec.Struct, rename="camel"):
    """The members that change the answer; everything else is skipped undecoded."""

    contents: msgspec.Raw = msgspec.Raw(b"[]")
    tools: msgspec.Raw = msgspec.Raw(b"[]")
    tool_config: dict[str, Any] | None = None
    generation_config: dict[str, Any] | None = None


def _member(source: Any, *names: str) -> Any:
    """The first of several spellings that a JSON object has (SDKs send camelCase or snake_case)."""
    if not isinstance(source, dict):
        return None
    return next((source[name] for name in names if name in source), None)


_RESULT = ("functionResponse", "function_response")
_PARAMETERS = ("parameters", "parametersJsonSchema", "parameters_json_schema")


def _last_user_text(contents: bytes) -> str:
    decoded = orjson.loads(contents)
    said: list[str] = []
    for message in reversed(decoded if isinstance(decoded, list) else [decoded]):
        parts = message.get("parts", ())
        parts = parts if isinstance(parts, list) else [parts]
        if message.get("role", "user") != "user" or any(_member(part, *_RESULT) is not None for part in parts):
            break
        said += [str(part.get("text", "")) for part in parts]
    return " ".join(said)


def _tool(call: Call, request: GenerateRequest) -> tuple[str, Any] | None:
    tools = orjson.loads(bytes(request.tools))
    functions = [
        function
        for tool in (tools if isinstance(tools, list) else [tools])
        for function in _member(tool, "functionDeclarations", "function_declarations") or ()
    ]
    config = _member(request.tool_config, "functionCallingConfig", "function_calling_config") or {}
    mode = config.get("mode", "AUTO")
    if not functions or mode in {"NONE", 3}:
        return None
    return content.asked_tool(
        call,
        lambda: _last_user_text(bytes(request.contents)),
        [
            (function.get("name", "tool"), _member(function, *_PARAMETERS) or {"type": "object"})
            for function in functions
        ],
        must=mode in {"ANY", 2},
    )


def _plan(call: Call) -> Plan:
    request = msgspec.json.decode(call.body, type=GenerateRequest)
    config = request.generation_config or {}
    thoughts = _member(config, "thinkingConfig", "thinking_config") or {}
    asked = bool(_member(thoughts, "includeThoughts", "include_thoughts"))
    schema = _member(
        config, "responseSchema", "responseJsonSchema", "response_schema", "response_json_schema", "_responseJsonSchema"
    )
    if schema is None and _member(config, "responseMimeType", "response_mime_type") == "application/json":
        schema = {"type": "object", "properties": {"answer": {"type": "string"}}}
    plan = content.plan(
        call,
        schema=schema,
        tool=_tool(call, request),
        limit=_member(config, "maxOutputTokens", "max_output_tokens"),
        thinking=4 if asked else 0,
    )
    content.bill_input(call, content.input_tokens(call), call.controls.cached or 0, 0)
    call.bill.reasoning = plan.thinking
    return plan


class _Form:
    """How this call wants its enumerations and its stream."""

    def __init__(self, call: Call) -> None:
        query = parse_qs(call.query)
        self.numbers = "enum-encoding=int" in "".join(query.get("$alt", ())) + "".join(query.get("alt", ()))
        self.sse = "sse" in [*query.get("alt", ()), *query.get("$alt", ())]
        self.text: str | int = 1 if self.numbers else "TEXT"

    def finish(self, plan: Plan) -> str | int:
        if self.numbers:
            return 2 if plan.truncated else 1
        return "MAX_TOKENS" if plan.truncated else "STOP"


def _usage(call: Call, plan: Plan, form: _Form, candidates: int) -> dict[str, Any]:
    bill = call.bill
    usage: dict[str, Any] = {
        "promptTokenCount": bill.input,
        "candidatesTokenCount": candidates,
        "totalTokenCount": bill.input + candidates + plan.thinking,
    }
    if bill.cache_read:
        usage["cachedContentTokenCount"] = bill.cache_read
    usage["promptTokensDetails"] = [{"modality": form.text, "tokenCount": bill.input}]
    if plan.thinking:
        usage["thoughtsTokenCount"] = plan.thinking
    return usage


def _chunk(
    call: Call, plan: Plan, form: _Form, parts: list[dict[str, Any]], candidates: int, *, finish: bool
) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}}
    if finish:
        candidate["finishReason"] = form.finish(plan)
    return {
        "candidates": [candidate | {"index": 0}],
        "usageMetadata": _usage(call, plan, form, candidates),
        "modelVersion": call.bill.model,
        "responseId": identifier(call.number, 22),
    }


def _call_part(plan: Plan) -> dict[str, Any]:
    return {"functionCall": {"name": plan.tool, "args": plan.arguments}, "thoughtSignature": SIGNATURE}


def _visible(call: Call, plan: Plan) -> int:
    stated = call.controls.tokens_out
    return plan.count if stated is None else stated


def generate(call: Call) -> Reply:
    """POST :generateContent. Raises msgspec errors for a body that is not a request."""
    plan, form, controls = _plan(call), _Form(call), call.controls
    parts: list[dict[str, Any]] = []
    if plan.thinking:
        parts.append({"text": "".join(plan.thoughts()), "thought": True})
    if plan.kind == "tool":
        parts.append(_call_part(plan))
    else:
        least = controls.kib * 1024 if "big" in controls.faults else 0
        parts.append({"text": plan.text(controls.size, least)})
    visible = _visible(call, plan)
    call.bill.output += visible + plan.thinking
    return _pretty(call, _chunk(call, plan, form, parts, visible, finish=True))


def _pretty(call: Call, body: dict[str, Any]) -> Reply:
    return Reply(200, headers(call), orjson.dumps(body, option=orjson.OPT_INDENT_2) + b"\n")


def stream(call: Call) -> Reply:
    """POST :streamGenerateContent, as events or as an array."""
    plan, form = _plan(call), _Form(call)
    call.bill.stream = True
    failure = error_body("503", call, indent=None)
    if form.sse:
        lines = headers(call, b"text/event-stream") + b"Content-Disposition: attachment\r\n"
        return Reply(200, lines, _sse(call, plan, form), b"data: " + failure + b"\r\n\r\n")
    return Reply(200, headers(call), _array(call, plan, form), b",\r\n" + failure + b"\n]")


def _chunks(call: Call, plan: Plan, form: _Form) -> Iterator[dict[str, Any]]:
    """The chunks of a stream that are not plain text deltas, in order; a text delta is ``{}``."""
    bill = call.bill
    for thought in plan.thoughts():
        bill.output += 1
        bill.events += 1
        yield _chunk(call, plan, form, [{"text": thought, "thought": True}], 0, finish=False)
    if plan.kind == "tool":
        bill.output = _visible(call, plan) + plan.thinking
        bill.events += 1
        yield _chunk(call, plan, form, [_call_part(plan)], _visible(call, plan), finish=True)
        return
    for _ in range(plan.count):
        bill.output += 1
        bill.events += 1
        yield {}
    bill.output = _visible(call, plan) + plan.thinking
    yield _chunk(call, plan, form, [{"text": ""}], _visible(call, plan), finish=True)


def _sse(call: Call, plan: Plan, form: _Form) -> Iterator[Event | Act]:
    def event(chunk: dict[str, Any]) -> bytes:
        return b"data: " + json.dumps(chunk, separators=(",", ": ")).encode() + b"\r\n\r\n"

    # Text deltas differ in the fragment and two counts alone.
    pattern = event(_chunk(call, plan, form, [{"text": "\0"}], 0, finish=False)).replace(b"%", b"%%")
    pattern = pattern.replace(b"\\u0000", b"%b").replace(b'"candidatesTokenCount": 0', b'"candidatesTokenCount": %d')
    total = call.bill.input + plan.thinking
    pattern = pattern.replace(b'"totalTokenCount": %d' % total, b'"totalTokenCount": %d')
    pad = max(0, call.controls.size - len(pattern) - 17)
    fragments = plan.fragments(pad)
    count = 0
    for chunk in _chunks(call, plan, form):
        if chunk:
            finished = "finishReason" in chunk["candidates"][0]
            yield Last((event(chunk),)) if finished else event(chunk)
        else:
            count += 1
            yield pattern % (next(fragments), count, total + count)


def _array(call: Call, plan: Plan, form: _Form) -> Iterator[Event | Act]:
    fragments = plan.fragments(call.controls.size)
    count = 0
    lead = b"["
    for chunk in _chunks(call, plan, form):
        body = chunk
        if not body:
            count += 1
            text = orjson.loads(b'"' + next(fragments) + b'"')
            body = _chunk(call, plan, form, [{"text": text}], count, finish=False)
        item = lead + orjson.dumps(body, option=orjson.OPT_INDENT_2) + b"\n"
        lead = b",\r\n"
        yield Last((item, b"]")) if "finishReason" in body["candidates"][0] else item


def count_tokens(call: Call) -> Reply:
    """POST :countTokens, which is not billed."""
    total = content.input_tokens(call)
    detail = {"modality": _Form(call).text, "tokenCount": total}
    return _pretty(call, {"totalTokens": total, "promptTokensDetails": [detail]})


def _values(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    dims = _member(request, "outputDimensionality", "output_dimensionality") or call.controls.dims
    return {"values": content.vector(orjson.dumps(request.get("content")), dims)}


def embed(call: Call) -> Reply:
    """POST :embedContent."""
    content.bill_input(call, content.input_tokens(call), 0, 0)
    return _pretty(call, {"embedding": _values(call, orjson.loads(call.body))})


def batch_embed(call: Call) -> Reply:
    """POST :batchEmbedContents."""
    content.bill_input(call, content.input_tokens(call), 0, 0)
    rows = [_values(call, request) for request in orjson.loads(call.body)["requests"]]
    return _pretty(call, {"embeddings": rows})
