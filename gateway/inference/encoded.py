"""Scanners for answers that came in a coding although none was asked for, and for those that nobody here can read."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.http.codings import Corrupt, TooMuch, decoder
from metering.usage import Report
from providers.answers.sniff import Sniffed
from providers.dialect import ProviderError, Redact, Scanner

DECODED_BOUND = 64 << 20  # bytes of a coded answer that are decoded for scanning
_BYTES_PER_TOKEN = 8  # of what cannot be read: low rather than high, compressed text has fewer


class Encoded:
    """A decoded copy passes the real scanner; the client gets the provider's bytes as they are.

    If the usage event must be hidden, the bytes cannot be passed as they are: then the decoded ones are. Data that is
    not what its coding says, and data that is cut, never end well: the dialect's end is not seen.
    """

    def __init__(self, inner: Scanner, codings: Sequence[str], *, rewrite: bool) -> None:
        self._inner = inner
        self._decoder = decoder(codings, limit=DECODED_BOUND)
        self._broken = False
        self._over = False
        self.rewrite = rewrite
        self.size = 0
        self.events = 0

    def redact_errors(self, redact: Redact) -> None:
        """If the decoded bytes are passed on."""
        if self.rewrite:
            self._inner.redact_errors(redact)

    def glance(self, framed: bytes, size: int) -> bool:  # noqa: ARG002 - the protocol's signature
        """Never: what passes is compressed."""
        return False

    def feed(self, data: bytes) -> bytes:
        passed = []
        if not self._broken:
            try:
                passed = [self._inner.feed(piece) for piece in self._decoder.feed(data)]
            except (Corrupt, TooMuch):
                self._broken = True
            self.size, self.events = self._inner.size, self._inner.events
        return b"".join(passed) if self.rewrite else data

    def finish(self) -> bytes:
        self._over = True
        self._broken = self._broken or not self._decoder.whole
        rest = b"" if self._broken else self._inner.finish()
        return rest if self.rewrite else b""

    @property
    def sse(self) -> bool:
        return self.rewrite and self._inner.sse

    @property
    def begun(self) -> bool:
        return self._inner.begun

    @property
    def ended(self) -> bool:
        """A client that is passed the coded bytes has an end only if the coding ends too."""
        return self._inner.ended and not self._broken and (self.rewrite or self._over)

    @property
    def error(self) -> ProviderError | None:
        return self._inner.error

    @property
    def at_boundary(self) -> bool:
        return self.rewrite and self._inner.at_boundary  # nothing can be added to a compressed stream

    def report(self) -> Report:
        return self._inner.report()

    def estimated_output(self) -> int:
        return self._inner.estimated_output()


def unreadable(scanner: Scanner) -> bool:
    """Nobody here can read what passes ``scanner``."""
    return isinstance(scanner.inner if isinstance(scanner, Sniffed) else scanner, Opaque)


class Opaque:
    """What nobody here can read: it passes, and its end is HTTP's."""

    rewrite = False
    sse = False
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
