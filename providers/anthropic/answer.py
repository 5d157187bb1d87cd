"""How Anthropic's Messages answers state usage, output, end and failure.

Documented paths, the only ones read: ``message.usage`` of ``message_start``, ``usage`` of
``message_delta``, ``usage`` at the top of a whole body. A stream ends with ``message_stop`` after output or a reason to
stop; an ``error`` event ends it as a failure. (The ``input`` of a tool call and results of server tools are arbitrary
objects and may contain the same names.)

``input_transformations`` of a message reports dropped reasoning; ``message_delta`` replaces it if another model
answered. Only requests with the beta ``thinking-binding-controls`` get it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from metering.usage import FinishReason, Report, Usage
from providers.answers.counts import count, member
from providers.answers.events import ERROR, EventStream
from providers.answers.reading import (
    Body,
    filled,
    is_array,
    name_of_model,
    read,
    read_strictly,
    stated_variant,
    truthy,
    unwrapped,
    value,
)
from providers.anthropic.calls import BLOCK, MessageCalls
from providers.anthropic.failure import provider_error
from providers.anthropic.output import message_output
from providers.anthropic.usage import add_usage, geography, read_usage, service_tier, speed
from providers.dialect import Head, ProviderError
from providers.document.look import says
from providers.document.members import ABSENT, given, is_list
from providers.document.projection import Wanted

NEEDLE = b'_tokens"'
_SMALL_EVENT = 64  # bytes: message_stop and ping; an event with one letter of text is larger
_MARKS = (ERROR, b'"message_stop"')
_KIND = frozenset({"type"})
_REASONS = {
    b'"end_turn"': FinishReason.STOP,
    b'"stop_sequence"': FinishReason.STOP,
    b'"max_tokens"': FinishReason.LENGTH,
    b'"model_context_window_exceeded"': FinishReason.LENGTH,
    b'"tool_use"': FinishReason.TOOL_CALL,
    b'"refusal"': FinishReason.CONTENT_FILTER,
}


class _Message(msgspec.Struct):
    type: str = ""
    content: msgspec.Raw = ABSENT
    stop_reason: msgspec.Raw = ABSENT
    usage: msgspec.Raw = ABSENT
    model: msgspec.Raw = ABSENT
    error: msgspec.Raw = ABSENT
    input_transformations: msgspec.Raw = ABSENT


class _Transformation(msgspec.Struct):
    type: msgspec.Raw = ABSENT


class _Delta(msgspec.Struct):
    stop_reason: msgspec.Raw = ABSENT


class _Event(msgspec.Struct):
    type: str = ""
    message: msgspec.Raw = ABSENT
    index: msgspec.Raw = ABSENT
    content_block: msgspec.Raw = ABSENT
    delta: msgspec.Raw = ABSENT
    usage: msgspec.Raw = ABSENT
    error: msgspec.Raw = ABSENT
    input_transformations: msgspec.Raw = ABSENT


class _Counted(msgspec.Struct):
    input_tokens: msgspec.Raw = ABSENT
    error: msgspec.Raw = ABSENT


_message = msgspec.json.Decoder(_Message)
_delta = msgspec.json.Decoder(_Delta)
_event = msgspec.json.Decoder(_Event)
_counted = msgspec.json.Decoder(_Counted)
_transformations = msgspec.json.Decoder(list[_Transformation])

MESSAGE: Wanted = {
    b"type": None,
    b"content": {},
    b"stop_reason": None,
    b"usage": None,
    b"model": None,
    b"error": None,
    b"input_transformations": None,
}
EVENT: Wanted = {
    b"type": None,
    b"message": MESSAGE,
    b"index": None,
    b"content_block": BLOCK,
    b"delta": {b"stop_reason": None},
    b"usage": None,
    b"error": None,
    b"input_transformations": None,
}
COUNTED: Wanted = {b"input_tokens": None, b"error": None}


class MessageStream(EventStream):
    """Events of a streamed message."""

    __slots__ = ("_calls", "_dropped", "_finish", "_model", "_stated", "_states_calls", "_stopped")

    def __init__(self, head: Head) -> None:
        # If a stream is cut before it states its calls, they are counted from its blocks.
        super().__init__(head, NEEDLE, EVENT, small=_SMALL_EVENT, marks=_MARKS, each=bool(head.server_tools))
        self._stated: dict[str, Any] = {}
        self._model = ABSENT
        self._calls = MessageCalls()
        self._states_calls = False
        self._dropped = False
        self._finish: tuple[FinishReason, ...] = ()
        self._stopped = False  # the reason to stop has come, and the counts with it

    def _event(self, data: bytes) -> bool:
        event = read(_event, data, EVENT)
        if event is None:
            return False
        if event.type == "message_start":
            message = read_strictly(_message, event.message)
            if message is not None:
                add_usage(self._stated, value(message.usage), placeholder=True)
                self._model = message.model
                self._dropped = _says_dropped(message.input_transformations)
                self._begun = self._begun or filled(value(message.content))
        elif event.type == "message_delta":
            usage = value(event.usage)
            add_usage(self._stated, usage)
            self._states_calls = self._states_calls or isinstance(usage, dict)
            if count(member(usage, "input_tokens")):
                self._calls.input_stated()
            if given(event.input_transformations):
                self._dropped = _says_dropped(event.input_transformations)
            delta = read_strictly(_delta, event.delta)
            stops = delta is not None and truthy(delta.stop_reason)
            if delta is not None and stops:
                self._finish = _finish(delta.stop_reason)
            self._begun = self._begun or stops
            self._stopped = self._stopped or (stops and count(member(usage, "output_tokens")) is not None)
        elif event.type == "message_stop":
            self._finished = self._begun
        elif event.type == "error" or truthy(event.error):
            self._fail(self._failure(data))
        elif event.type == "content_block_start" and (self._each or not self._begun):
            block = value(event.content_block)
            self._begun = self._begun or _opens_output(block)
            size = len(data) if self._large is None else self._carried
            if self._calls.note(value(event.index), block, size):
                self._states_calls = False
        elif event.type == "content_block_delta" and not self._begun:
            self._begun = filled(value(event.delta), beside=_KIND)
        return False

    def _failure(self, data: bytes) -> ProviderError:
        return _error_of(data)

    def _only_opens(self, data: bytes) -> bool:
        event = read_strictly(_event, data)
        return event is not None and event.type == "message_start"

    _output = staticmethod(message_output)

    def estimated_output(self) -> int:
        """What is stated with the reason to stop, also of a stream that was cut after it; else from what has passed."""
        return self._stated_or_passed(self.report().usage, final=self._stopped)

    def _reported(self) -> Report:
        calls = None if self._states_calls else self._calls
        return _report(
            self._stated,
            self._head,
            self._model,
            calls,
            ended=self._finished,
            reasoning_dropped=self._dropped,
            finish=self._finish,
        )


def _finish(stop_reason: msgspec.Raw) -> tuple[FinishReason, ...]:
    """Why the message ended, if it has: it is one choice."""
    return (_REASONS.get(bytes(stop_reason), FinishReason.OTHER),) if truthy(stop_reason) else ()


def _opens_output(block: object) -> bool:
    """Whether a block is output when it starts: text and thinking that are still empty are not."""
    if not isinstance(block, dict):
        return False
    return block.get("type") not in ("text", "thinking") or filled(block, beside=_KIND)


def _says_dropped(raw: msgspec.Raw) -> bool:
    """Whether dropped reasoning is among the changes that the provider made to the request's input."""
    if len(raw) <= 2:  # [] from every model that reasons
        return False
    made = read_strictly(_transformations, raw)
    return made is not None and any(says(one.type, "thinking_dropped") for one in made)


