"""The listener's own certificate: read at the start, and again when its files change.

Rules:

1. Files are replaced one after the other, and may be half written: they are read once they have not changed between two
   looks.
2. A pair that cannot serve changes nothing: connections go on with the last good one, and the operator is told.
3. New connections get a new context. Nobody changes one that handshakes use, and open connections keep theirs.
"""

from __future__ import annotations

import ssl
from pathlib import Path

Fingerprint = tuple[tuple[int, int, int] | None, ...]


def make_context(cert: Path, key: Path) -> ssl.SSLContext:
    """TLS 1.2 and 1.3 for a listener.

    Raises:
        OSError, ssl.SSLError, ValueError: The files cannot be read, or do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(cert, key, password=lambda: "")  # else OpenSSL asks on the terminal
    context.set_alpn_protocols(["http/1.1"])
    return context


def expires_of(cert: Path) -> int:
    """When the first certificate of a chain ends, in Unix seconds.

    Raises:
        OSError, ValueError: It cannot be read.
    """
    from cryptography import x509  # noqa: PLC0415 - a tenth of a second, for the few that need it

    return int(x509.load_pem_x509_certificate(cert.read_bytes()).not_valid_after_utc.timestamp())


def expires_or_unknown(cert: Path) -> int | None:
    """The same for a metric: ``None`` if it cannot be read."""
    try:
        return expires_of(cert)
    except (OSError, ValueError):
        return None


class ListenerCertificate:
    """A chain and its key.

    Attributes:
        context: For new connections.
        refused: The files have changed into something that cannot serve.
    """

    def __init__(self, cert: Path, key: Path) -> None:
        """Read it. Raises as `make_context`."""
        self._files = (cert, key)
        self._seen = self._look()
        self._changed = False
        self.refused = False
        self.context = make_context(cert, key)

    def renew(self) -> bool | None:
        """To be called every second or so: true if ``context`` is new, false if a changed pair was refused."""
        now = self._look()
        if now != self._seen:
            self._seen, self._changed = now, True
            return None
        if not self._changed:
            return None
        self._changed = False
        try:
            self.context = make_context(*self._files)
        except (OSError, ValueError):  # of which `ssl.SSLError` is one
            self.refused = True
        else:
            self.refused = False
        return not self.refused

    def _look(self) -> Fingerprint:
        return tuple(_fingerprint(file) for file in self._files)


def _fingerprint(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()  # of what a link leads to: secrets are often mounted as links
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
