"""Watches a stream of server-sent events pass: the part that is the same for every dialect.

What must stay true:

1. `EventStream.feed` returns the very object it was given, except where a usage chunk is hidden, or an error is
   redacted. A chunk of one event in which the dialect's needle does not occur is taken at a `glance`: one search
   for it, one or two for a line end, no copy and no decode.
2. The needle is a byte string that every event with counts contains. JSON escapes the quotes inside
   strings, so a needle that ends with a quote is a member name or a whole string value, never text.
   It only makes an event a candidate: the dialect decodes the candidate and reads its documented path.
3. Until output has come every event is read as it ends; they are few. After that, of events that are no
   candidates only the last one matters (a finish reason, an error, the dialect's end), and it is decoded when
   somebody asks, not before. It is kept by reference. Events that are too small for output are ends and pings:
   they are read at once, so that an end does not hide an error before it. Of several events that came together each
   one that has a mark of an error or an end is read. So is each event that ends in another way than the ordinary
   events of its stream (`providers.answers.closing`).
4. An event that has not ended is kept by reference up to `CARRY_LIMIT`; beyond it its data goes
   through a projection, so that memory stays bounded and its counts are found all the same.
5. Where the usage chunk must be hidden, an event is held back until its end, at most `HOLD_LIMIT`
   bytes; beyond that it is passed on as it comes, and is not hidden. Where errors are redacted, so is the rest of an
   event from the mark of an error on. An error that is taken at a glance would pass as it is: its event says so in its
   name, in its first member, or by its closing.
6. How much was produced is told by a sample of the events (`providers.answers.produced`).
7. Results do not depend on how the stream was cut.
"""

from __future__ import annotations

from msgspec.structs import replace

from metering.usage import Report
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
_LOUD = b"rd"  # the last letters of error, failed, completed; of no name of an ordinary event
_ERRORS_FIRST = ord("e")  # data: {"error"
_SEAM = 2  # bytes of the past that can belong to a blank line
_EDGE = 12  # bytes of the past that can belong to the mark of an error, or to a line end before a line of data


