"""Which operation a path names, and the reply to it before faults and framing.

A dialect is recognised by the path (and ``GET /v1/models`` by Anthropic's version header). A body
that does not decode, an unknown control and an unknown path get that dialect's own error.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from benchmarks.simulator import (
    anthropic,
    google,
    google_errors,
    openai_chat,
    openai_errors,
    openai_plain,
    openai_responses,
)
from benchmarks.simulator.controls import ERROR_FAULTS, Controls, from_model
from benchmarks.simulator.exchange import Call, Reply, identifier

Handler = Callable[[Call], Reply]
OPENAI: dict[str, Handler] = {
    "/chat/completions": openai_chat.chat,
    "/completions": openai_chat.completion,
    "/fim/completions": openai_chat.fill_in,
    "/responses": openai_responses.responses,
    "/responses/compact": openai_responses.compact,
    "/responses/input_tokens": openai_responses.input_tokens,
    "/embeddings": openai_plain.embeddings,
}
ANTHROPIC: dict[str, Handler] = {
    "/messages": anthropic.messages,
    "/messages/count_tokens": anthropic.count_tokens,
}
GOOGLE: dict[str, Handler] = {
    "generateContent": google.generate,
    "streamGenerateContent": google.stream,
    "countTokens": google.count_tokens,
    "embedContent": google.embed,
    "batchEmbedContents": google.batch_embed,
}


class _Named(msgspec.Struct):
    model: str = ""


def _error(call: Call, fault: str) -> Reply:
    if call.bill.dialect == "anthropic":
        return anthropic.error(call, fault)
    if call.bill.dialect == "google":
        return google_errors.error(call, fault)
    return openai_errors.error(call, fault)


def recognise(call: Call) -> Handler | None:
    """Find the operation; sets dialect, operation, id and (for Google) the model on the bill."""
    bill, path = call.bill, call.path
    short = path.removeprefix("/v1")
    if ":" in path and "/models/" in path:
        model, _, method = path.partition("/models/")[2].rpartition(":")
        bill.dialect, bill.operation, bill.model = "google", method, model
        bill.id = identifier(call.number, 22)
        return GOOGLE.get(method)
    if path.startswith("/v1beta") or (short.startswith("/models") and call.header(b"x-goog-api-key")):
        bill.dialect, bill.operation, bill.id = "google", "models", identifier(call.number, 22)
        return google_errors.models if path.removeprefix("/v1beta").startswith(("/models", "/v1/models")) else None
    if short.startswith("/messages") or call.header(b"anthropic-version") is not None:
        bill.dialect, bill.operation, bill.id = "anthropic", short, anthropic.request_id(call.number)
        return anthropic.models if short.startswith("/models") else ANTHROPIC.get(short)
    bill.dialect, bill.operation, bill.id = "openai", short, openai_errors.request_id(call.number)
    return openai_plain.models if short.startswith("/models") else OPENAI.get(short)


def answer(call: Call, defaults: Controls, cache: dict[str, tuple[str, Controls]], keys: frozenset[str]) -> Reply:
    """The reply to a call. Sets ``call.controls``; ``cache`` remembers parsed model names."""
    handler = recognise(call)
    bill = call.bill
    call.controls = defaults
    if handler is None:
        return _error(call, "404")
    if keys and not _key(call) & keys:
        return _error(call, "401")
    try:
        if call.method == "POST":
            _select(call, defaults, cache)
        error = call.controls.faults & ERROR_FAULTS
        return _marked(call, _error(call, min(error))) if error else handler(call)
    except (msgspec.MsgspecError, ValueError, KeyError, TypeError, AttributeError):  # a member of the wrong kind, too
        bill.input = bill.output = 0
        return _error(call, "invalid")


def _select(call: Call, defaults: Controls, cache: dict[str, tuple[str, Controls]]) -> None:
    bill = call.bill
    model = bill.model or msgspec.json.decode(call.body, type=_Named).model
    chosen = cache.get(model)
    if chosen is None:
        chosen = from_model(model, defaults)
        if len(cache) < 1000:
            cache[model] = chosen
    bill.model, controls = chosen
    call.controls = controls.of(call.number)


def _marked(call: Call, reply: Reply) -> Reply:
    """An error whose message also holds the control ``mark``."""
    mark = call.controls.mark.encode()
    if mark and isinstance(reply.content, bytes):
        for start in (b'"message": "', b'"message":"'):
            reply.content = reply.content.replace(start, start + mark + b" ")
    return reply


def _key(call: Call) -> set[str]:
    found = {call.header(b"x-api-key"), call.header(b"x-goog-api-key")}
    bearer = call.header(b"authorization") or b""
    found.add(bearer.removeprefix(b"Bearer "))
    return {value.decode("latin-1") for value in found if value}
