"""Reads Chat Completions answers, streamed or whole, into events.

Engines differ from OpenAI, and these differences are read alike: a call of a tool that comes whole in
one chunk, or without an index, or with its id in every chunk; thoughts as ``reasoning_content``
(llama.cpp, vLLM, LM Studio) or ``reasoning`` (Ollama); the usage on the last chunk or on one of its
own; a finish reason ``stop`` behind a call; an error object inside a begun stream.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from providers.answers.counts import count, member
from providers.answers.sse import BOM, DONE, data_of, event_spans, last_boundary
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

MOST_HELD: Final = 16 << 20
"""Bytes of one event: no engine sends more, and memory stays bounded."""


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: Any = None


class _Call(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Message(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(msgspec.Struct):
    delta: _Message | None = None
    message: _Message | None = None
    finish_reason: str | None = None
    stop_reason: Any = None  # vLLM: the stop sequence that was met
    index: int = 0


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: dict[str, Any] | None = None
    error: msgspec.Raw = msgspec.Raw(b"null")


_DECODER = msgspec.json.Decoder(_Chunk)
_encode = msgspec.json.Encoder().encode
_REASONS: Final = {
    "stop": Reason.END,
    "length": Reason.LENGTH,
    "tool_calls": Reason.TOOL,
    "function_call": Reason.TOOL,
    "content_filter": Reason.FILTER,
}


class ChatEvents:
    """The events of one answer. Feed it the body in any cut; the events do not depend on the cut."""

    def __init__(self, stop: Sequence[str] = ()) -> None:
        self._stop = frozenset(stop)
        self._held = b""
        self._first = True
        self._current: int | str | None = None  # the call that the last delta belonged to
        self._calls: set[int | str] = set()
        self._finished = False
        self.done = False  # the answer's own end was seen: nothing follows
        self.failed = False
        self.count = 0  # events of the engine's stream

    def feed(self, data: bytes) -> list[Event]:
        """The events that end in this fragment of an event stream."""
        held = self._held + data if self._held else data
        end = last_boundary(held)
        self._held = held[end:]
        found: list[Event] = []
        for start, stop in event_spans(held[:end]) if end else ():
            self._read(held[start:stop], found)
        if len(self._held) > MOST_HELD:
            self._held = b""
            self._fail(found)
        return found

    def finish(self) -> list[Event]:
        """The body ended: what was held is an event as if its blank line had come."""
        found: list[Event] = []
        held, self._held = self._held, b""
        if held.strip():
            self._read(held, found)
        if not self._finished:
            self._fail(found)
        self.done = True
        return found

    def whole(self, body: bytes) -> list[Event]:
        """The events of an answer that is one JSON object."""
        found: list[Event] = []
        self._data(body.removeprefix(BOM), found)
        if not self._finished:
            self._fail(found)
        return found

    def _read(self, event: bytes, found: list[Event]) -> None:
        data = data_of(event.removeprefix(BOM) if self._first else event)
        self._first = False
        if not data or self.done:
            return
        if data.strip() == DONE:
            self.done = True
            return
        self.count += 1
        self._data(data, found)

    def _data(self, data: bytes, found: list[Event]) -> None:
        if self.failed:
            return
        try:
            chunk = _DECODER.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self._fail(found)
            return
        if bytes(chunk.error) != b"null":
            self._fail(found)
            return
        for choice in chunk.choices or ():
            if choice.index == 0:
                self._choice(choice, found)
        if chunk.usage is not None:
            found.append(_counts(chunk.usage))

    def _choice(self, choice: _Choice, found: list[Event]) -> None:
        message = choice.delta or choice.message
        if message is not None and not self._finished:
            thought = message.reasoning_content or message.reasoning
            if thought:
                self._current = None
                found.append(ReasoningDelta(thought))
            if text := message.content or message.refusal:
                self._current = None
                found.append(TextDelta(text))
            for number, call in enumerate(message.tool_calls or ()):
                self._call(call, number, found)
        if choice.finish_reason and not self._finished and not self.failed:
            self._finished = True
            found.append(self._finish(choice))

    def _call(self, call: _Call, number: int, found: list[Event]) -> None:
        key: int | str | None = call.index if call.index is not None else call.id or self._current
        if key is None:
            key = number
        function = call.function or _Function()
        if key not in self._calls:
            if not function.name:
                self._fail(found)
                return
            self._calls.add(key)
            found.append(ToolStart(call.id or f"call_{len(self._calls)}", function.name))
        elif key != self._current:
            # A call is told in one go: what goes back to an earlier one can't be passed on in order.
            self._fail(found)
            return
        self._current = key
        arguments = function.arguments
        if isinstance(arguments, dict):
            arguments = _encode(arguments).decode()
        if isinstance(arguments, str) and arguments:
            found.append(ToolDelta(arguments))

    def _finish(self, choice: _Choice) -> Finish:
        reason = _REASONS.get(choice.finish_reason or "", Reason.END)
        if reason is Reason.END and self._calls:
            return Finish(Reason.TOOL)
        if reason is Reason.END and isinstance(choice.stop_reason, str) and choice.stop_reason in self._stop:
            return Finish(Reason.STOP_SEQUENCE, choice.stop_reason)
        return Finish(reason)

    def _fail(self, found: list[Event]) -> None:
        if not self.failed:
            self.failed = True
            found.append(Failed())


def _counts(usage: dict[str, Any]) -> Counts:
    return Counts(
        input=count(usage.get("prompt_tokens")),
        output=count(usage.get("completion_tokens")),
        reasoning=count(member(member(usage, "completion_tokens_details"), "reasoning_tokens")),
        cached=count(member(member(usage, "prompt_tokens_details"), "cached_tokens")),
    )
