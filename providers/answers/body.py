"""Watches a JSON body pass that is not an event stream.

Up to `KEEP_LIMIT` bytes are kept by reference and read once, when a property is asked for; a larger body goes
through a projection as it arrives, so that memory stays bounded and the counts at its end are found. A body
that is asked about before its end goes through a projection too, so that each byte is read once, however often that is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from metering.usage import Report
from providers.answers.produced import Output
from providers.answers.reading import Body
from providers.answers.sse import BOM
from providers.dialect import Head, ProviderError, Redact
from providers.document.projection import JsonProjection, Wanted

KEEP_LIMIT = 64 * 1024
_ERROR = b'"error"'

BODY_LIMIT = 16_384
"""The largest estimate for a body, in output tokens."""

_SPACE = b" \t\r\n"
_CLOSERS = (b"}", b"]")

Reader: TypeAlias = Callable[[bytes, Head], Body | None]


class JsonBody:
    """A `Scanner` for one JSON value. No event can follow."""

    __slots__ = (
        "_closed",
        "_edge",
        "_head",
        "_held",
        "_held_bytes",
        "_looked",
        "_output",
        "_parts",
        "_projection",
        "_read",
        "_reading",
        "_redact",
        "_seen",
        "_wanted",
        "events",
        "size",
    )

    sse = False
    readable = True

    def __init__(self, head: Head, read: Reader, wanted: Wanted, *, output: Output | None) -> None:
        """``output``: the dialect's count of a model's output; ``None`` for vectors and token counts."""
        self._output = output
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
        self._redact: Redact | None = None
        self._edge = b""  # the last bytes of the past, to find the mark of an error across a cut
        self._held: list[bytes] = []
        self._held_bytes = 0

    def glance(self, framed: bytes, size: int) -> bool:  # noqa: ARG002 - the protocol's signature
        """Always false: a body is read completely."""
        return False

    def feed(self, data: bytes) -> bytes:
        """Take a fragment; return what to pass on now."""
        self.size += len(data)
        self._parts.append(data)
        if self.size > KEEP_LIMIT:
            self._project()
            self._parts.clear()
            self._looked = 0
        if self._redact is None:
            return data
        edge = self._edge + data
        self._edge = edge[1 - len(_ERROR) :]
        if not self._held and _ERROR not in edge:
            return data
        self._held.append(data)
        self._held_bytes += len(data)
        return b"" if self._held_bytes <= KEEP_LIMIT else self._let_go()

    def finish(self) -> bytes:
        """Return what was held back: what follows the mark of an error."""
        return self._let_go()

    def redact_errors(self, redact: Redact) -> None:
        """Remove from an error in a body above `KEEP_LIMIT` what ``redact`` removes; its length stays.

        A smaller body is read completely before any of it is passed on.
        """
        self._redact = redact

    def _let_go(self) -> bytes:
        held = b"".join(self._held)
        self._held.clear()
        self._held_bytes = 0
        if not held or self._redact is None or self.size <= KEEP_LIMIT or self.error is None:
            return held
        return self._redact(held)[: len(held)].ljust(len(held))

    @property
    def begun(self) -> bool:
        """The body has the form of this operation's answer, and is not an error."""
        self._look()
        return self._reading.shaped and self._reading.error is None

    @property
    def ended(self) -> bool:
        """The whole value was seen, and it is this operation's answer."""
        return self.begun and self._closed

    @property
    def error(self) -> ProviderError | None:
        """The body is an error although its status is 2xx."""
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
        """An estimate of the output tokens so far: by the texts of a body that is kept, else by its size. Bounded,
        since media in base64 would count as text.
        """
        if self._output is None:
            return 0
        if self.size <= KEEP_LIMIT and self._closed:
            return min(-(-self._output(b"".join(self._parts)) // 1_000), BODY_LIMIT)
        return min(self.size // 16, BODY_LIMIT)

    def at_output(self, tokens: int, call: Callable[[], None]) -> None:
        """Never: what a body holds is not counted before its end."""

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
        """The projection of everything that has arrived."""
        parts = self._parts[self._looked :]
        if self._projection is None:
            begun = b"".join(parts)
            if BOM.startswith(begun):  # a byte order mark, which some hosts write although JSON has none
                return JsonProjection(self._wanted)
            parts = [begun.removeprefix(BOM)]
            self._projection = JsonProjection(self._wanted)
        for part in parts:
            self._projection.feed(part)
        self._looked = len(self._parts)
        return self._projection
