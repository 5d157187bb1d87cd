"""Writes answer events as generateContent answers: one response, or a stream of them.

A function call is one part, so its arguments are collected until it ends. A stream is server-sent
events with ``alt=sse`` and a JSON array otherwise, as Google sends them.

https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from providers.conversation.arguments import read_object
from providers.conversation.conversation import (
    Counts,
    Event,
    Failed,
    Finish,
    Reason,
    ReasoningDelta,
    TextDelta,
    ToolDelta,
    ToolStart,
)

_encode = msgspec.json.Encoder().encode
_REASONS: Final = {
    Reason.END: "STOP",
    Reason.STOP_SEQUENCE: "STOP",
    Reason.LENGTH: "MAX_TOKENS",
    Reason.TOOL: "STOP",
    Reason.FILTER: "SAFETY",
}


def _usage(counts: Counts) -> dict[str, int]:
    """Google counts thoughts beside the candidates, chat inside of them."""
    thoughts = min(counts.reasoning or 0, counts.output or 0)
    found = {
        "promptTokenCount": counts.input or 0,
        "candidatesTokenCount": (counts.output or 0) - thoughts,
        "totalTokenCount": (counts.input or 0) + (counts.output or 0),
    }
    if thoughts:
        found["thoughtsTokenCount"] = thoughts
    if counts.cached:
        found["cachedContentTokenCount"] = counts.cached
    return found


class _Parts:
    """Turns events into parts; ``failed`` once a call's arguments are no object."""

    def __init__(self, *, reasoning: bool) -> None:
        self._reasoning = reasoning
        self._call: tuple[str, str] | None = None
        self._arguments: list[str] = []
        self._incomplete = False
        self.finish: Finish | None = None
        self.counts = Counts()
        self.failed = False

    def of(self, event: Event) -> list[dict[str, Any]]:
        if self.failed:
            return []
        match event:
            case TextDelta(text):
                return [*self.ended_call(), {"text": text}]
            case ReasoningDelta(text) if self._reasoning:
                return [*self.ended_call(), {"text": text, "thought": True}]
            case ToolStart(identity, name):
                ended = self.ended_call()
                self._call, self._arguments = (identity, name), []
                return ended
            case ToolDelta(arguments):
                self._arguments.append(arguments)
            case Counts():
                self.counts = event
            case Finish(reason):
                self.finish = event
                ended = self.ended_call()
                self.failed = self._incomplete and reason is not Reason.LENGTH
                return ended
            case Failed():
                self.failed = True
        return []

    def ended_call(self) -> list[dict[str, Any]]:
        if self._call is None:
            return []
        (identity, name), self._call = self._call, None
        arguments = read_object("".join(self._arguments))
        if arguments is None:
            self._incomplete = True  # fine if the answer was cut at the limit of its length: the reason says so
            return []
        return [{"functionCall": {"id": identity, "name": name, "args": arguments}}]


class ResponseStream:
    """The writer of one streamed answer. After `Failed` it writes nothing more."""

    def __init__(self, identity: str, model: str, *, reasoning: bool, sse: bool) -> None:
        self._identity = identity
        self._model = model
        self._parts = _Parts(reasoning=reasoning)
        self._sse = sse
        self._begun = False

    @property
    def failed(self) -> bool:
        """The answer can't go on: a call's arguments are no object, or the engine failed."""
        return self._parts.failed

    def write(self, events: Iterable[Event]) -> bytes:
        """The bytes to send for these events."""
        frames = (self._parts.of(event) for event in events)
        return b"".join(self._frame(self._response(parts)) for parts in frames if parts)

    def end(self) -> bytes:
        """The last response, with the finish reason and the counts; nothing unless it finished."""
        finish = self._parts.finish
        if finish is None or self._parts.failed:
            return b""
        response = self._response([{"text": ""}])
        response["candidates"][0]["finishReason"] = _REASONS[finish.reason]
        response["usageMetadata"] = _usage(self._parts.counts)
        return self._frame(response) + (b"" if self._sse else b"\n]\n")

    def _response(self, parts: list[dict[str, Any]]) -> dict[str, Any]:
        return _response(self._identity, self._model, parts)

    def _frame(self, response: dict[str, Any]) -> bytes:
        if self._sse:
            return b"data: %b\r\n\r\n" % _encode(response)
        before = b",\r\n" if self._begun else b"["
        self._begun = True
        return before + _encode(response)


def write_response(events: Iterable[Event], identity: str, model: str, *, reasoning: bool) -> bytes | None:
    """The whole response, or None where the answer failed or the arguments of a call are no object."""
    reader = _Parts(reasoning=reasoning)
    parts = [part for event in events for part in reader.of(event)]
    if reader.failed or reader.finish is None:
        return None
    response = _response(identity, model, parts or [{"text": ""}])
    response["candidates"][0]["finishReason"] = _REASONS[reader.finish.reason]
    response["usageMetadata"] = _usage(reader.counts)
    return _encode(response)


def _response(identity: str, model: str, parts: list[dict[str, Any]]) -> dict[str, Any]:
    candidate = {"content": {"parts": parts, "role": "model"}, "index": 0}
    return {"candidates": [candidate], "modelVersion": model, "responseId": identity}
