"""Decides from an answer's first bytes whether it is an event stream, if its content type does not say.

This is needed if a stream was asked for and the answer has the type ``text/plain``, no type, or JSON from a host that
labels everything as JSON. The first byte after spaces decides: an event stream begins with the name of a field or with
a colon (WHATWG HTML, section 9.2.5), JSON with a bracket or a quote, a page with ``<``.
"""

from __future__ import annotations

from collections.abc import Callable

from metering.usage import Report
from providers.dialect import ProviderError, Redact, Scanner

_SPACE = b" \t\r\n\xef\xbb\xbf"  # a byte order mark too
_BODY = frozenset(b'{["<')
_FIELD = frozenset(b":deir")  # of `data`, `event`, `id` and `retry`, and of a comment


def is_stream(first: bytes) -> bool | None:
    """Whether an answer that begins with ``first`` is an event stream; ``None`` while only spaces have come."""
    begun = first.lstrip(_SPACE)
    return begun[0] not in _BODY if begun else None


def scanner_by_label(sse: bool | None, stream: Callable[[], Scanner], body: Callable[[], Scanner]) -> Scanner:
    """The scanner for an answer whose content type is an event stream, or another type, or (``None``) unclear."""
    if sse is None:
        return Sniffed(stream, body)
    return stream() if sse else body()


class Sniffed:
    """A `Scanner` that chooses the scanner of a stream or of a body. Leading spaces pass and are not scanned.

    Args:
        stream: Makes the scanner of an event stream.
        body: Makes the scanner of a body.
        other: Makes the scanner of an answer that begins like neither; without it, that is taken for a stream.

    Attributes:
        inner: The chosen scanner; ``None`` before the first byte.
    """

    __slots__ = ("_body", "_other", "_redact", "_skipped", "_stream", "inner")

    def __init__(
        self,
        stream: Callable[[], Scanner],
        body: Callable[[], Scanner],
        other: Callable[[], Scanner] | None = None,
    ) -> None:
        self._stream = stream
        self._body = body
        self._other = other
        self.inner: Scanner | None = None
        self._skipped = 0
        self._redact: Redact | None = None

    def redact_errors(self, redact: Redact) -> None:
        self._redact = redact

    @property
    def size(self) -> int:
        return self._skipped + (self.inner.size if self.inner is not None else 0)

    @property
    def events(self) -> int:
        return self.inner.events if self.inner is not None else 0

    @property
    def sse(self) -> bool:
        """The answer is an event stream; false before its first byte."""
        return self.inner is not None and self.inner.sse

    @property
    def readable(self) -> bool:
        return self.inner is None or self.inner.readable

    @property
    def begun(self) -> bool:
        return self.inner is not None and self.inner.begun

    @property
    def ended(self) -> bool:
        return self.inner is not None and self.inner.ended

    @property
    def error(self) -> ProviderError | None:
        return self.inner.error if self.inner is not None else None

    @property
    def at_boundary(self) -> bool:
        return self.inner is None or self.inner.at_boundary

    def feed(self, data: bytes) -> bytes:
        """Take a fragment; return what to pass on now."""
        if self.inner is None:
            stream = is_stream(data)
            if stream is None:
                self._skipped += len(data)
                return data
            begun = data.lstrip(_SPACE)
            if stream and self._other is not None and begun[0] not in _FIELD:
                self.inner = self._other()
            else:
                self.inner = self._stream() if stream else self._body()
            if self._redact is not None:
                self.inner.redact_errors(self._redact)
            if len(begun) < len(data):
                spaces = data[: -len(begun)]
                self._skipped += len(spaces)
                return spaces + self.inner.feed(begun)
        return self.inner.feed(data)

    def glance(self, framed: bytes, size: int) -> bool:
        return self.inner is not None and self.inner.glance(framed, size)

    def finish(self) -> bytes:
        return self.inner.finish() if self.inner is not None else b""

    def report(self) -> Report:
        return self.inner.report() if self.inner is not None else Report()

    def estimated_output(self) -> int:
        return self.inner.estimated_output() if self.inner is not None else 0

    def at_output(self, tokens: int, call: Callable[[], None]) -> None:
        """Call it once the first byte has come: before it there is no output."""
        if self.inner is not None:
            self.inner.at_output(tokens, call)
