"""Between the dialect that a caller speaks and the one that its model's host speaks.

Rules that everything here obeys:

1. The hub is `providers.conversation`: a dialect has one reader and one writer, and no pair has code.
2. A translated stream ends as its own dialect ends only after the host's answer ended well. Otherwise
   it stops at an event boundary, so that the dialect's error event can follow.
3. Pure: ids come from the caller, and there is no clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import msgspec

from providers.anthropic import reader as anthropic_conversation
from providers.anthropic import writer as anthropic_events
from providers.conversation.conversation import Conversation, Event
from providers.dialect import Family, Operation, ProviderError
from providers.errors import error_body, error_event
from providers.gemini import reader as gemini_conversation
from providers.gemini import writer as gemini_events
from providers.openai import chat_writer as chat_request
from providers.openai.chat_reader import ChatEvents

_SILENT: Final = "The engine answered with an error and did not say why."
UNREADABLE: Final = ProviderError(
    502,
    b'{"error":{"message":"The engine\'s answer ended before its end, or cannot be told in this API. Try again.",'
    b'"type":"upstream_error","param":null,"code":"upstream_error"}}',
)
"""The error of an answer that failed and did not say why."""

TRANSLATED: Final = frozenset((Operation.ANTHROPIC_MESSAGES, Operation.GEMINI_GENERATE, Operation.GEMINI_STREAM))
"""What can be asked of a host that speaks Chat Completions alone."""


class _Writer(Protocol):
    def write(self, events: Iterable[Event]) -> bytes: ...

    def end(self) -> bytes: ...


@dataclass(frozen=True, slots=True, repr=False)
class Translation:
    """One request as its host will read it.

    Attributes:
        operation: What the caller asked for.
        body: The Chat Completions request.
        conversation: What was read.
        model: The model as the caller named it; answers repeat it.
        identity: The id of the answer.
        sse: A streamed answer is an event stream (Google's is a JSON array otherwise).
    """

    operation: Operation
    body: bytes
    conversation: Conversation
    model: str
    identity: str
    sse: bool

    @property
    def names_choice(self) -> bool:
        """The request names the tool to call."""
        return bool(self.conversation.tool)

    def with_string_choice(self, target: str) -> Translation:
        """The same request with a tool choice that is a string."""
        return replace(self, body=chat_request.write_request(self.conversation, target, named_choice=False))

    def stream(self) -> StreamTranslator:
        """A fresh translator for a streamed answer of 200."""
        return StreamTranslator(self)

    def whole(self, body: bytes) -> bytes | ProviderError:
        """The answer for a whole answer of 200, or the error that it is."""
        reader = ChatEvents(self.conversation.sampling.stop)
        events = reader.whole(body)
        write = anthropic_events.write_message if _is_anthropic(self.operation) else gemini_events.write_response
        written = write(events, self.identity, self.model, reasoning=self.conversation.reasoning)
        return reader.error or UNREADABLE if written is None else written


class StreamTranslator:
    """Takes the host's event stream and gives the caller's. What it gives never ends inside an event."""

    def __init__(self, translation: Translation) -> None:
        conversation = translation.conversation
        self._events = ChatEvents(conversation.sampling.stop)
        self._writer: _Writer
        named = (translation.identity, translation.model)
        if _is_anthropic(translation.operation):
            self._writer = anthropic_events.MessageWriter(*named, reasoning=conversation.reasoning)
        else:
            self._writer = gemini_events.ResponseStream(*named, reasoning=conversation.reasoning, sse=translation.sse)
        self._begun = False
        self._ended = False

    def feed(self, data: bytes) -> bytes:
        """Take a fragment of the host's answer; return what to send now, perhaps nothing."""
        out = self._writer.write(self._events.feed(data))
        return self._given(out + self._end() if self._events.done else out)

    def finish(self) -> bytes:
        """The host's answer ended as its framing says: return what is left to send."""
        return self._given(self._writer.write(self._events.finish()) + self._end())

    def _given(self, out: bytes) -> bytes:
        self._begun = self._begun or bool(out)
        return out

    at_boundary = True
    events = 0

    @property
    def begun(self) -> bool:
        """Something was given."""
        return self._begun

    @property
    def ended(self) -> bool:
        """The caller's dialect has got its own end."""
        return self._ended

    @property
    def error(self) -> ProviderError | None:
        """What the host said where its answer failed; `UNREADABLE` if it did not say, or sent what can't be read."""
        if self._events.failed or getattr(self._writer, "failed", False):
            return self._events.error or UNREADABLE
        return None

    def _end(self) -> bytes:
        if self._ended or self.error is not None:
            return b""
        out = self._writer.end()
        self._ended = bool(out)
        return out


def translate(
    operation: Operation, body: bytes, *, model: str, target: str, identity: str, sse: bool, named_choice: bool = True
) -> Translation:
    """Translate a request into Chat Completions.

    Args:
        operation: One of `TRANSLATED`.
        body: The caller's request body.
        model: The model as the caller named it.
        target: The host's name of it.
        identity: The id that the answer will have.
        sse: A streamed answer is to be an event stream.
        named_choice: The host takes a tool choice that names a tool.

    Raises:
        Refusal: The request has another form, or says what chat can't.
    """
    if _is_anthropic(operation):
        conversation = anthropic_conversation.read_conversation(body)
    else:
        conversation = gemini_conversation.read_conversation(body, stream=operation is Operation.GEMINI_STREAM)
    written = chat_request.write_request(conversation, target, named_choice=named_choice)
    return Translation(operation, written, conversation, model, identity, sse)


def _is_anthropic(operation: Operation) -> bool:
    return operation is Operation.ANTHROPIC_MESSAGES


class _Error(msgspec.Struct):
    message: str = ""
    code: Any = None
    type: Any = None


class _ErrorBody(msgspec.Struct):
    error: _Error | str | None = None
    message: str = ""
    detail: Any = None


def translate_error(family: Family, status: int, body: bytes, *, rid: str) -> bytes:
    """A host's error in the caller's dialect: its sentence stays, since clients act on it.

    It is returned to the sender of the request, and is sent to nobody else.
    """
    code, message = _said(body)
    return error_body(family, status, code, message, request_id=rid)


def translate_error_event(operation: Operation, error: ProviderError, *, rid: str, sse: bool) -> bytes:
    """A host's error inside a begun stream as the caller's dialect's own error event; empty if it has none."""
    code, message = _said(error.body)
    return error_event(operation, error.status, code, message, request_id=rid, sse=sse)


def _said(body: bytes) -> tuple[str, str]:
    """The code and the sentence of an error.

    Hosts nest it in ``error`` (OpenAI, vLLM, llama.cpp), write it there as a string (Ollama), or
    beside nothing (``message``, ``detail``).
    """
    code, message = "upstream_error", ""
    try:
        found = msgspec.json.decode(body, type=_ErrorBody)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        found = _ErrorBody()
    if isinstance(found.error, _Error):
        message = found.error.message
        named = found.error.code or found.error.type
        code = named if isinstance(named, str) else code
    else:
        message = found.error or found.message or (found.detail if isinstance(found.detail, str) else "")
    return code, message or _SILENT
