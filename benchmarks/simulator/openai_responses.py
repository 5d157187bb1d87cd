"""OpenAI Responses: JSON, the event sequence of a stream, compaction and token counting.

Stream: ``event:`` and ``data:`` lines with LF and a running ``sequence_number``; ``response.created``,
``response.in_progress``, then items, parts and deltas, each closed by its ``.done``; the terminal
event repeats the whole response with its usage. There is no ``[DONE]``.
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
from benchmarks.simulator.openai_chat import last_user_text, reasons
from benchmarks.simulator.openai_errors import error_object, headers


class ResponsesRequest(msgspec.Struct):
    """The members that change the answer; everything else is skipped undecoded."""

    model: str
    input: msgspec.Raw = msgspec.Raw(b'""')
    stream: bool | None = False
    store: bool | None = True
    tools: list[dict[str, Any]] | None = None
    tool_choice: Any = None
    text: dict[str, Any] | None = None
    include: list[str] | None = None
    max_output_tokens: int | None = None


def _last_text(request: ResponsesRequest) -> str:
    raw = bytes(request.input)
    return str(orjson.loads(raw)) if raw.startswith(b'"') else last_user_text(raw)


def _tools(call: Call, request: ResponsesRequest) -> list[dict[str, Any]]:
    """Every tool of the request that its client runs: also those of items ``additional_tools`` and of namespaces, which
    is where Codex has them.
    """
    given = list(request.tools or ())
    if b'"additional_tools"' in call.body:
        for item in orjson.loads(bytes(request.input)):
            given += item["tools"] if item.get("type") == "additional_tools" else []
    found: list[dict[str, Any]] = []
    for tool in given:
        if tool.get("type") == "namespace":
            found += ({**inner, "namespace": tool["name"]} for inner in tool["tools"])
        else:
            found.append(tool)
    return [tool for tool in found if tool.get("type") in ("function", "custom")]


def _tool(call: Call, request: ResponsesRequest) -> tuple[str, Any] | None:
    functions = _tools(call, request)
    choice = request.tool_choice
    if not functions or choice == "none":
        return None
    if isinstance(choice, dict):
        functions = [function for function in functions if function.get("name") == choice.get("name")] or functions
    return content.asked_tool(
        call,
        lambda: _last_text(request),
        [(function.get("name", "tool"), function.get("parameters")) for function in functions],
        must=choice == "required" or isinstance(choice, dict),
    )


class _Answer:
    """The items of one response, finished, and the response object around them."""

    def __init__(self, call: Call, request: ResponsesRequest) -> None:
        name = call.bill.model
        schema = ((request.text or {}).get("format") or {}).get("schema")
        self.call = call
        self.request = request
        self.plan = content.plan(
            call,
            schema=schema,
            tool=_tool(call, request),
            limit=request.max_output_tokens,
            thinking=16 if reasons(name) else 0,
        )
        content.bill_input(call, content.input_tokens(call), call.controls.cached or 0, 0)
        call.bill.reasoning = self.plan.thinking
        self.tool: dict[str, Any] = {}
        if self.plan.kind == "tool":
            self.tool = next(tool for tool in _tools(call, request) if tool.get("name", "tool") == self.plan.tool)
        if self.tool.get("type") == "custom":  # its argument is one text, and a prompt gives it as the member ``input``
            self.plan = self.plan.saying(str(self.plan.arguments.get("input", "")))
        self.identity = identifier(call.number, 48)
        self.created = int(time.time())

    def reasoning(self) -> dict[str, Any]:
        item: dict[str, Any] = {"id": f"rs_{self.identity}", "type": "reasoning", "content": [], "summary": []}
        if "reasoning.encrypted_content" in (self.request.include or ()):
            item["encrypted_content"] = "gAAAAAB" + "c2ltLXRob3VnaHQ" * 8
        return item

    def item(self, text: str | None, status: str = "completed") -> dict[str, Any]:
        """The message or function call; ``text`` is its content, ``None`` before it begins."""
        plan = self.plan
        if plan.kind == "tool":
            custom = self.tool.get("type") == "custom"
            space = {"namespace": self.tool["namespace"]} if "namespace" in self.tool else {}
            return {
                "id": f"{'ctc' if custom else 'fc'}_{self.identity}",
                "type": "custom_tool_call" if custom else "function_call",
                "status": status,
                "input" if custom else "arguments": text or "",
                "call_id": f"call_{identifier(self.call.number, 24)}",
                "name": plan.tool,
                **space,
            }
        part: dict[str, Any] = {"type": "output_text", "annotations": [], "logprobs": [], "text": text}
        return {
            "id": f"msg_{self.identity}",
            "type": "message",
            "status": status,
            "content": [] if text is None else [part],
            "role": "assistant",
        }

    def usage(self) -> dict[str, Any]:
        bill, plan, stated = self.call.bill, self.plan, self.call.controls.tokens_out
        output = (plan.count if stated is None else stated) + plan.thinking
        return {
            "input_tokens": bill.input,
            "input_tokens_details": {"cache_write_tokens": 0, "cached_tokens": bill.cache_read},
            "output_tokens": output,
            "output_tokens_details": {"reasoning_tokens": plan.thinking},
            "total_tokens": bill.input + output,
        }

    def response(self, status: str, text: str | None = None) -> dict[str, Any]:
        done = text is not None
        output = ([self.reasoning()] if self.plan.thinking else []) + [self.item(text)] if done else []
        return {
            "id": f"resp_{self.identity}",
            "object": "response",
            "created_at": self.created,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
            "instructions": None,
            "max_output_tokens": self.request.max_output_tokens,
            "model": self.call.bill.model,
            "output": output,
            "parallel_tool_calls": True,
            "previous_response_id": None,
            "reasoning": {"effort": "medium" if self.plan.thinking else None, "summary": None},
            "service_tier": "default" if done else "auto",
            "store": self.request.store is not False,
            "temperature": 1.0,
            "text": self.request.text or {"format": {"type": "text"}, "verbosity": "medium"},
            "tool_choice": self.request.tool_choice or "auto",
            "tools": self.request.tools or [],
            "top_p": 1.0,
            "truncation": "disabled",
            "usage": self.usage() if done else None,
            "user": None,
            "metadata": {},
        }


def responses(call: Call) -> Reply:
    """POST /v1/responses. Raises msgspec errors for a body that is not a request."""
    request = msgspec.json.decode(call.body, type=ResponsesRequest)
    answer = _Answer(call, request)
    if request.stream:
        call.bill.stream = True
        lines = headers(call, b"text/event-stream; charset=utf-8")
        return Reply(200, lines, _events(answer), _stream_error(answer))
    controls = call.controls
    call.bill.output += answer.usage()["output_tokens"]
    least = controls.kib * 1024 if "big" in controls.faults else 0
    body = answer.response(_status(answer.plan), answer.plan.text(controls.size, least))
    return Reply(200, headers(call), orjson.dumps(body, option=orjson.OPT_INDENT_2))


def _status(plan: Plan) -> str:
    return "incomplete" if plan.truncated else "completed"


def _event(kind: str, number: int, **members: Any) -> bytes:
    data = {"type": kind, "sequence_number": number} | members
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), orjson.dumps(data))


def _events(answer: _Answer) -> Iterator[Event | Act]:
    call, plan = answer.call, answer.plan
    bill = call.bill
    number = 2
    pending: list[bytes] = [
        _event("response.created", 0, response=answer.response("in_progress")),
        _event("response.in_progress", 1, response=answer.response("in_progress")),
    ]
    index = 0
    if plan.thinking:
        item = answer.reasoning()
        bill.output += plan.thinking
        pending.append(_event("response.output_item.added", number, output_index=0, item=item))
        pending.append(_event("response.output_item.done", number + 1, output_index=0, item=item))
        number += 2
        index = 1
    begun = answer.item(None, "in_progress")
    where: dict[str, Any] = {"item_id": begun["id"], "output_index": index}
    pending.append(_event("response.output_item.added", number, output_index=index, item=begun))
    number += 1
    text = plan.kind != "tool"
    if text:
        where["content_index"] = 0
        part: dict[str, Any] = {"type": "output_text", "annotations": [], "logprobs": [], "text": ""}
        pending.append(_event("response.content_part.added", number, **where, part=part))
        number += 1
    custom = answer.tool.get("type") == "custom"
    called = "response.custom_tool_call_input" if custom else "response.function_call_arguments"
    kind = "response.output_text" if text else called
    head = b'event: %b.delta\ndata: {"type":"%b.delta","sequence_number":' % (kind.encode(), kind.encode())
    middle = b"," + orjson.dumps(where)[1:-1] + b',"delta":"'
    tail = b'","logprobs":[],"obfuscation":"A60miYRz"}\n\n' if text else b'","obfuscation":"A60miYRz"}\n\n'
    pad = max(0, call.controls.size - len(head) - len(middle) - len(tail) - 17 - 3)
    for fragment in plan.fragments(pad):
        bill.output += 1
        bill.events += 1
        event = head + b"%d" % number + middle + fragment + tail
        number += 1
        if pending:
            yield (*pending, event)
            pending = []
        else:
            yield event
    whole = plan.text(pad)
    item = answer.item(whole)
    if text:
        pending.append(_event("response.output_text.done", number, **where, text=whole, logprobs=[]))
        part = item["content"][0]
        pending.append(_event("response.content_part.done", number + 1, **where, part=part))
        number += 2
    else:
        pending.append(_event(f"{kind}.done", number, **where, **{"input" if custom else "arguments": whole}))
        number += 1
    pending.append(_event("response.output_item.done", number, output_index=index, item=item))
    status = _status(plan)
    bill.output = answer.usage()["output_tokens"]
    pending.append(_event(f"response.{status}", number + 1, response=answer.response(status, whole)))
    yield Last(pending)


def _stream_error(answer: _Answer) -> bytes:
    failed = answer.response("failed")
    failed["error"] = {"code": "server_error", "message": "The server had an error."}
    return _event("error", 2, error=error_object("500")) + _event("response.failed", 3, response=failed)


def compact(call: Call) -> Reply:
    """POST /v1/responses/compact: the input comes back as one encrypted item."""
    request = msgspec.json.decode(call.body, type=ResponsesRequest)
    answer = _Answer(call, request)
    usage = answer.usage()
    call.bill.output += usage["output_tokens"]
    item = {
        "id": f"cmp_{answer.identity}",
        "type": "compaction",
        "encrypted_content": "gAAAAAB" + "c2ltLWFuc3dlcg" * 16,
    }
    body = {
        "id": f"resp_{answer.identity}",
        "object": "response.compaction",
        "created_at": answer.created,
        "output": [item],
        "usage": usage,
    }
    return Reply(200, headers(call), orjson.dumps(body, option=orjson.OPT_INDENT_2))


def input_tokens(call: Call) -> Reply:
    """POST /v1/responses/input_tokens, which is not billed."""
    body = {"object": "response.input_tokens", "input_tokens": content.input_tokens(call)}
    return Reply(200, headers(call), orjson.dumps(body, option=orjson.OPT_INDENT_2))
