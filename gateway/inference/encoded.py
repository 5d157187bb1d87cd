"""Scanners for answers in an encoding that was not requested, and for answers that the gateway cannot read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from gateway.http.codings import Corrupt, TooMuch, decoder
from metering.usage import Report
from providers import bounds
from providers.answers.around import Around, Thorough
from providers.conversation.failures import UNREADABLE
from providers.dialect import ProviderError, Redact, Scanner

DECODED_BOUND = 64 << 20  # bytes of a coded answer that are decoded for scanning
_BYTES_PER_TOKEN = 8  # of what cannot be read: low rather than high, compressed text has fewer


class Encoded(Thorough):
    """A decoded copy passes the real scanner; the client gets the provider's bytes as they are.

    If the usage event must be hidden, the bytes cannot be passed as they are: then the decoded ones are. Data that is
    not what its coding says, and data that is cut, never end well: the dialect's end is not seen.
    """

    def __init__(self, inner: Scanner, codings: Sequence[str], *, rewrite: bool) -> None:
        super().__init__(inner)
        self._decoder = decoder(codings, limit=DECODED_BOUND)
        self._broken = False
        self._over = False
        self._rewrite = rewrite

    def redact_errors(self, redact: Redact) -> None:
        """If the decoded bytes are passed on."""
        if self._rewrite:
            self.inner.redact_errors(redact)

    def feed(self, data: bytes) -> bytes:
        passed: list[bytes] = []
        if not self._broken:
            try:
                passed = [self.inner.feed(piece) for piece in self._unpacked(data)]
            except (Corrupt, TooMuch):
                self._broken = True
        return b"".join(passed) if self._rewrite else data

    def _unpacked(self, data: bytes) -> Iterator[bytes]:
        left, lines = bounds.UNPACKED_BYTES + bounds.UNPACKED * len(data), bounds.UNPACKED_LINES
        for piece in self._decoder.feed(data):
            left -= len(piece)
            lines -= piece.count(b"\n") + piece.count(b"\r")
            if left < 0 or lines < 0:
                raise TooMuch
            yield piece

    def finish(self) -> bytes:
        self._over = True
        self._broken = self._broken or not self._decoder.whole
        rest = b"" if self._broken else self.inner.finish()
        return rest if self._rewrite else b""

    @property
    def sse(self) -> bool:
        return self._rewrite and self.inner.sse

    @property
    def ended(self) -> bool:
        """A client that is passed the coded bytes has an end only if the coding ends too."""
        return self.inner.ended and not self._broken and (self._rewrite or self._over)

    @property
    def at_boundary(self) -> bool:
        return self._rewrite and self.inner.at_boundary  # nothing can be added to a compressed stream


class Bounded(Around):
    """Lets a scanner see an answer for as long as reading it is bounded work.

    What comes at a time and holds more lines or brackets than any answer of these APIs (`providers.bounds`) would hold
    the loop. It makes the answer one that nobody here can read: it passes, and its end is HTTP's. Small pieces are
    usual in a stream and are not checked, since each of them is a separate turn of the loop.

    Attributes:
        inner: The scanner, later an `Opaque`.
    """

    __slots__ = ("glance",)

    def __init__(self, inner: Scanner) -> None:
        super().__init__(inner)
        self.glance = inner.glance

    def feed(self, data: bytes) -> bytes:
        if len(data) < bounds.DENSE_BYTES or not _is_forged(data, lines=self.inner.sse):
            return self.inner.feed(data)
        opaque = Opaque()
        opaque.size = self.inner.size
        held = self.inner.finish()
        self.inner, self.glance = opaque, opaque.glance
        data = opaque.feed(data)
        return held + data if held else data

    def finish(self) -> bytes:
        return self.inner.finish()


def _is_forged(data: bytes, *, lines: bool) -> bool:
    """Whether it is denser than any answer: in lines, if each is one of a stream (a body may be written with a number a
    line), and in brackets.
    """
    if lines and (data.count(b"\n") + data.count(b"\r")) * bounds.LINE_BYTES > len(data):
        return True
    return (data.count(b"{") + data.count(b"[")) * bounds.BRACKET_BYTES > len(data)


class Opaque:
    """An answer that the gateway cannot read: it is forwarded, and ends when HTTP ends."""

    sse = False
    readable = False
    at_boundary = False
    error: ProviderError | None = None

    def __init__(self) -> None:
        self.size = 0
        self.events = 0
        self.ended = False

    def redact_errors(self, redact: Redact) -> None:
        """Nobody here can read one."""

    def glance(self, framed: bytes, size: int) -> bool:
        self.size += size
        return framed.endswith(b"\r\n")

    def feed(self, data: bytes) -> bytes:
        self.size += len(data)
        return data

    def finish(self) -> bytes:
        self.ended = self.begun
        return b""

    @property
    def begun(self) -> bool:
        return self.size > 0

    def report(self) -> Report:
        return Report()

    def estimated_output(self) -> int:
        return self.size // _BYTES_PER_TOKEN

    def at_output(self, tokens: int, call: Callable[[], None]) -> None:
        """Never: the gateway cannot count it."""


class Untold(Opaque):
    """An answer that the gateway cannot read, and so cannot translate: it has failed."""

    error = UNREADABLE
    begun = False

    def feed(self, data: bytes) -> bytes:
        self.size += len(data)
        return b""

    def finish(self) -> bytes:
        return b""
