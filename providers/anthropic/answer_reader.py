"""Reads Messages answers, streamed or whole, into events.

The counts of ``message_delta`` overwrite those of ``message_start``, since they are cumulative. An empty signature
counts as none. Blocks of tools that run at the provider are skipped: such tools are not translated.

https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from providers.answers.counts import member
from providers.anthropic.failure import provider_error
from providers.anthropic.usage import add_usage, read_usage
from providers.conversation.conversation import (
    Citation,
    Cited,
    Event,
    Reason,
    ReasoningDelta,
    Sealed,
    TextDelta,
    ToolDelta,
    ToolStart,
)
from providers.conversation.envelope import opened
from providers.conversation.reading import AnswerReader, Unreadable, counts_of
from providers.dialect import Family
from providers.document.members import ABSENT, given

_REASONS: Final = {
    "end_turn": Reason.END,
    "max_tokens": Reason.LENGTH,
    "model_context_window_exceeded": Reason.LENGTH,
    "pause_turn": Reason.LENGTH,  # the answer continues in another request: it is not whole
    "stop_sequence": Reason.STOP_SEQUENCE,
    "tool_use": Reason.TOOL,
    "refusal": Reason.FILTER,
}


class _Block(msgspec.Struct):
    type: str = ""
    text: str = ""
    thinking: str = ""
    signature: str | None = None
    data: str = ""
    id: str = ""
    name: str = ""
    input: msgspec.Raw = ABSENT
    citations: list[Any] | None = None
    citation: Any = None
    partial_json: str = ""
    stop_reason: str | None = None
    stop_sequence: str | None = None


class _Message(msgspec.Struct):
    content: list[_Block] | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: Any = None


class _Event(msgspec.Struct):
    type: str = ""
    message: _Message | None = None
    index: Any = None
    content_block: _Block | None = None
    delta: _Block | None = None
    usage: Any = None
    error: msgspec.Raw = ABSENT


_EVENT: Final = msgspec.json.Decoder(_Event)
_BODY: Final = msgspec.json.Decoder(_Message)


class MessageEvents(AnswerReader):
    """The events of one message."""

    def __init__(self, stop: Sequence[str] = ()) -> None:
        super().__init__(stop)
        self._usage: dict[str, Any] = {}
        self._length = 0  # characters of text so far
        self._began = 0  # where the open text began
        self._skipped = False  # the open block is of a tool that runs at the provider
        self._empty = b""  # the arguments with which a call opened, until others come
        self._reason: tuple[str | None, str | None] = None, None  # and the stop sequence

    def _data(self, data: bytes, found: list[Event]) -> None:
        event = _EVENT.decode(data)
        if given(event.error):
            self._fail(found, provider_error(msgspec.json.decode(data)))
            return
        match event.type:
            case "message_start" if event.message is not None:
                self._counted(event.message.usage, found, placeholder=True)
            case "content_block_start" if event.content_block is not None:
                found += self._block(event.content_block, whole=False)
            case "content_block_delta" if event.delta is not None and not self._skipped:
                found += self._delta(event.delta)
            case "content_block_stop":
                if self._empty:
                    found.append(ToolDelta(self._empty.decode()))
                self._empty = b""
            case "message_delta":
                self._counted(event.usage, found)
                if event.delta is not None and event.delta.stop_reason is not None:
                    self._reason = event.delta.stop_reason, event.delta.stop_sequence
            case "message_stop":
                self._end(found)
            case "error":
                self._fail(found, provider_error(msgspec.json.decode(data)))

    def _body(self, body: bytes, found: list[Event]) -> None:
        message = _BODY.decode(body)
        if message.content is None:
            self._fail(found, provider_error(msgspec.json.decode(body)))
            return
        for block in message.content:
            found += self._block(block, whole=True)
        self._counted(message.usage, found)
        self._reason = message.stop_reason, message.stop_sequence
        self._end(found)

    def _end(self, found: list[Event]) -> None:
        named, sequence = self._reason
        if named is None:
            raise Unreadable
        self._stopped(_REASONS.get(named, Reason.END), sequence, called=False, found=found)
        self.done = True

    def _block(self, block: _Block, *, whole: bool) -> Iterator[Event]:
        self._skipped = False
        match block.type:
            case "text":
                self._began = self._length
                yield from self._text(block.text)
                for citation in block.citations or ():
                    yield from self._cited(citation)
            case "thinking":
                if block.thinking:
                    yield ReasoningDelta(block.thinking)
                if block.signature:
                    yield Sealed(opened(Family.ANTHROPIC, block.signature))
            case "redacted_thinking":
                yield Sealed(opened(Family.ANTHROPIC, block.data, redacted=True))
            case "tool_use":
                yield ToolStart(block.id, block.name)
                arguments = bytes(block.input) if given(block.input) else b""
                if whole:
                    yield ToolDelta(arguments.decode())
                else:
                    self._empty = b"" if arguments.strip() == b"{}" else arguments
            case _:
                self._skipped = True

    def _delta(self, delta: _Block) -> Iterator[Event]:
        match delta.type:
            case "text_delta":
                yield from self._text(delta.text)
            case "thinking_delta" if delta.thinking:
                yield ReasoningDelta(delta.thinking)
            case "signature_delta" if delta.signature:
                yield Sealed(opened(Family.ANTHROPIC, delta.signature))
            case "input_json_delta" if delta.partial_json:
                self._empty = b""
                yield ToolDelta(delta.partial_json)
            case "citations_delta":
                yield from self._cited(delta.citation)
            case _:
                pass

    def _text(self, text: str) -> Iterator[Event]:
        if text:
            self._length += len(text)
            yield TextDelta(text)

    def _cited(self, citation: Any) -> Iterator[Event]:
        """A source with an address; other dialects cannot cite a place in a document of the request."""
        address = member(citation, "url") or member(citation, "source")
        if isinstance(address, str):
            title, quote = member(citation, "title"), member(citation, "cited_text")
            yield Cited(
                Citation(
                    address,
                    title if isinstance(title, str) else "",
                    quote if isinstance(quote, str) else "",
                    self._began,
                    self._length,
                )
            )

    def _counted(self, usage: Any, found: list[Event], *, placeholder: bool = False) -> None:
        add_usage(self._usage, usage, placeholder=placeholder)
        if self._usage:
            found.append(counts_of(read_usage(self._usage, ended=False).counted.usage))
