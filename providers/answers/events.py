"""Watches a stream of server-sent events pass: the part that is the same for every dialect.

What must stay true:

1. `EventStream.feed` returns the same object that it was given, except if a usage chunk is hidden or an error is
   redacted. A chunk of one event that does not contain the dialect's needle is handled by `glance`: one search
   for the needle, one or two for a line end, no copy and no decode.
2. The needle is a byte string that every event with counts contains. JSON escapes the quotes inside
   strings, so a needle that ends with a quote is a member name or a whole string value, never text.
   It only makes an event a candidate: the dialect decodes the candidate and reads its documented path.
3. Before the first output every event is read as it ends; they are few. After that, the only event without the
   needle that matters is the last one (a finish reason, an error, the dialect's end). It is kept by reference, and
   decoded only when a property is asked for. Three kinds of events are read at once:
   - events that are too small for output, which are ends and pings, so that an end does not hide an error before it;
   - of several events that arrived together, each one with the mark of an error or an end;
   - events whose ending differs from the ordinary events of the stream (`providers.answers.closing`).
4. An event that has not ended is kept by reference up to `CARRY_LIMIT`; beyond that its data goes
   through a projection, so that memory stays bounded and its counts are still found.
5. If the usage chunk must be hidden, an event is held back until its end, up to `HOLD_LIMIT` bytes; a larger one is
   passed on as it arrives, and is not hidden. Lines of comments before its first field are no part of it and pass when
   they are whole: some hosts send them as signs of life, without a blank line. If errors are redacted, an event is held
   back from the mark of an error on in the same way. `glance` must refuse errors, since it passes events unchanged;
   they are recognised by the event's name, by its first member, or by its closing.
6. The amount of output is estimated from a sample of the events (`providers.answers.produced`).
7. Results do not depend on how the stream was cut.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from msgspec.structs import replace

from metering.usage import Report, Usage
from providers.answers.closing import Closing
from providers.answers.produced import Produced
from providers.answers.sse import (
    DONE,
    LargeEvent,
    count_events,
    data_of,
    event_spans,
    events_backwards,
    first_boundary,
    is_named_error,
    is_one_event,
    last_boundary,
    lead,
)
from providers.dialect import UNKNOWN_STATUS, Head, ProviderError, Redact
from providers.document.projection import Wanted

CARRY_LIMIT = 256 * 1024
HOLD_LIMIT = 64 * 1024
_ALL = 1 << 62
ERROR = b'"error"'
_NAMED = (b"event: error", b"event:error")
_LOUD = b"rd"  # the last letters of error, failed, completed; no ordinary event's name ends with them
_ERRORS_FIRST = ord("e")  # data: {"error"
_LINE_END = re.compile(rb"[\r\n]")
_SEAM = 2  # earlier bytes that can belong to a blank line
_EDGE = 12  # earlier bytes that can belong to the mark of an error, or to a line end before a line of data


class EventStream:
    """A `Scanner` for event streams. A dialect's subclass defines the needle and how an event is read."""

    __slots__ = (
        "_begun", "_carried", "_carry", "_closing", "_comment", "_done", "_each", "_edge", "_end", "_error",
        "_finished", "_framed", "_framed_end", "_head", "_hide", "_large", "_last", "_least", "_marks", "_needle",
        "_passed", "_produced", "_redact", "_seam", "_small", "_suspect", "_tail", "_wanted", "events", "size",
    )  # fmt: skip

    sse = True
    readable = True

    def __init__(
        self,
        head: Head,
        needle: bytes,
        wanted: Wanted,
        *,
        small: int = 0,
        marks: tuple[bytes, ...] = (ERROR,),
        hide: bool = False,
        each: bool = False,
    ) -> None:
        """Start before the first byte.

        Args:
            head: The request's.
            needle: See rule 2.
            wanted: The members that are read from an event that is too large to keep.
            small: Bytes; a smaller event has no output.
            marks: Byte strings like the needle; of several events that arrived together, each one with a mark is read.
            hide: Usage chunks are hidden.
            each: Every event is decoded, which costs time.
        """
        self.size = 0
        self.events = 0
        self._head = head
        self._needle = needle
        self._wanted = wanted
        self._hide = hide
        self._tail = 2  # bytes from the line end of the last line to the end of the event
        self._closing = Closing(b"}\n\n")
        self._end = self._framed_end = b""  # the end of an ordinary event, without and with a chunk's line end
        self._compare()
        self._last: bytes | None = None  # contains the last event without the needle, undecoded
        self._framed: bytes | None = None  # the same with its chunk's framing, if that came later
        self._produced = Produced(self._output)
        self._done = False  # the last event with data was [DONE]
        self._small = small
        self._marks = (*marks, *_NAMED)
        self._each = each
        self._begun = False  # output has come; the dialect says so
        self._finished = False  # the dialect's end has come; the dialect says so
        self._error: ProviderError | None = None  # the first that the provider sent
        self._least = _ALL  # bytes: smaller events do not take the fast path
        self._carry: list[bytes] = []  # the fragments of the event in progress
        self._carried = 0  # its bytes so far
        self._passed = 0  # how many of them were passed on already
        self._seam = b""  # its last bytes, to find a blank line across a cut
        self._edge = b""  # more of them
        self._redact: Redact | None = None
        self._suspect = False  # it may be an error, which must be redacted
        self._comment = False  # it is the beginning of a comment
        self._large: LargeEvent | None = None

    def glance(self, framed: bytes, size: int) -> bool:
        """Take a chunk of one event without the needle (see `providers.dialect.Scanner`)."""
        if size < self._least or not framed.endswith(self._framed_end) or framed.rfind(self._needle) >= 0:
            return False
        # A line of data, alone or after the event's name. (No line of data ends before byte 5, size line or not.)
        blank = len(framed) - 2 - self._tail
        line = framed.find(b"\n", 5)
        if line != blank:
            if framed[line + 1 - self._tail] in _LOUD or framed.find(b"\n", line + 1) != blank:
                return False  # an error or an end, or not exactly one event
        elif framed[6 - size] == _ERRORS_FIRST:
            return False
        before = self.events
        self.events = before + 1
        if before >= self._produced.next:
            self._produced.one(framed, before)
        self.size += size
        self._framed = framed
        return True

    def _unframe(self) -> None:
        """Make the event that `glance` took last the last event."""
        if (framed := self._framed) is not None:
            self._last, self._framed = framed[framed.index(b"\n") + 1 : -2], None

    def feed(self, data: bytes) -> bytes:
        """Take a fragment; return what to pass on now."""
        self._unframe()
        size = len(data)
        self.size += size
        if size < self._least or not data.endswith(self._end) or data.rfind(self._needle) >= 0 or self._marked(data):
            return self._one(data) if not self._carried and is_one_event(data) else self._feed(data)
        self._count(data)
        self._last = data
        return data

    def finish(self) -> bytes:
        """The answer ended: a last event without its blank line is read as if it had one."""
        if not self._carried:
            return b""
        passed, tail = self._passed, b"".join(self._carry)
        self._settle()
        hidden = self._settle_tail(final=True) and self._hide and not passed
        held = (self._redacted(tail, passed) or tail)[passed:] if passed < len(tail) else b""
        if self._large is None:
            self._count(b"".join([*self._carry, b"\n"]))
        else:
            self.events += 1
        self._begin_event()
        return held[: lead(held)] if hidden else held

    @property
    def begun(self) -> bool:
        """Output has come."""
        return self._begun

    @property
    def ended(self) -> bool:
        """The dialect's own end has come, and no error."""
        self._settle_all()
        return self._ended() and self._error is None

    @property
    def error(self) -> ProviderError | None:
        """The error that the provider sent inside the answer."""
        self._settle_all()
        return self._error

    @property
    def at_boundary(self) -> bool:
        """What was passed on ends between two events."""
        if not self._carried or not self._passed:
            return True
        if self._large is not None:
            return self._seam.endswith((b"\r\r", b"\n\r"))
        carried = b"".join(self._carry)
        return carried.endswith((b"\r\r", b"\n\r")) or lead(carried) == len(carried)

    def report(self) -> Report:
        """What the provider stated so far."""
        self._settle_all()
        return self._reported()

    # What a dialect defines

    def _event(self, data: bytes) -> bool:
        """Read one event's data; true if it is a usage chunk that only the gateway asked for.

        Sets ``_begun`` and ``_finished``, and calls `_fail`. The same event may be read more than once.
        """
        raise NotImplementedError

    def _failure(self, data: bytes) -> ProviderError:
        """The error in the data of an event named ``error``, whatever its form."""
        raise NotImplementedError

    def _only_opens(self, data: bytes) -> bool:  # noqa: ARG002 - what a dialect's may look at
        """Whether an event that was too large to keep only opens the answer; ``data`` is its projection."""
        return False

    def _fail(self, error: ProviderError | None) -> None:
        """Note an error: the first one, or the first that says what it means."""
        if self._error is None or (error is not None and self._error.status == UNKNOWN_STATUS):
            self._error = replace(error, late=True) if error is not None and self._ended() else error

    def _ended(self) -> bool:
        return self._finished

    def estimated_output(self) -> int:
        """An estimate of the output tokens so far."""
        return self._produced.tokens(self.events)

    def _stated_or_passed(self, usage: Usage | None, *, final: bool) -> int:
        """The output that the provider stated for the whole answer (``final``), else from what has passed."""
        stated = usage.output_tokens if usage is not None and final else 0
        return stated or EventStream.estimated_output(self)

    def at_output(self, tokens: int, call: Callable[[], None]) -> None:
        """Call ``call`` once more than ``tokens`` more of output have passed."""
        self._produced.at(tokens, call)

    @staticmethod
    def _output(event: bytes) -> int:
        """Output tokens in one event, in thousandths (`providers.answers.produced.Output`)."""
        raise NotImplementedError

    def _reported(self) -> Report:
        raise NotImplementedError

    # Framing

    def _count(self, block: bytes) -> None:
        """Count the events of ``block``, and sample the output of those that are due."""
        before, count = self.events, count_events(block)
        self.events = before + count
        if self.events > self._produced.next:
            self._produced.take(block, before)

    def redact_errors(self, redact: Redact) -> None:
        """Pass on errors without what ``redact`` removes."""
        self._redact = redact

    def _feed(self, data: bytes) -> bytes:
        probe = self._seam + data if self._carried else data
        end = last_boundary(probe)
        if not end:
            return self._hold(data)
        if self._large is not None:
            return self._end_large(data, probe)
        end = max(0, end - (len(probe) - len(data)))
        passed, withheld = self._passed, self._carried - self._passed
        block = data[:end] if end < len(data) else data
        if self._carried:
            block = b"".join([*self._carry, block])
        self._begin_event()
        if self._tail == 2 and block.endswith(b"\r\n\r\n"):
            self._tail, self._closing = 3, Closing(b"}\r\n\r\n")
            self._compare()
        shown = self._scan(block, passed)
        rest = self._hold(data[end:]) if end < len(data) else b""
        if shown is block and not withheld and len(rest) == len(data) - end:
            return data
        return shown[passed:] + rest

    def _one(self, data: bytes) -> bytes:
        """The same as `_feed`, for exactly one whole event."""
        self._count(data)
        self._settle()
        shown = self._take(data)
        return data if shown is None else shown

    def _compare(self) -> None:
        """From now on, compare events with the current closing."""
        self._end = self._closing.bytes
        self._framed_end = self._end + b"\r\n"

    def _begin_event(self) -> None:
        self._carry = []
        self._carried = self._passed = 0
        self._seam = self._edge = b""
        self._suspect = self._comment = False
        self._large = None
        self._shorten()

    def _shorten(self) -> None:
        """Between two events: the next one may take the fast path, unless every event must be read."""
        ordinary = self._begun and not self._done and not self._each and self._error is None
        self._least = self._small if ordinary else _ALL

    def _hold(self, data: bytes) -> bytes:
        self._least = _ALL
        shown = b""
        if self._hide and self._large is None and (self._comment or not self._carried):
            data, shown = self._past_comments(data)
            if not data:
                return shown
        self._seam = (self._seam + data)[-_SEAM:] if self._carried else data[-_SEAM:]
        edge = self._edge + data
        self._edge = edge[-_EDGE:]
        if self._redact is not None and not self._suspect:
            self._suspect = ERROR in edge or any(name in edge for name in _NAMED)
        withheld = self._carried - self._passed
        self._carried += len(data)
        out = data
        if self._large is not None:
            self._large.feed(data)
            self._passed = self._carried
            return out
        self._carry.append(data)
        if (self._hide or self._suspect) and self._carried <= HOLD_LIMIT:
            out = b""
        else:
            if withheld:
                out = b"".join(self._carry)[self._passed :]
            self._passed = self._carried
        if self._carried > CARRY_LIMIT:
            self._large = LargeEvent(self._wanted)
            for fragment in self._carry:
                self._large.feed(fragment)
            self._carry = []
        return shown + out if shown else out

    def _past_comments(self, data: bytes) -> tuple[bytes, bytes]:
        """What is left of ``data`` for the event after the whole lines of comments, and what to pass on of these."""
        if self._comment and _LINE_END.search(data) is None:
            return data, b""
        whole = b"".join([*self._carry, data]) if self._carried else data
        end, passed = lead(whole), self._passed
        if self._carried:
            self._begin_event()
            self._least = _ALL
        self._comment = whole[end : end + 1] == b":"
        return whole[end:], whole[passed:end]

    def _begin_with(self, rest: bytes, passed: int) -> bytes:
        """Start an event with ``rest``, of which ``passed`` bytes were passed on before; return what to pass on now."""
        if EventStream._hold(self, rest):
            return rest[passed:]
        self._passed = passed
        return b""

    def _end_large(self, data: bytes, probe: bytes) -> bytes:
        assert self._large is not None
        end = max(0, first_boundary(probe) - (len(probe) - len(data)))
        self._large.feed(data[:end])
        self._take_large(self._large.result())
        if end == len(data):
            return data
        rest = data[end:]
        shown = self._feed(rest)
        return data if shown is rest else data[:end] + shown

    def _take_large(self, event: bytes | None) -> None:
        """Read the projection of an event that was too large to keep, and start the next event."""
        self.events += 1
        if event is not None:
            self._settle()
            self._event(event)
            self._begun = self._begun or (self._error is None and not self._only_opens(event))
            self._done = False
        self._begin_event()

    # Reading

    def _scan(self, block: bytes, passed: int) -> bytes:
        """Read a block of whole events; return what to pass on, the block itself if nothing changes.

        Args:
            block: The events.
            passed: How many of its bytes were passed on already.
        """
        self._count(block)
        all_of_them = not self._begun or self._each
        marked = self._marked(block)
        if not all_of_them and not marked and block.rfind(self._needle) < 0:
            if len(block) >= self._small and block.endswith(self._end):
                self._last = block
                self._done = False
                self._shorten()
                return block
            if self._small <= len(block):
                self._note(block)
                return block
        shown: list[bytes] = []
        plain = copied = 0  # the start of the events since the last candidate; the end of what is in `shown`
        for start, end in event_spans(block):
            if not (
                all_of_them
                or end - start < self._small
                or block.find(self._needle, start, end) >= 0
                or (marked and self._marked(block[start:end]))
            ):
                continue
            self._note(block[plain:start])
            self._settle()
            plain = end
            found = self._take(block[start:end], max(0, passed - start))
            all_of_them = not self._begun or self._each
            if found is not None:
                shown += (block[copied:start], found)
                copied = end
        self._note(block[plain:])
        if not copied:
            return block
        shown.append(block[copied:])
        return b"".join(shown)

    def _note(self, block: bytes) -> None:
        """Remember the last event of ``block``, which has no candidates."""
        first = True
        for event in events_backwards(block):
            data = data_of(event)
            if not data:
                continue
            if data.rstrip() == DONE:
                if first:
                    self._done = True
                first = False
                continue
            if first:
                self._done = False
            self._last = event
            break
        self._shorten()

    def _settle(self) -> None:
        self._unframe()
        if self._last is None:
            return
        block, self._last = self._last, None
        for event in events_backwards(block):
            data = data_of(event)
            if data and data.rstrip() != DONE:
                self._read(event, data)
                return

    def _marked(self, block: bytes) -> bool:
        """An event in ``block`` may be an error or an end."""
        return any(mark in block for mark in self._marks)

    def _take(self, event: bytes, passed: int = 0) -> bytes | None:
        """Read one whole event now.

        Args:
            event: The event.
            passed: How many of its bytes were passed on already.

        Returns:
            The event to pass on instead, including the bytes that were passed on; ``None`` for the event itself.
        """
        data = data_of(event)
        if not data:
            return None
        self._done = data.rstrip() == DONE
        hidden = not self._done and self._read(event, data)
        self._shorten()
        if self._least != _ALL and event.find(self._needle) < 0 and not self._ended():
            self._learn(event)
        if hidden and self._hide and not passed:
            return event[: lead(event)]
        return self._redacted(event, passed)

    def _redacted(self, event: bytes, passed: int) -> bytes | None:
        """The redacted event, if it is an error; ``None`` if nothing is removed from it. See `_take`."""
        if self._redact is None or self._error is None or (ERROR not in event and not is_named_error(event)):
            return None
        rest = event[passed:]
        redacted = self._redact(rest)
        return None if redacted == rest else event[:passed] + redacted

    def _learn(self, event: bytes) -> None:
        """Learn the closing of an ordinary event."""
        self._closing.learn(event)
        self._compare()

    def _read(self, event: bytes, data: bytes) -> bool:
        hidden = self._event(data)
        if self._error is None and is_named_error(event):
            self._fail(self._failure(data))
        return hidden

    def _settle_tail(self, *, final: bool = False) -> bool:
        if self._large is not None:
            event = self._large.result()
            return event is not None and self._event(event)
        tail = b"".join(self._carry)
        data = data_of(tail)
        if data.rstrip() == DONE:
            self._done = True
        elif data.rstrip().endswith((b"}", b"]")):
            return self._read(tail, data) if final else self._event(data)
        return False

    def _settle_all(self) -> None:
        self._settle()
        if self._carried:
            self._settle_tail()
