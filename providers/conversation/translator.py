"""Between the dialect that a caller speaks and the one that its model's host speaks.

Rules that everything here obeys:

1. The hub is `providers.conversation`: a dialect has its readers and writers, and no pair has code.
2. A translated stream ends as its own dialect ends only after the host's answer ended well. Otherwise
   it stops at an event boundary, so that the dialect's error event can follow.
3. Pure: ids come from the caller, and there is no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

import msgspec

from providers.anthropic import reader as anthropic_conversation
from providers.conversation.conversation import Conversation, Counts, Dialect, Event, Failed
from providers.conversation.dialects import (
    Capabilities,
    answer_reader,
    answer_writer,
    choice_writers,
    prepare,
    write_answer,
)
from providers.conversation.failures import UNREADABLE
from providers.conversation.reading import AnswerReader
from providers.conversation.translated_members import MEMBERS
from providers.conversation.writing import AnswerWriter
from providers.dialect import Family, Head, Operation, ProviderError, Refusal
from providers.gemini import reader as gemini_conversation
from providers.openai import chat_writer as chat_request
from providers.openai import responses_reader as responses_conversation

DIALECTS: Final[Mapping[Operation, Dialect]] = {
    Operation.OPENAI_CHAT: Dialect.CHAT,
    Operation.OPENAI_RESPONSES: Dialect.RESPONSES,
    Operation.ANTHROPIC_MESSAGES: Dialect.MESSAGES,
    Operation.GEMINI_GENERATE: Dialect.GEMINI,
    Operation.GEMINI_STREAM: Dialect.GEMINI,
}
"""The operations that generate an answer to a conversation, and the dialect of each."""
_ONE_CHOICE: Final = "The engine of this model gives one answer: leave out the number of candidates."
TRANSLATED: Final = frozenset(DIALECTS) - {Operation.OPENAI_CHAT}
"""What can be asked of a host that speaks Chat Completions alone."""


class Translated(Protocol):
    """One request as its host will read it, and what its answer is translated back by.

    Attributes:
        operation: What the caller asked for.
        host: What the host speaks.
        body: The host's request.
        dropped: The caller's members that the host is not told, by their names in the register.
        content_type: Of a good answer.
    """

    @property
    def operation(self) -> Operation: ...

    @property
    def host(self) -> Dialect: ...

    @property
    def body(self) -> bytes: ...

    @property
    def dropped(self) -> tuple[str, ...]: ...

    @property
    def content_type(self) -> str: ...

    def without_body(self) -> Translated:
        """What the answer needs of it: a long stream does not keep its prompt in memory."""
        ...

    def stream(self) -> StreamTranslator:
        """A fresh translator for a streamed answer of 200. Only if one was asked for."""
        ...

    def whole(self, body: bytes) -> bytes | ProviderError:
        """The answer for a whole answer of 200, or the error that it is."""
        ...


@dataclass(frozen=True, slots=True, repr=False)
class TranslatedCall:
    """A translated request that is not a conversation: what its answer is made with.

    Attributes:
        operation: What the caller asked for.
        host: What the host speaks.
        body: The host's request.
        dropped: The caller's members that the host is not told.
        answer: Makes the caller's answer of the host's whole answer; None if that is not one.
        events: Makes a translator for a streamed answer, if the request asks for a stream.
    """

    operation: Operation
    host: Dialect
    body: bytes
    dropped: tuple[str, ...]
    answer: Callable[[bytes], bytes | None]
    events: Callable[[], StreamTranslator] | None = None

    @property
    def content_type(self) -> str:
        """Of a good answer."""
        return "application/json" if self.events is None else "text/event-stream"

    def without_body(self) -> TranslatedCall:
        """What the answer needs of it."""
        return replace(self, body=b"")

    def stream(self) -> StreamTranslator:
        """A fresh translator for a streamed answer of 200."""
        assert self.events is not None
        return self.events()

    def whole(self, body: bytes) -> bytes | ProviderError:
        """The answer for a whole answer of 200, or the error that it is."""
        return self.answer(body) or UNREADABLE


@dataclass(frozen=True, slots=True, repr=False)
class Translation:
    """One request as its host will read it.

    Attributes:
        operation: What the caller asked for.
        body: The host's request.
        conversation: What was read.
        model: The model as the caller named it; answers repeat it.
        identity: The id of the answer.
        sse: A streamed answer is an event stream; otherwise a JSON array, which only Google's can be.
        host: What the host speaks.
        dropped: The caller's members that the host is not told, by their names in the register.
        wants_usage: The caller asked for the usage chunk (Chat Completions).
    """

    operation: Operation
    body: bytes
    conversation: Conversation
    model: str
    identity: str
    sse: bool
    host: Dialect = Dialect.CHAT
    dropped: tuple[str, ...] = ()
    wants_usage: bool = True

    @property
    def names_choice(self) -> bool:
        """The request names the tool to call."""
        return bool(self.conversation.tool)

    def with_string_choice(self, target: str) -> Translation:
        """The same request with a tool choice that is a string."""
        return replace(self, body=chat_request.write_request(self.conversation, target, named_choice=False))

    @property
    def content_type(self) -> str:
        """Of a good answer."""
        return "text/event-stream" if self.conversation.stream and self.sse else "application/json"

    def without_body(self) -> Translation:
        """What the answer needs of it: a long stream does not keep its prompt in memory."""
        kept = replace(self.conversation, system="", turns=())
        return replace(self, body=b"", conversation=kept)

    def stream(self) -> StreamTranslator:
        """A fresh translator for a streamed answer of 200."""
        source, conversation, identity = DIALECTS[self.operation], self.conversation, self.identity
        if conversation.choices > 1:
            writers = choice_writers(
                source, conversation, identity, self.model, sse=self.sse, wants_usage=self.wants_usage
            )
            streams = [
                StreamTranslator(self._reader(number), writer, sse=self.sse) for number, writer in enumerate(writers)
            ]
            return ChoicesTranslator(streams, writers[0].closing, sse=self.sse)
        writer = answer_writer(source, conversation, identity, self.model, sse=self.sse, wants_usage=self.wants_usage)
        return StreamTranslator(self._reader(), writer, sse=self.sse)

    def whole(self, body: bytes) -> bytes | ProviderError:
        """The answer for a whole answer of 200, or the error that it is."""
        reader = self._reader()
        events = reader.whole(body)
        further: dict[int, list[Event]] = {}
        for number in range(1, self.conversation.choices):
            other = self._reader(number)
            found = other.whole(body)
            if any(not isinstance(event, Failed | Counts) for event in found):  # a provider may give fewer
                further[number] = found
        source = DIALECTS[self.operation]
        written = write_answer(source, self.conversation, events, self.identity, self.model, further=further)
        return reader.error or UNREADABLE if written is None else written

    def _reader(self, choice: int = 0) -> AnswerReader:
        return answer_reader(self.host, self.conversation.sampling.stop, choice)


class StreamTranslator:
    """Takes a host's event stream and gives the caller's. What it gives never ends inside an event."""

    def __init__(self, reader: AnswerReader, writer: AnswerWriter, *, sse: bool) -> None:
        """``sse``: what is given is an event stream."""
        self.sse = sse
        self._events = reader
        self._writer = writer
        self._begun = False
        self._ended = False

    def feed(self, data: bytes, failed: Callable[[], bool] | None = None) -> bytes:
        """Take a fragment of the host's answer; return what to send now, perhaps nothing.

        Args:
            data: The fragment.
            failed: Asked at the end of the answer: it is known to have failed, and gets no end.
        """
        out = self._writer.write(self._events.feed(data))
        if self._events.done and not (failed is not None and failed()):
            out += self._end()
        self._begun = self._begun or bool(out)
        return out

    def finish(self) -> bytes:
        """The host's answer ended as its framing says: return what is left to send."""
        out = self._writer.write(self._events.finish()) + self._end()
        self._begun = self._begun or bool(out)
        return out

    at_boundary = True

    @property
    def events(self) -> int:
        """How many events were given, of a dialect that numbers them."""
        return self._writer.events

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
        if self._events.failed or self._writer.failed:
            return self._events.error or UNREADABLE
        return None

    def _end(self) -> bytes:
        if self._ended or self.error is not None:
            return b""
        out = self._writer.end()
        self._ended = bool(out)
        return out


