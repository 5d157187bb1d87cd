"""How a request's body is decoded, and the base of all readers of answers: a body, however it is cut, into events.

A dialect's reader overrides `_data`, which reads one event of its stream, or its whole body. Rules:

1. The events do not depend on the cut.
2. An answer without its dialect's end fails, and never looks finished.
3. The bytes that are kept are bounded by `MOST_HELD`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import msgspec

from metering.usage import Usage
from providers.answers.sse import BOM, DONE, data_of, event_spans, is_one_event, is_one_line, last_boundary
from providers.conversation.conversation import Counts, Event, Failed, Finish, Reason
from providers.dialect import ProviderError, Refusal

MOST_HELD: Final = 16 << 20
"""Bytes of an event, or characters of calls that wait for each other. No engine sends more."""

UNREADABLE_JSON: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


_Form = TypeVar("_Form")
_Read = TypeVar("_Read")


class Unreadable(Exception):
    """The body is not an answer. The error has no text."""


def counts_of(usage: Usage | None) -> Counts:
    """The hub's counts, from the ledger's, so that both agree."""
    if usage is None:
        return Counts()
    written = [usage.cache_write_5m, usage.cache_write_1h, usage.cache_write_other]
    read = [usage.in_uncached, usage.cache_read, *written, usage.tool_in, usage.audio_in, usage.image_in]
    produced = [usage.out_visible, usage.out_reasoning, usage.audio_out, usage.image_out]
    return Counts(
        input=_sum(read),
        output=_sum(produced),
        reasoning=usage.out_reasoning,
        cached=usage.cache_read,
        cache_write=_sum(written),
        tool=usage.tool_in,
    )


def _sum(counts: list[int | None]) -> int | None:
    stated = [count for count in counts if count is not None]
    return sum(stated) if stated else None


def read_form(decoder: msgspec.json.Decoder[_Form], body: bytes, other: str, read: Callable[[_Form], _Read]) -> _Read:
    """What ``read`` makes of a request's body.

    Raises:
        Refusal: ``invalid_request`` with the sentence ``other`` if the body has another form, or is nested too deeply
            to be read; or what ``read`` raises.
    """
    try:
        return read(decoder.decode(body))
    except UNREADABLE_JSON:
        raise Refusal("invalid_request", other) from None


class AnswerReader:
    """Reads the events of one answer from fragments of any size. Once `failed`, it returns nothing more."""

    def __init__(self, stop: Sequence[str] = ()) -> None:
        """``stop``: the request's stop sequences."""
        self._stop = frozenset(stop)
        self._held = b""
        self._first = True
        self._finished = False
        self.done = False  # the answer's own end was seen: nothing follows
        self.failed = False
        self.error: ProviderError | None = None  # the provider's error
        self.count = 0  # events of the engine's stream

    def feed(self, data: bytes) -> list[Event]:
        """The events that end in this fragment of an event stream."""
        if not self._held and (is_one_event(data) or is_one_line(data)):  # as most are
            found: list[Event] = []
            self._read(data, found)
            return found
        held = self._held + data if self._held else data
        end = last_boundary(held)
        self._held = held[end:]
        found = []
        for start, stop in event_spans(held[:end]) if end else ():
            self._read(held[start:stop], found)
        if len(self._held) > MOST_HELD:
            self._held = b""
            self._fail(found)
        return found

    def finish(self) -> list[Event]:
        """The body ended: the bytes held back are read as if their blank line had come."""
        found: list[Event] = []
        held, self._held = self._held, b""
        if held.strip():
            self._read(held, found)
        if not self._finished:
            self._fail(found)
        self.done = True
        return found

    def whole(self, body: bytes) -> list[Event]:
        """The events of an answer that is one JSON object, or a stream although none was asked for."""
        if body.lstrip(b"\r\n \xef\xbb\xbf").startswith((b"data:", b"event:", b":")):
            return [*self.feed(body), *self.finish()]
        found: list[Event] = []
        self._guarded(self._body, body.removeprefix(BOM), found)
        if not self._finished:
            self._fail(found)
        return found

    def _read(self, event: bytes, found: list[Event]) -> None:
        data = data_of(event.removeprefix(BOM) if self._first else event)
        self._first = False
        if not data or self.done:
            return
        if not data.startswith(b"{") and data.strip() == DONE:
            self._over(found)
            self.done = True
            return
        self.count += 1
        self._guarded(self._data, data, found)

    def _guarded(self, read: Any, data: bytes, found: list[Event]) -> None:
        if self.failed:
            return
        try:
            read(data, found)
        except (Unreadable, *UNREADABLE_JSON):
            self._fail(found)

    def _data(self, data: bytes, found: list[Event]) -> None:
        """One event of the stream. Raises `Unreadable`, or what decoding raises."""
        raise NotImplementedError

    def _over(self, found: list[Event]) -> None:
        """The mark came that nothing follows: an answer without its end has failed."""
        if not self._finished:
            self._fail(found)

    def _body(self, body: bytes, found: list[Event]) -> None:
        """A whole body."""
        self._data(body, found)

    def _fail(self, found: list[Event], error: ProviderError | None = None) -> None:
        if not self.failed:
            self.failed, self.error = True, error
            found.append(Failed())

    def _stopped(self, reason: Reason, sequence: Any, *, called: bool, found: list[Event]) -> None:
        """The model stopped. A reason that only says that it ended is made more exact by what it did."""
        self._finished = True
        met = reason is Reason.STOP_SEQUENCE or (reason is Reason.END and str(sequence) in self._stop)
        if reason is Reason.END and called:
            found.append(Finish(Reason.TOOL))
        elif met and isinstance(sequence, str):
            found.append(Finish(Reason.STOP_SEQUENCE, sequence))
        else:
            found.append(Finish(reason))
