"""Forwards chunks without the parser: what a streamed event costs.

A read that is exactly one chunk, as a streamed event usually is, is forwarded unchanged with its framing. At the
boundary between two chunks the parser's state does not depend on the earlier chunks, so the parser need not see them.

Rules:

1. Only the simplest form is forwarded: a size line as servers write it (RFC 9112 section 7.1, no extension, no leading
   zero), then exactly that many bytes and the line end, and nothing else in the read. Everything else goes through the
   parser.
2. A chunk is written directly to the client's socket, and only while nothing waits in its transport, which ``plain``
   states. Code that changes that, or needs the next read, clears ``plain``; the next read then checks everything again.
3. The callback runs for every chunk of every stream, so all look-ups are done outside of it.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Protocol

from gateway.upstream.client_socket import ClientSide
from gateway.upstream.faults import Fault

_LARGEST = 2048  # a chunk has fewer bytes: the largest table of lengths that is worth its memory
_READ = _LARGEST + 8  # a chunk with its framing; longer reads are the parser's, which takes far more at once

Glance = Callable[[bytes, int], bool]
Feed = Callable[[bytes], bytes]

BLOCKED = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Source(Protocol):
    """The connection that a reader reads for (`gateway.upstream.connection.Connection`)."""

    at_frame: bool  # between two chunks: the next byte begins a size line
    paused: bool
    plain: bool  # at a frame, not paused, nothing waits for the client, and no progress is requested
    received: int

    def readable(self) -> None:
        """Read and parse, as for any answer."""
        ...

    def take(self, data: bytes) -> None:
        """Parse what was read; empty is the end of the connection."""
        ...

    def broken(self, fault: Fault = Fault.CLOSED) -> None:
        """Reading failed, or what was read could not be dealt with."""
        ...


def _by_length(form: bytes, shared: list[tuple[bytes, int]] | None = None) -> list[tuple[bytes, int]]:
    """For each length of a read, the size line that makes it one chunk, and the size; or too long a line."""
    lines = [(b"." * (_READ + 1), 0)] * (_READ + 1)
    for size in range(1, _LARGEST):
        line = form % size
        length = len(line) + size + 2
        lines[length] = shared[length] if shared and shared[length][0] == line else (line, size)
    return lines


_LOWER = _by_length(b"%x\r\n")
_UPPER = _by_length(b"%X\r\n", _LOWER)


def frame_reader(
    source: Source,
    *,
    recv: Callable[[int], bytes],
    pending: Callable[[], int] | None,
    glance: Glance | None,
    feed: Feed | None,
    client: ClientSide,
    rewritten: Callable[[bytes], None],
) -> Callable[[], None]:
    """The callback for a readable connection whose chunks go to a client that takes chunks.

    Args:
        source: The connection.
        recv: Reads from its socket.
        pending: Bytes that wait inside TLS, which the descriptor does not tell of; ``None`` for a plain socket.
        glance: The scanner's (`providers.dialect.Scanner.glance`); ``None`` if nothing is scanned.
        feed: The scanner's; returns the same object if nothing is hidden.
        client: Where chunks go.
        rewritten: Takes the scanner's chunk, if it is another object.
    """
    send, waiting = client.send, client.waiting
    lines = _LOWER

    def readable() -> None:
        nonlocal lines
        try:
            while True:
                if not source.plain:
                    if not source.at_frame or source.paused or waiting():
                        source.readable()
                        return
                    source.plain = True
                    source.received += 1
                try:
                    data = recv(_READ)
                except BLOCKED:
                    return
                except OSError:  # SSLEOFError too: a connection that ends without close_notify was cut
                    source.broken()
                    return
                line, size = lines[len(data)]
                if not data.startswith(line):
                    source.take(data)
                    if data.startswith(_UPPER[len(data)][0]):
                        lines = _UPPER  # this server's way to write sizes
                elif (glance is not None and glance(data, size)) or _passes(source, feed, rewritten, data, size):
                    try:
                        sent = send(data)
                    except BLOCKED:
                        sent = 0
                    except OSError:
                        sent = len(data)  # the client has gone, which its transport reports
                    if sent < len(data):
                        source.plain = False
                        client.write(data[sent:])
                if pending is None or not pending():
                    return
        except Exception:  # a bug in the gateway: the loop's handler is called
            source.broken(Fault.INTERNAL)
            raise

    return readable


def _passes(source: Source, feed: Feed | None, rewritten: Callable[[bytes], None], data: bytes, size: int) -> bool:
    """Whether a chunk that the scanner cannot read at a glance is forwarded unchanged; if not, it is handled here."""
    if not data.endswith(b"\r\n"):
        source.take(data)
        return False
    if feed is None:
        return True
    event = data[-2 - size : -2]
    shown = feed(event)
    if shown is event:
        return True
    source.plain = False
    rewritten(shown)
    return False