class EventStream:
    """A `Scanner` for event streams; a dialect says what its needle is and how to read an event."""

    __slots__ = (
        "_begun", "_carried", "_carry", "_closing", "_done", "_each", "_edge", "_end", "_error", "_finished", "_framed",
        "_framed_end", "_head", "_hide", "_large", "_last", "_least", "_marks", "_needle", "_passed", "_produced",
        "_redact", "_seam", "_small", "_suspect", "_tail", "_wanted", "events", "size",
    )  # fmt: skip

    sse = True

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
            wanted: What is read of an event that is too large to keep.
            small: Bytes; an event below it has no output.
            marks: Byte strings like the needle; of several events that came together each that holds one is read.
            hide: Usage chunks are hidden.
            each: Every event is read, at its cost.
        """
        self.size = 0
        self.events = 0
        self._head = head
        self._needle = needle
        self._wanted = wanted
        self._hide = hide
        self._tail = 2  # from the last line's own end to the end of the event
        self._closing = Closing(b"}\n\n")
        self._end = self._framed_end = b""  # an ordinary event's, without and with a chunk's line end
        self._compare()
        self._last: bytes | None = None  # holds the last event that is no candidate, undecoded
        self._framed: bytes | None = None  # where it came after that: likewise, with its chunk's framing
        self._produced = Produced(self._output)
        self._done = False  # the last event with data was [DONE]
        self._small = small
        self._marks = (*marks, *_NAMED)
        self._each = each
        self._begun = False  # output has come; the dialect says so
        self._finished = False  # the dialect's end has come; the dialect says so
        self._error: ProviderError | None = None  # the first that the provider sent
        self._least = _ALL  # bytes: what is smaller takes no short cut
        self._carry: list[bytes] = []  # the fragments of the event that has begun
        self._carried = 0  # its bytes so far
        self._passed = 0  # how many of them were passed on already
        self._seam = b""  # its last bytes, to find a blank line across a cut
        self._edge = b""  # more of them
        self._redact: Redact | None = None
        self._suspect = False  # it may be an error that is to be redacted
        self._large: LargeEvent | None = None

    def glance(self, framed: bytes, size: int) -> bool:
        """Take a chunk of one event that is no candidate (see `providers.dialect.Scanner`)."""
        if size < self._least or not framed.endswith(self._framed_end) or framed.rfind(self._needle) >= 0:
            return False
        # A line of data, alone or behind its event's name. (No line of data ends before byte 5, size line or not.)
        blank = len(framed) - 2 - self._tail
        line = framed.find(b"\n", 5)
        if line != blank:
            if framed[line + 1 - self._tail] in _LOUD or framed.find(b"\n", line + 1) != blank:
                return False  # an error or an end; several events, or none
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
        """What passed at a glance last was the last event."""
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

    # What a dialect says

    def _event(self, data: bytes) -> bool:
        """Read one event's data; true if it is a usage chunk that only the gateway asked for.

        Sets ``_begun`` and ``_finished``, and calls `_fail`. The same event may be read more than once.
        """
        raise NotImplementedError

    def _failure(self, data: bytes) -> ProviderError:
        """The error that the data of an event named ``error`` is, whatever its form."""
        raise NotImplementedError

    def _only_opens(self, data: bytes) -> bool:  # noqa: ARG002 - what a dialect's may look at
        """An event that is too large to keep, of which ``data`` is left, is one that only opens the answer."""
        return False

    def _fail(self, error: ProviderError | None) -> None:
        """Note an error: the first one, or the first that says what it means."""
        if self._error is None or (error is not None and self._error.status == UNKNOWN_STATUS):
            self._error = replace(error, late=True) if error is not None and self._ended() else error

    def _ended(self) -> bool:
        return self._finished

    def estimated_output(self) -> int:
        """Output tokens that what has passed probably holds."""
        return self._produced.tokens(self.events)

    @staticmethod
    def _output(event: bytes) -> int:
        """Output tokens in one event, in thousandths (`providers.answers.produced.Output`)."""
        raise NotImplementedError

    def _reported(self) -> Report:
        raise NotImplementedError

    # Framing

    def _count(self, block: bytes) -> None:
        """Count the events of ``block``, and look at those that say how much was produced."""
        before, count = self.events, count_events(block)
        self.events = before + count
        if self.events > self._produced.next:
            self._produced.take(block, before)

    def redact_errors(self, redact: Redact) -> None:
        """Pass on errors less what ``redact`` removes."""
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
        """What `_feed` does, for one whole event."""
        self._count(data)
        self._settle()
        shown = self._take(data)
        return data if shown is None else shown

    def _compare(self) -> None:
        """From now on, compare events with the closing."""
        self._end = self._closing.bytes
        self._framed_end = self._end + b"\r\n"

    def _begin_event(self) -> None:
        self._carry = []
        self._carried = self._passed = 0
        self._seam = self._edge = b""
        self._suspect = False
        self._large = None
        self._shorten()

    def _shorten(self) -> None:
        """Between two events: the next may take a short cut, unless every one must be read."""
        ordinary = self._begun and not self._done and not self._each and self._error is None
        self._least = self._small if ordinary else _ALL

    def _hold(self, data: bytes) -> bytes:
        self._least = _ALL
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
        return out

    def _begin_with(self, rest: bytes, passed: int) -> bytes:
        """Begin an event with ``rest``, of which so many bytes were passed on already; return what to pass on now."""
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
        """Read what is left of an event that was too large to keep, and begin the next."""
        self.events += 1
        if event is not None:
            self._settle()
            self._event(event)
            self._begun = self._begun or (self._error is None and not self._only_opens(event))
            self._done = False
        self._begin_event()

    # Reading

    def _scan(self, block: bytes, passed: int) -> bytes:
        """Read a block of whole events; return it as it may be shown, the block itself if nothing of it changes.

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
        plain = copied = 0  # where the events since the last candidate begin; what is in `shown`
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
        """Remember the last event of ``block``, in which nothing is a candidate."""
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
            What to show in its place, with what was passed on; ``None`` for the event itself.
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
        """An event as it may be shown if it is an error; ``None`` if nothing is removed from it. See `_take`."""
        if self._redact is None or self._error is None or (ERROR not in event and not is_named_error(event)):
            return None
        rest = event[passed:]
        redacted = self._redact(rest)
        return None if redacted == rest else event[:passed] + redacted

    def _learn(self, event: bytes) -> None:
        """``event`` was ordinary."""
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
