"""Server-sent events as bytes: where events end, and their data.

Rules (WHATWG HTML, section 9.2.6 "Interpreting an event stream"):

1. A line ends with LF, CRLF or CR. A blank line ends an event.
2. An event's data is the values of its ``data`` fields, joined by LF; one space after the colon is
   not part of the value. Lines that begin with a colon are comments.
3. One byte order mark at the very start of the stream is not part of the first line.
4. A CR at the end of the received bytes may be half of a CRLF, so an event that ends there is
   recognised one byte later. A cut therefore never changes where an event ends.
5. Beyond the standard: a bare JSON object or array in the place of an event is read as data, because some
   hosts report an error in the middle of a stream like that.
6. Beyond the standard, for dialects whose clients do the same: lines of data without blank lines between them, each a
   whole JSON object, are separate events (`next_lines`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from providers.document.projection import JsonProjection, Wanted

BOM = b"\xef\xbb\xbf"
DONE = b"[DONE]"

_BLANK_LINE = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r(?=[^\n]))")
_LINE = re.compile(rb"[^\r\n]+")
_NAMED_ERROR = re.compile(rb"(?:\A|[\r\n])event: ?error[\r\n]")
_LEAD = re.compile(rb"(?:\xef\xbb\xbf)?(?:[\r\n]|:[^\r\n]*+[\r\n])*")
_LINE_BREAK = re.compile(rb"[\r\n]")
_NEXT_LINE = re.compile(rb"\}(\r\n|\n|\r)(?=data:|\{)")
_NEXT_LINES = tuple(b"}" + end + begun for end in (b"\n", b"\r\n", b"\r") for begun in (b"data:", b"{"))


def last_boundary(data: bytes) -> int:
    """The index just after the last blank line in ``data``, 0 if there is none."""
    if b"\r" not in data:
        start = data.rfind(b"\n\n")
        return 0 if start < 0 else start + 2
    end = 0
    for found in _BLANK_LINE.finditer(data):
        end = found.end()
    return end


def first_boundary(data: bytes) -> int:
    """The index just after the first blank line in ``data``, 0 if there is none."""
    found = _BLANK_LINE.search(data)
    return found.end() if found else 0


def is_one_event(data: bytes) -> bool:
    """``data`` is exactly one event and its lines end with LF: the common form, which is cheap to recognise."""
    return (
        len(data) > 1 and data.find(b"\n\n") == len(data) - 2 and data[:1] in {b"d", b"e", b":"} and b"\r" not in data
    )


def is_one_line(data: bytes) -> bool:
    """``data`` is exactly one event, whose only line is data and ends with CRLF, as Google writes them."""
    return (
        data.startswith(b"data: ")
        and data.endswith(b"\r\n\r\n")
        and data.find(b"\r") == data.find(b"\n") - 1 == len(data) - 4
    )


def count_events(block: bytes) -> int:
    """The number of lines of data in ``block``; providers write one for each event. Comments do not count."""
    lines = block.count(b"\ndata:") + block.startswith((b"data:", BOM + b"data:"))
    return lines + block.count(b"\rdata:") if b"\r" in block else lines


def event_spans(block: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of each event in ``block``, terminators included; together the spans cover all of it."""
    start = 0
    for found in _BLANK_LINE.finditer(block):
        yield start, found.end()
        start = found.end()
    if start < len(block):
        yield start, len(block)


def events_backwards(block: bytes) -> Iterator[bytes]:
    """The events of ``block``, last first, since usually only the last one is needed."""
    if b"\r" in block:
        for start, end in reversed(list(event_spans(block))):
            yield block[start:end]
        return
    end = len(block)
    while end > 0:
        start = block.rfind(b"\n\n", 0, max(end - 2, 0)) + 2
        if start < 2:
            start = 0
        yield block[start:end]
        end = start


def next_lines(data: bytes) -> list[int]:
    """The starts of lines that may be separate events: they follow a line that ends with an object."""
    return [found.end() for found in _NEXT_LINE.finditer(data)]


def has_next_lines(block: bytes) -> bool:
    """Whether there are `next_lines`; faster than searching for them if there are none, as in most streams."""
    return any(mark in block for mark in _NEXT_LINES)


def with_blank_lines(block: bytes) -> bytes:
    """``block`` with a blank line before each of its `next_lines`."""
    return _NEXT_LINE.sub(rb"\g<0>\g<1>", block)


def blanks_before(block: bytes, end: int) -> int:
    """How many bytes `with_blank_lines` adds to ``block`` before ``end``."""
    return sum(len(found[1]) for found in _NEXT_LINE.finditer(block) if found.end() < end)


def lead(event: bytes) -> int:
    """How many bytes precede the first field of ``event``: line ends, whole lines of comments, a byte order mark."""
    found = _LEAD.match(event)
    return found.end() if found else 0


def data_of(event: bytes) -> bytes:
    """The data of one event; empty if it has none (a comment, a single other field)."""
    if event.startswith(b"data: ") and event.find(b"\n") >= len(event) - 2 and b"\r" not in event:
        return event[6:].rstrip(b"\n")
    if is_one_line(event):
        return event[6:-4]
    if event.startswith(b"event: ") and b"\r" not in event:
        start = event.find(b"\n") + 1
        if event.startswith(b"data: ", start) and event.find(b"\n", start) >= len(event) - 2:
            return event[start + 6 :].rstrip(b"\n")
    values: list[bytes] = []
    for found in _LINE.finditer(event.removeprefix(BOM)):
        name, _, value = found.group().partition(b":")
        if name == b"data":
            values.append(value.removeprefix(b" "))
    if not values and event.lstrip().startswith((b"{", b"[")):
        return event.strip()
    return values[0] if len(values) == 1 else b"\n".join(values)


def is_named_error(event: bytes) -> bool:
    """The event's name is ``error``."""
    named = b"event: error" in event or b"event:error" in event  # far cheaper than the expression
    return named and _NAMED_ERROR.search(event) is not None


class LargeEvent:
    """An event that is too large to keep: its data goes through a `JsonProjection` as it arrives."""

    __slots__ = ("_in_data", "_prefix", "_projection", "_start")

    def __init__(self, wanted: Wanted) -> None:
        self._projection = JsonProjection(wanted)
        self._prefix: bytes | None = b""  # the beginning of a line whose field is not known yet
        self._in_data = False
        self._start = True

    def feed(self, data: bytes) -> None:
        """Take a fragment of the event, terminators included."""
        position = 0
        while position < len(data):
            found = _LINE_BREAK.search(data, position)
            end = found.start() if found else len(data)
            self._line_part(data[position:end])
            if found:
                self._line_end()
            position = end + 1 if found else end

    def result(self) -> bytes | None:
        """The wanted members as one JSON document, or ``None`` if the data is not a whole value."""
        whole = self._projection.closed and not self._projection.invalid
        return self._projection.result() if whole else None

    def _line_part(self, part: bytes) -> None:
        if self._prefix is None:
            if self._in_data:
                self._projection.feed(part)
            return
        self._prefix += part
        if self._start and len(self._prefix) >= len(BOM):
            self._prefix = self._prefix.removeprefix(BOM)
            self._start = False
        if len(self._prefix) >= len(b"data: "):
            self._decide()

    def _line_end(self) -> None:
        if self._prefix:
            self._decide()
        if self._in_data:
            self._projection.feed(b"\n")
        self._prefix = b""
        self._in_data = False

    def _decide(self) -> None:
        prefix, self._prefix = self._prefix or b"", None
        self._in_data = prefix.startswith(b"data:")
        if self._in_data:
            self._projection.feed(prefix[5:].removeprefix(b" "))
