"""How Anthropic's Messages answers state usage, end and failure.

Documented paths, the only ones read: ``message.usage`` of ``message_start``, ``usage`` of
``message_delta``, ``usage`` at the top of a whole body. A stream ends with ``message_stop``; an
``error`` event ends it as a failure. (``input`` of a tool call and results of server tools are free
objects and may contain the same names.)
"""

from __future__ import annotations

from typing import Any

import msgspec

from metering.usage import Report
from providers.answers.events import EventStream
from providers.answers.reading import Answer, read, read_strictly, stated_variant, value
from providers.anthropic.usage import geography, overlay, service_tier, speed, split_by_model
from providers.dialect import Head
from providers.document.members import ABSENT
from providers.document.projection import Wanted
from providers.openai.usage import responses_usage

NEEDLE = b'_tokens"'


class _Message(msgspec.Struct):
    type: str = ""
    usage: msgspec.Raw = ABSENT


class _Event(msgspec.Struct):
    type: str = ""
    message: msgspec.Raw = ABSENT
    usage: msgspec.Raw = ABSENT


class _Counted(msgspec.Struct):
    input_tokens: msgspec.Raw = ABSENT


_message = msgspec.json.Decoder(_Message)
_event = msgspec.json.Decoder(_Event)
_counted = msgspec.json.Decoder(_Counted)

MESSAGE: Wanted = {b"type": None, b"usage": None}
EVENT: Wanted = {b"type": None, b"message": MESSAGE, b"usage": None}
COUNTED: Wanted = {b"input_tokens": None}


class MessageStream(EventStream):
    """Events of a streamed message."""

    __slots__ = ("_failure", "_stated", "_stopped", "final")

    def __init__(self, head: Head) -> None:
        super().__init__(head, NEEDLE, EVENT)
        self._stated: dict[str, Any] = {}
        self.final = False  # the output count is more than message_start's placeholder
        self._stopped = False
        self._failure = False

    def _event(self, data: bytes) -> bool:
        event = read(_event, data, EVENT)
        if event is None:
            return False
        if event.type == "message_start":
            message = read_strictly(_message, event.message)
            if message is not None:
                overlay(self._stated, value(message.usage))
        elif event.type == "message_delta":
            overlay(self._stated, value(event.usage))
            self.final = True
        elif event.type == "message_stop":
            self._stopped = True
        elif event.type == "error":
            self._failure = True
        return False

    def _ended(self) -> bool:
        return self._stopped

    def _errored(self) -> bool:
        return self._failure

    def _reported(self) -> Report:
        return _report(self._stated, self._head)


def read_message(body: bytes, head: Head) -> Answer | None:
    """A whole message."""
    message = read_strictly(_message, body)
    if message is None:
        return None
    stated: dict[str, Any] = {}
    overlay(stated, value(message.usage))
    return Answer(_report(stated, head), message.type == "error")


def read_counted(body: bytes, head: Head) -> Answer | None:  # noqa: ARG001 - one signature for all readers
    """A token count: how large a prompt would be. Nothing was used, nothing is billed."""
    counted = read_strictly(_counted, body)
    if counted is None:
        return None
    return Answer(Report(responses_usage({"input_tokens": value(counted.input_tokens)})))


def _report(stated: dict[str, Any], head: Head) -> Report:
    usage, others = split_by_model(stated)
    variant = stated_variant(
        head,
        service_tier(stated.get("service_tier")),
        speed(stated.get("speed")),
        geography(stated.get("inference_geo")),
    )
    return Report(usage, variant, others)