class ChoicesTranslator(StreamTranslator):
    """The same for several answers in one stream: each is read and written apart from the others.

    A provider may give fewer answers than it was asked for. The first one must come.
    """

    def __init__(self, streams: Sequence[StreamTranslator], closing: Callable[[], bytes], *, sse: bool) -> None:
        """``closing``: the end of the stream, once all answers have ended."""
        self.sse = sse
        self._streams = streams
        self._closing = closing
        self._closed = False

    def feed(self, data: bytes, failed: Callable[[], bool] | None = None) -> bytes:
        """See `StreamTranslator.feed`."""
        out = b"".join([stream.feed(data, failed) for stream in self._streams])
        return out + self._close() if all(stream.ended for stream in self._streams) else out

    def finish(self) -> bytes:
        """See `StreamTranslator.finish`."""
        return b"".join([stream.finish() for stream in self._streams]) + self._close()

    def _close(self) -> bytes:
        if self._closed or self.error is not None or not self._streams[0].ended:
            return b""
        self._closed = True
        return self._closing()

    @property
    def events(self) -> int:
        """0: neither of the dialects with several answers numbers its events."""
        return 0

    @property
    def begun(self) -> bool:
        """Something was given."""
        return any(stream.begun for stream in self._streams)

    @property
    def ended(self) -> bool:
        """The caller's dialect has got its own end."""
        return self._closed

    @property
    def error(self) -> ProviderError | None:
        """Of the first answer that failed; one that has not begun is one that the provider did not give."""
        first, *others = self._streams
        return first.error or next((stream.error for stream in others if stream.begun and stream.error), None)


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
        sse: A streamed answer is to be an event stream; those of other dialects than Google's are one in any case.
        named_choice: The host takes a tool choice that names a tool.

    Raises:
        Refusal: The request has another form, or says what chat can't.
    """
    match operation:
        case Operation.ANTHROPIC_MESSAGES:
            conversation = anthropic_conversation.read_conversation(body)
        case Operation.OPENAI_RESPONSES:
            conversation = responses_conversation.read_conversation(body)
        case _:
            conversation = gemini_conversation.read_conversation(body, stream=operation is Operation.GEMINI_STREAM)
    if conversation.choices > 1:
        raise Refusal("unsupported_feature", _ONE_CHOICE, "candidateCount")
    written = chat_request.write_request(conversation, target, named_choice=named_choice)
    sse = sse or operation.family is not Family.GOOGLE
    return Translation(operation, written, conversation, model, identity, sse)


_OPERATIONS: Final = {
    Dialect.CHAT: Operation.OPENAI_CHAT,
    Dialect.RESPONSES: Operation.OPENAI_RESPONSES,
    Dialect.MESSAGES: Operation.ANTHROPIC_MESSAGES,
}
_MEMBERS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


def operation_of(host: Dialect, *, stream: bool) -> Operation:
    """What a host that speaks this dialect is asked for."""
    if host is Dialect.GEMINI:
        return Operation.GEMINI_STREAM if stream else Operation.GEMINI_GENERATE
    return _OPERATIONS[host]


def translate_request(
    operation: Operation,
    host: Dialect,
    body: bytes,
    head: Head,
    *,
    target: str,
    rid: str,
    sse: bool,
    capabilities: Capabilities,
) -> Translation:
    """Translate a request into the dialect of its provider.

    Args:
        operation: One of `DIALECTS`.
        host: The provider's dialect.
        body: The caller's request body, without what the register removes.
        head: The request's, as the caller sent it.
        target: The provider's name of the model.
        rid: The request's id, of which the answer's is made.
        sse: A streamed answer is to be an event stream; those of other dialects than Google's are one in any case.
        capabilities: Of the model there.

    Raises:
        Refusal: The request has another form, or says what can't be told; ``param`` is the caller's member.
    """
    source = DIALECTS[operation]
    prepared = prepare(
        source,
        host,
        body,
        members=_members(source, body, head),
        model=target,
        capabilities=capabilities,
        stream=operation is Operation.GEMINI_STREAM,
    )
    identity = rid.replace("req_", "msg_" if source is Dialect.MESSAGES else "")
    sse = sse or source is not Dialect.GEMINI
    return Translation(
        operation,
        prepared.body,
        prepared.conversation,
        head.model,
        identity,
        sse,
        host,
        prepared.dropped,
        head.wants_usage,
    )


def _members(source: Dialect, body: bytes, head: Head) -> Iterator[str]:
    """The members of a request, with those of the objects at its top level that the register looks into."""
    nested = {name.partition(".")[0] for name in MEMBERS[source] if "." in name} & _SMALL
    yield from head.members
    if nested.intersection(head.members):
        for name, value in _MEMBERS.decode(body).items():
            if name in nested and bytes(value).lstrip()[:1] == b"{":
                yield from (f"{name}.{member}" for member in _MEMBERS.decode(value))


_SMALL: Final = frozenset((
    "stream_options", "prompt_cache_options", "moderation", "text", "reasoning", "output_config", "thinking",
    "metadata", "diagnostics", "generationConfig",
))  # fmt: skip
"""Objects at the top level of a request whose members are listed; those of messages and tools are judged by `fit`."""
