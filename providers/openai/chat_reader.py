"""Reads Chat Completions answers, streamed or whole, into events.

Engines differ from OpenAI, and what they say differently is read as the same: thoughts as ``reasoning_content``
(llama.cpp, vLLM, LM Studio) or ``reasoning`` (Ollama); content as a list of parts; the usage on the last chunk or on
one of its own; a finish reason ``stop`` after a call; a call as ``function_call``; ids and indexes of other types; an
error object inside a begun stream. How fragments of calls find together is in `providers.openai.fragments`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from providers.answers.counts import count, member
from providers.answers.sse import BOM, DONE, data_of, event_spans, last_boundary
from providers.conversation.conversation import Counts, Event, Failed, Finish, Reason, ReasoningDelta, TextDelta
from providers.dialect import ProviderError
from providers.document.members import ABSENT, given
from providers.openai.answer import chat_error
from providers.openai.fragments import MOST_HELD, Fragments, Unreadable


class _Function(msgspec.Struct):
    name: Any = None
    arguments: msgspec.Raw = ABSENT


class _Call(msgspec.Struct):
    index: Any = None
    id: Any = None
    function: _Function | None = None


class _Message(msgspec.Struct):
    content: Any = None
    refusal: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    tool_calls: list[_Call] | None = None
    function_call: _Function | None = None


class _Choice(msgspec.Struct):
    delta: _Message | None = None
    message: _Message | None = None
    finish_reason: Any = None
    stop_reason: Any = None  # vLLM: the stop sequence that was met
    index: Any = 0


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: Any = None
    error: msgspec.Raw = ABSENT


_DECODER = msgspec.json.Decoder(_Chunk)
_decode = msgspec.json.decode
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
        self._fragments = Fragments()
        self._finished = False
        self.done = False  # the answer's own end was seen: nothing follows
        self.failed = False
        self.error: ProviderError | None = None  # what the engine said where it failed
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
        """The events of an answer that is one JSON object, or a stream that nobody asked for."""
        if body.lstrip(b"\r\n \xef\xbb\xbf").startswith((b"data:", b"event:", b":")):
            return [*self.feed(body), *self.finish()]
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
        choices = chunk.choices or ()
        if given(chunk.error) or not choices or any(choice.finish_reason == "error" for choice in choices):
            error = chat_error(data)
            if error is not None:
                self._fail(found, error)
                return
        try:
            for choice in choices:
                if not choice.index:
                    self._choice(choice, found)
        except Unreadable:
            self._fail(found)
        if isinstance(chunk.usage, dict):
            found.append(_counts(chunk.usage))

    def _choice(self, choice: _Choice, found: list[Event]) -> None:
        if self._finished:
            return
        for message, whole in ((choice.delta, False), (choice.message, True)):
            if message is not None:
                self._message(message, found, whole=whole)
        if choice.finish_reason:
            named = choice.finish_reason if isinstance(choice.finish_reason, str) else ""
            reason = _REASONS.get(named, Reason.END)
            self._fragments.end(found, cut=reason is Reason.LENGTH)
            self._finished = True
            found.append(self._finish(reason, choice.stop_reason))

    def _message(self, message: _Message, found: list[Event], *, whole: bool) -> None:
        thought = message.reasoning_content or message.reasoning
        if isinstance(thought, str) and thought:
            self._fragments.prose(ReasoningDelta, thought, found)
        for kind, text in _texts(message.content or message.refusal):
            self._fragments.prose(kind, text, found)
        for call in message.tool_calls or ():
            function = call.function or _Function()
            name = function.name if isinstance(function.name, str) else ""
            self._fragments.call(
                _index(call.index), _identity(call.id), name, _arguments(function.arguments), found, whole=whole
            )
        if message.function_call is not None:
            name = message.function_call.name if isinstance(message.function_call.name, str) else ""
            self._fragments.call("function_call", "", name, _arguments(message.function_call.arguments), found)

    def _finish(self, reason: Reason, sequence: Any) -> Finish:
        if reason is Reason.END and self._fragments.called:
            return Finish(Reason.TOOL)
        if reason is Reason.END and isinstance(sequence, str) and sequence in self._stop:
            return Finish(Reason.STOP_SEQUENCE, sequence)
        return Finish(reason)

    def _fail(self, found: list[Event], error: ProviderError | None = None) -> None:
        if not self.failed:
            self.failed, self.error = True, error
            found.append(Failed())


def _texts(content: Any) -> Iterator[tuple[type[TextDelta | ReasoningDelta], str]]:
    """The texts of a content, which is one or a list of parts. Raises `Unreadable` for a part that is none."""
    if isinstance(content, str):
        if content:
            yield TextDelta, content
        return
    for part in content if isinstance(content, list) else [content] if content else []:
        match part:
            case {"type": "text" | "output_text" | "refusal"}:
                text = part.get("text", part.get("refusal"))
                if isinstance(text, str) and text:
                    yield TextDelta, text
            case {"type": "thinking" | "reasoning"}:
                thought = part.get("thinking", part.get("text"))
                for _, text in _texts(thought):
                    yield ReasoningDelta, text
            case _:
                raise Unreadable


def _index(value: Any) -> int | str | None:
    return value if isinstance(value, int | str) else None


def _identity(value: Any) -> str:
    return str(value) if isinstance(value, int | str) else ""


def _arguments(raw: msgspec.Raw) -> str:
    """A call's arguments, which are JSON in a string, or the object itself: then its bytes are kept."""
    if not given(raw):
        return ""
    text = bytes(raw).decode()
    return _decode(raw, type=str) if text.startswith('"') else text


def _counts(usage: dict[str, Any]) -> Counts:
    return Counts(
        input=count(usage.get("prompt_tokens")),
        output=count(usage.get("completion_tokens")),
        reasoning=count(member(member(usage, "completion_tokens_details"), "reasoning_tokens")),
        cached=count(member(member(usage, "prompt_tokens_details"), "cached_tokens")),
    )
