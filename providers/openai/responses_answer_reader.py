"""Reads answers of the Responses API, streamed or whole, into events.

In a stream, an item's deltas are read, and from its end the parts that have no deltas: the encrypted content of
reasoning, the text of a custom tool's call, the namespace of a call. Items of tools that run at the provider are
skipped: such tools are not translated. The API has no stop sequences: the answer is cut at those of the request
(`providers.conversation.stopping`).

https://developers.openai.com/api/docs/api-reference/responses-streaming
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from providers.answers.counts import member
from providers.conversation.conversation import (
    Cited,
    Event,
    Reason,
    ReasoningDelta,
    RefusalDelta,
    Sealed,
    TextDelta,
    ToolDelta,
    ToolStart,
)
from providers.conversation.envelope import opened
from providers.conversation.reading import AnswerReader, counts_of
from providers.conversation.stopping import StopSequences
from providers.dialect import Family
from providers.openai.chat_reader import read_annotations
from providers.openai.failure import provider_error
from providers.openai.probabilities import read_probabilities
from providers.openai.usage import responses_usage

_CUT: Final = {"max_output_tokens": Reason.LENGTH, "content_filter": Reason.FILTER}
_encode: Final = msgspec.json.Encoder().encode
_PARAGRAPH: Final = "\n\n"


class _Part(msgspec.Struct):
    type: str = ""
    text: str = ""
    refusal: str = ""
    annotations: list[Any] | None = None
    logprobs: Any = None


class _Item(msgspec.Struct):
    type: str = ""
    id: str | None = None
    call_id: str | None = None
    name: str | None = None
    namespace: str | None = None
    arguments: Any = ""  # an object in calls of tools that run at the provider, as is what else is untyped
    input: Any = ""
    content: list[_Part] | None = None
    summary: list[_Part] | None = None
    encrypted_content: str | None = None


class _Response(msgspec.Struct):
    status: str | None = None
    error: Any = None
    incomplete_details: Any = None
    output: list[_Item] | None = None
    usage: Any = None


class _Event(msgspec.Struct):
    type: str = ""
    delta: Any = None
    logprobs: Any = None
    item: _Item | None = None
    annotation: Any = None
    response: _Response | None = None
    error: Any = None
    summary_index: int | None = None


_EVENT: Final = msgspec.json.Decoder(_Event)
_BODY: Final = msgspec.json.Decoder(_Response)


class ResponseEvents(AnswerReader):
    """The events of one response."""

    def __init__(self, stop: Sequence[str] = ()) -> None:
        super().__init__(stop)
        self._sequences = StopSequences(stop)
        self._called = False
        self._told = False  # deltas of the open item came
        self._summary = 0  # which paragraph of a thought is open

    def _data(self, data: bytes, found: list[Event]) -> None:
        told: list[Event] = []
        self._event(data, told)
        found += self._sequences.cut(told)

    def _event(self, data: bytes, found: list[Event]) -> None:
        event = _EVENT.decode(data)
        if event.error is not None:
            self._fail(found, provider_error(msgspec.json.decode(data)))
            return
        text = event.delta if isinstance(event.delta, str) else ""
        match event.type:
            case "response.output_item.added" if event.item is not None:
                self._told, self._summary = False, 0
                found += self._started(event.item)
            case "response.output_text.delta":
                if text:
                    found.append(self._delta(TextDelta(text)))
                if event.logprobs:
                    found += read_probabilities(event.logprobs)
            case "response.refusal.delta" if text:
                found.append(self._delta(RefusalDelta(text)))
            case "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" if text:
                if event.summary_index is not None and event.summary_index > self._summary:
                    self._summary = event.summary_index
                    text = _PARAGRAPH + text
                found.append(self._delta(ReasoningDelta(text)))
            case "response.function_call_arguments.delta" if text:
                found.append(self._delta(ToolDelta(text)))
            case "response.output_text.annotation.added":
                found += map(Cited, read_annotations([event.annotation]))
            case "response.output_item.done" if event.item is not None:
                found += self._ended_item(event.item)
            case "response.completed" | "response.incomplete" if event.response is not None:
                self._end(event.response, found)
            case "response.failed" | "error":
                error = event.response.error if event.response is not None else msgspec.json.decode(data)
                self._fail(found, provider_error(error))

    def _body(self, body: bytes, found: list[Event]) -> None:
        told: list[Event] = []
        self._response(body, told)
        found += self._sequences.cut(told)

    def _response(self, body: bytes, found: list[Event]) -> None:
        response = _BODY.decode(body)
        if response.output is None or response.error is not None:
            self._fail(found, provider_error(response.error or msgspec.json.decode(body)))
            return
        for item in response.output:
            self._told = False
            found += self._started(item)
            found += self._ended_item(item)
        self._end(response, found)

    def _delta(self, event: Event) -> Event:
        self._told = True
        return event

    def _started(self, item: _Item) -> Iterator[Event]:
        if item.type in {"function_call", "custom_tool_call"}:
            self._called = True
            name = item.name or ""
            yield ToolStart(item.call_id or "", f"{item.namespace}__{name}" if item.namespace else name)

    def _ended_item(self, item: _Item) -> Iterator[Event]:
        match item.type:
            case "message" if not self._told:
                for part in item.content or ():
                    if part.refusal:
                        yield RefusalDelta(part.refusal)
                    if part.text:
                        yield TextDelta(part.text)
                    yield from read_probabilities(part.logprobs)
                    yield from map(Cited, read_annotations(part.annotations))
            case "reasoning":
                text = _PARAGRAPH.join(part.text for part in (item.summary or item.content or ()) if part.text)
                if text and not self._told:
                    yield ReasoningDelta(text)
                if item.encrypted_content:
                    yield Sealed(opened(Family.OPENAI, item.encrypted_content, identity=item.id or ""))
            case "function_call" if not self._told:
                yield ToolDelta(str(item.arguments or "{}"))
            case "custom_tool_call":
                yield ToolDelta(_encode({"input": item.input}).decode())
            case _:
                pass

    def _end(self, response: _Response, found: list[Event]) -> None:
        if isinstance(response.usage, dict):
            found.append(counts_of(responses_usage(response.usage).usage))
        cut = member(response.incomplete_details, "reason") if response.status == "incomplete" else None
        reason = Reason.END
        if response.status == "incomplete":
            reason = _CUT.get(cut, Reason.LENGTH) if isinstance(cut, str) else Reason.LENGTH
        self._stopped(reason, None, called=self._called, found=found)
        self.done = True
