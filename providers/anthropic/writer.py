"""Writes answer events as a Messages answer: one message, or the stream of its events.

A block is open at a time, as the API streams them. The counts are known at the end alone, so
``message_start`` states zero and ``message_delta`` the real ones, which SDKs take over.

https://platform.claude.com/docs/en/build-with-claude/streaming
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
    Reason.END: "end_turn",
    Reason.STOP_SEQUENCE: "stop_sequence",
    Reason.LENGTH: "max_tokens",
    Reason.TOOL: "tool_use",
    Reason.FILTER: "refusal",
}


def _event(kind: str, **members: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), _encode({"type": kind} | members))


def _usage(counts: Counts) -> dict[str, int]:
    """Anthropic counts what was read from the cache beside the input, chat inside of it."""
    cached = min(counts.cached or 0, counts.input or 0)
    return {
        "input_tokens": (counts.input or 0) - cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached,
        "output_tokens": counts.output or 0,
    }


class MessageWriter:
    """The writer of one streamed message. After `Failed` it writes nothing more."""

    def __init__(self, identity: str, model: str, *, reasoning: bool) -> None:
        self._identity = identity
        self._model = model
        self._reasoning = reasoning
        self._begun = False
        self._index = -1
        self._open = ""  # the kind of the open block
        self._finish: Finish | None = None
        self._counts = Counts()
        self._failed = False

    def write(self, events: Iterable[Event]) -> bytes:
        """The bytes to send for these events."""
        return b"".join(piece for event in events for piece in self._pieces(event))

    def end(self) -> bytes:
        """The end of the message; nothing unless it finished."""
        if self._finish is None or self._failed:
            return b""
        delta = {"stop_reason": _REASONS[self._finish.reason], "stop_sequence": self._finish.sequence}
        return b"".join(
            (
                *self._start(),
                *self._close(),
                _event("message_delta", delta=delta, usage=_usage(self._counts)),
                _event("message_stop"),
            )
        )

    def _pieces(self, event: Event) -> Iterable[bytes]:
        if self._failed:
            return
        match event:  # what only counts or ends begins no message: an error may still become a status
            case Counts():
                self._counts = event
            case Finish():
                self._finish = event
            case Failed():
                self._failed = True
            case _:
                yield from self._start()
                yield from self._output(event)

    def _output(self, event: Event) -> Iterable[bytes]:
        match event:
            case TextDelta(text):
                yield from self._block("text", {"type": "text", "text": ""})
                yield self._delta({"type": "text_delta", "text": text})
            case ReasoningDelta(text) if self._reasoning:
                yield from self._block("thinking", {"type": "thinking", "thinking": "", "signature": ""})
                yield self._delta({"type": "thinking_delta", "thinking": text})
            case ToolStart(identity, name):
                yield from self._close()
                yield from self._block("tool", {"type": "tool_use", "id": identity, "name": name, "input": {}})
            case ToolDelta(arguments):
                yield self._delta({"type": "input_json_delta", "partial_json": arguments})

    def _start(self) -> Iterable[bytes]:
        if not self._begun:
            self._begun = True
            message = _message(self._identity, self._model, [], None, Counts())
            yield _event("message_start", message=message)

    def _block(self, kind: str, block: dict[str, Any]) -> Iterable[bytes]:
        if self._open == kind:
            return
        yield from self._close()
        self._open = kind
        self._index += 1
        yield _event("content_block_start", index=self._index, content_block=block)

    def _close(self) -> Iterable[bytes]:
        if self._open:
            self._open = ""
            yield _event("content_block_stop", index=self._index)

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return _event("content_block_delta", index=self._index, delta=delta)


def write_message(events: Iterable[Event], identity: str, model: str, *, reasoning: bool) -> bytes | None:
    """The whole message, or None if the answer failed or the arguments of a call are no object."""
    blocks: list[dict[str, Any]] = []
    arguments: list[list[str]] = []
    finish: Finish | None = None
    counts = Counts()
    for event in events:
        match event:
            case TextDelta(text):
                _append(blocks, "text", "text", text)
            case ReasoningDelta(text) if reasoning:
                _append(blocks, "thinking", "thinking", text)
            case ToolStart(call, name):
                arguments.append([])
                blocks.append({"type": "tool_use", "id": call, "name": name, "input": arguments[-1]})
            case ToolDelta(piece):
                arguments[-1].append(piece)
            case Counts():
                counts = event
            case Finish():
                finish = event
            case Failed():
                return None
    if finish is None:
        return None
    for block in blocks:
        if block["type"] == "tool_use":
            block["input"] = read_object("".join(block["input"]))
        elif block["type"] == "thinking":
            block["signature"] = ""
    whole = [block for block in blocks if block["type"] != "tool_use" or block["input"] is not None]
    if len(whole) < len(blocks) and finish.reason is not Reason.LENGTH:
        return None
    blocks = whole  # a call that was cut at the limit of its length is left out, and the reason says why
    return _encode(_message(identity, model, blocks, finish, counts))


def _append(blocks: list[dict[str, Any]], kind: str, member: str, text: str) -> None:
    if not blocks or blocks[-1]["type"] != kind:
        blocks.append({"type": kind, member: ""})
    blocks[-1][member] += text


def _message(
    identity: str, model: str, content: list[dict[str, Any]], finish: Finish | None, counts: Counts
) -> dict[str, Any]:
    return {
        "id": identity,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": finish and _REASONS[finish.reason],
        "stop_sequence": finish and finish.sequence,
        "usage": _usage(counts),
    }
