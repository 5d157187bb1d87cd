"""Reads Chat Completions answers, streamed or whole, into events.

Hosts differ from OpenAI, and their variants are read too: reasoning as ``reasoning_content``
(llama.cpp, vLLM, LM Studio) or ``reasoning`` (Ollama); content as a list of parts; the usage on the last chunk or on
a separate one; a finish reason ``stop`` after a call; a call as ``function_call``; ids and indexes of other types; an
error object in the middle of a stream. `providers.openai.fragments` joins the fragments of calls.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from providers.answers.counts import count, member
from providers.conversation.conversation import (
    Citation,
    Cited,
    Event,
    Reason,
    ReasoningDelta,
    RefusalDelta,
    Sealed,
    TextDelta,
)
from providers.conversation.reading import AnswerReader, Unreadable, counts_of
from providers.document.members import ABSENT, given
from providers.openai.answer import chat_error
from providers.openai.fragments import Fragments
from providers.openai.probabilities import read_probabilities
from providers.openai.reasoning_details import read_details
from providers.openai.usage import add_usage, chat_usage


class _Function(msgspec.Struct):
    name: Any = None
    arguments: msgspec.Raw = ABSENT


class _Custom(msgspec.Struct):
    name: Any = None
    input: Any = None


class _Call(msgspec.Struct):
    index: Any = None
    id: Any = None
    function: _Function | None = None
    custom: _Custom | None = None


class _Message(msgspec.Struct):
    content: Any = None
    refusal: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    reasoning_details: Any = None
    annotations: Any = None
    tool_calls: list[_Call] | None = None
    function_call: _Function | None = None


class _Choice(msgspec.Struct):
    delta: _Message | None = None
    message: _Message | None = None
    logprobs: Any = None
    finish_reason: Any = None
    stop_reason: Any = None  # vLLM: the stop sequence that was met
    index: Any = 0
    usage: Any = None  # Moonshot's place for it


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: Any = None
    x_groq: Any = None
    error: msgspec.Raw = ABSENT


_DECODER = msgspec.json.Decoder(_Chunk)
_decode = msgspec.json.decode
_encode = msgspec.json.Encoder().encode
_REASONS: Final = {
    "stop": Reason.END,
    "length": Reason.LENGTH,
    "tool_calls": Reason.TOOL,
    "function_call": Reason.TOOL,
    "content_filter": Reason.FILTER,
}


class ChatEvents(AnswerReader):
    """Reads the events of one answer from fragments of any size; the events do not depend on the cut."""

    def __init__(self, stop: Sequence[str] = (), choice: int = 0) -> None:
        """``choice``: which of several answers."""
        super().__init__(stop)
        self._number = choice
        self._fragments = Fragments()
        self._usage: dict[str, Any] = {}
        self._begun = False
        self._texts: list[int | str | None] = []  # indexes of calls of custom tools whose text is not over

    def _data(self, data: bytes, found: list[Event]) -> None:
        chunk = _DECODER.decode(data)
        choices = chunk.choices or ()
        first = choices[0] if choices else None
        if given(chunk.error) or first is None or any(choice.finish_reason == "error" for choice in choices):
            error = chat_error(data)
            if error is not None:
                self._fail(found, error)
                return
        for choice in choices:
            if (choice.index or 0) == self._number:
                self._choice(choice, found)
        stated = (first and first.usage, chunk.x_groq and member(chunk.x_groq, "usage"), chunk.usage)
        for usage in stated:  # what stands at the top counts most
            if isinstance(usage, dict):
                add_usage(self._usage, usage)
                found.append(counts_of(chat_usage(self._usage).usage))

    def _choice(self, choice: _Choice, found: list[Event]) -> None:
        if self._finished:
            return
        for message, whole in ((choice.delta, False), (choice.message, True)):
            if message is not None:
                before = len(found)
                self._message(message, choice.logprobs, found, whole=whole)
                self._begun = self._begun or len(found) > before
        if choice.finish_reason or (choice.message is not None and choice.finish_reason == ""):
            named = choice.finish_reason if isinstance(choice.finish_reason, str) else ""
            reason = _REASONS.get(named, Reason.END)
            self._end_texts(found)
            self._fragments.end(found, cut=reason is Reason.LENGTH)
            self._stopped(reason, choice.stop_reason, called=self._fragments.called, found=found)

    def _message(self, message: _Message, logprobs: Any, found: list[Event], *, whole: bool) -> None:
        details = list(read_details(message.reasoning_details)) if message.reasoning_details else []
        if not any(isinstance(event, ReasoningDelta) for event in details):  # else they repeat the text
            thought = message.reasoning_content or message.reasoning
            if isinstance(thought, str) and thought:
                self._fragments.prose(ReasoningDelta, thought, found)
        for detail in details:
            if isinstance(detail, Sealed):
                self._fragments.mark(detail, found)
            else:
                self._fragments.prose(ReasoningDelta, detail.text, found)
        if isinstance(message.content, str):
            if message.content:
                self._fragments.prose(TextDelta, message.content, found)
        else:
            for event in _texts(message.content):
                self._fragments.prose(type(event), event.text, found)
        if isinstance(message.refusal, str) and message.refusal:
            self._fragments.prose(RefusalDelta, message.refusal, found)
        if logprobs is not None:
            for name in ("content", "refusal"):
                for told in read_probabilities(member(logprobs, name)):
                    self._fragments.mark(told, found)
        for citation in read_annotations(message.annotations) if message.annotations else ():
            self._fragments.mark(Cited(citation), found)
        for call in message.tool_calls or ():
            if call.custom is not None:
                self._custom(call, call.custom, found, whole=whole)
                continue
            function = call.function or _Function()
            name = function.name if isinstance(function.name, str) else ""
            self._fragments.call(
                _index(call.index), _identity(call.id), name, _arguments(function.arguments), found, whole=whole
            )
        if message.function_call is not None:
            name = message.function_call.name if isinstance(message.function_call.name, str) else ""
            self._fragments.call("function_call", "", name, _arguments(message.function_call.arguments), found)

    def _over(self, found: list[Event]) -> None:
        """Some hosts give no reason; the mark after output is then the end, as for the scanner."""
        if self._begun and not self._finished and not self.failed:
            self._end_texts(found)
            self._fragments.end(found, cut=False)
            self._stopped(Reason.END, None, called=self._fragments.called, found=found)
        super()._over(found)

    def _custom(self, call: _Call, custom: _Custom, found: list[Event], *, whole: bool) -> None:
        """A fragment of a custom tool's call: its text becomes the member ``input`` of an object."""
        index, text = _index(call.index), custom.input if isinstance(custom.input, str) else ""
        name = custom.name if isinstance(custom.name, str) else ""
        escaped = _encode(text).decode()[1:-1]
        if whole:
            escaped = f'{{"input":"{escaped}"}}'
        elif index not in self._texts:
            self._end_texts(found)
            self._texts.append(index)
            escaped = '{"input":"' + escaped
        self._fragments.call(index, _identity(call.id), name, escaped, found, whole=whole)

    def _end_texts(self, found: list[Event]) -> None:
        for index in self._texts:
            self._fragments.call(index, "", "", '"}', found)
        self._texts.clear()


def _texts(content: Any) -> Iterator[TextDelta | ReasoningDelta]:
    """The texts of a content, which is one or a list of parts. Raises `Unreadable` for a part that is none."""
    if isinstance(content, str):
        if content:
            yield TextDelta(content)
        return
    for part in content if isinstance(content, list) else [content] if content else []:
        match part:
            case {"type": "text" | "output_text" | "refusal"}:
                text = part.get("text", part.get("refusal"))
                if isinstance(text, str) and text:
                    yield TextDelta(text)
            case {"type": "thinking" | "reasoning"}:
                thought = part.get("thinking", part.get("text"))
                for event in _texts(thought):
                    yield ReasoningDelta(event.text)
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


def read_annotations(annotations: Any) -> Iterator[Citation]:
    """The addresses that annotations name; chat puts them into a member of their own, Responses does not."""
    for annotation in annotations if isinstance(annotations, list) else ():
        cited = member(annotation, "url_citation") or annotation
        if member(annotation, "type") == "url_citation" and isinstance(member(cited, "url"), str):
            title, start, end = (cited.get(name) for name in ("title", "start_index", "end_index"))
            yield Citation(cited["url"], title if isinstance(title, str) else "", "", count(start), count(end))
