"""Watches a JSON body pass that is not an event stream.

Up to `KEEP_LIMIT` bytes are kept by reference and read once, when somebody asks; a larger body goes
through a projection as it arrives, so that memory stays bounded and the counts at its end are found. So does a body
that is asked about before its end: however often that happens, each byte is looked at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from metering.usage import Report
from providers.answers.reading import Body
from providers.answers.sse import BOM
from providers.dialect import Head, ProviderError, Redact
from providers.document.projection import JsonProjection, Wanted

KEEP_LIMIT = 64 * 1024

BODY_LIMIT = 16_384
"""Output tokens: the most that is estimated of a body."""

_SPACE = b" \t\r\n"
_CLOSERS = (b"}", b"]")

Reader: TypeAlias = Callable[[bytes, Head], Body | None]


class JsonBody:
    """A `Scanner` for one JSON value. Nothing is ever held back, and no event can follow."""

    __slots__ = (
        "_closed",
        "_head",
        "_looked",
        "_parts",
        "_projection",
        "_read",
        "_reading",
        "_seen",
        "_wanted",
        "events",
        "generated",
        "size",
    )

    sse = False

    def __init__(self, head: Head, read: Reader, wanted: Wanted, *, generated: bool) -> None:
        self.generated = generated  # the body holds a model's output (not vectors, not a token count)
        self.size = 0
        self.events = 0
        self._head = head
        self._read = read
        self._wanted = wanted
        self._parts: list[bytes] = []
        self._projection: JsonProjection | None = None
        self._looked = 0  # how many of the kept parts went through it
        self._seen = 0  # how many bytes `_reading` was read from
        self._reading = Body()
        self._closed = False

    def glance(self, framed: bytes, size: int) -> bool:  # noqa: ARG002 - the protocol's signature
        """Never: a body is read through."""
        return False

    def feed(self, data: bytes) -> bytes:
        """Take a fragment; return it."""
        self.size += len(data)
        self._parts.append(data)
        if self.size > KEEP_LIMIT:
            self._project()
            self._parts.clear()
            self._looked = 0
        return data

    def finish(self) -> bytes:
        """Nothing is held back."""
        return b""

    def redact_errors(self, redact: Redact) -> None:
        """Nothing to do: a body is judged as a whole before any of it is passed on, or is too large for an error."""

    @property
    def begun(self) -> bool:
        """The body has the form of this operation's answer, and is no error."""
        self._look()
        return self._reading.shaped and self._reading.error is None

    @property
    def ended(self) -> bool:
        """The whole value was seen, and it is this operation's answer."""
        return self.begun and self._closed

    @property
    def error(self) -> ProviderError | None:
        """The body is an error in spite of its status."""
        self._look()
        return self._reading.error

    @property
    def at_boundary(self) -> bool:
        """Nothing can follow a JSON value that has begun."""
        return not self.size

    def report(self) -> Report:
        """What the provider stated so far."""
        self._look()
        return self._reading.report

    def estimated_output(self) -> int:
        """Output tokens that what has passed probably holds: media in base64 would count as text, hence the bound."""
        return min(self.size // 16, BODY_LIMIT) if self.generated else 0

    def _look(self) -> None:
        if self._seen == self.size:
            return
        self._seen = self.size
        parts = self._parts
        last = next((text for part in reversed(parts) if (text := part.rstrip(_SPACE))), b"")
        if last.endswith(_CLOSERS) and self.size <= KEEP_LIMIT:
            reading = self._read(b"".join(parts).removeprefix(BOM), self._head)
            if reading is not None:
                self._reading, self._closed = reading, True
                return
        projection = self._project()
        self._closed = projection.closed and not projection.invalid
        self._reading = self._read(projection.result(), self._head) or self._reading

    def _project(self) -> JsonProjection:
        """The projection of all that has come."""
        parts = self._parts[self._looked :]
        if self._projection is None:
            begun = b"".join(parts)
            if BOM.startswith(begun):  # some hosts write one, no JSON has it
                return JsonProjection(self._wanted)
            parts = [begun.removeprefix(BOM)]
            self._projection = JsonProjection(self._wanted)
        for part in parts:
            self._projection.feed(part)
        self._looked = len(self._parts)
        return self._projection