def read_message(body: bytes, head: Head) -> Body | None:
    """A whole message."""
    message = read_strictly(_message, unwrapped(body))
    if message is None:
        return None
    stated: dict[str, Any] = {}
    add_usage(stated, value(message.usage))
    error = None
    if message.type == "error" or truthy(message.error):
        error = _error_of(bytes(unwrapped(body)))
    shaped = message.type == "message" or (is_list(message.content) and not message.type)
    dropped = _says_dropped(message.input_transformations)
    report = _report(stated, head, message.model, reasoning_dropped=dropped, finish=_finish(message.stop_reason))
    return Body(report, shaped and not is_array(body), error)


def read_counted(body: bytes, head: Head) -> Body | None:  # noqa: ARG001 - one signature for all readers
    """A token count of a prompt. Nothing was used, and nothing is billed."""
    counted = read_strictly(_counted, unwrapped(body))
    if counted is None:
        return None
    tokens = count(value(counted.input_tokens))
    error = _error_of(bytes(unwrapped(body))) if truthy(counted.error) else None
    return Body(Report(None if tokens is None else Usage(in_uncached=tokens)), tokens is not None, error)


def _error_of(data: bytes) -> ProviderError:
    said = value(msgspec.Raw(data))
    return provider_error(data.decode("utf-8", "replace") if said is None else said)


def _report(
    stated: dict[str, Any],
    head: Head,
    model: msgspec.Raw,
    calls: MessageCalls | None = None,
    *,
    ended: bool = True,
    reasoning_dropped: bool = False,
    finish: tuple[FinishReason, ...] = (),
) -> Report:
    counted, others, contexts = read_usage(stated, ended=ended)
    usage = counted.usage if calls is None else calls.add_to(counted.usage)
    variant = stated_variant(
        head,
        service_tier(stated.get("service_tier")),
        speed(stated.get("speed")),
        geography(stated.get("inference_geo")),
    )
    return Report(
        usage,
        variant,
        others,
        counted.suspect,
        counted.unpriced,
        contexts,
        name_of_model(model),
        reasoning_dropped,
        finish,
    )
