"""Chunks that pass without the parser: what a streamed event costs.

A read that is exactly one chunk, which a streamed event usually is, goes on as it came, framing included. At the
boundary between two chunks the parser's state does not depend on the chunks before, so it need not see them.

Rules:

1. Only the plainest form passes: a size line as servers write it (RFC 9112 section 7.1, no extension, no leading
   zero), then just so many bytes and the line end, and nothing else in the read. Anything different by one byte goes
   through the parser, which decides.
2. Everything that can be looked up once is, outside of the callback: it runs for every chunk of every stream.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Protocol

_READ = 16_384
_LARGEST = 4096
_SIZES = {form % size: size for size in range(1, _LARGEST) for form in (b"%x", b"%X")}


class Source(Protocol):
    """The connection that a reader reads for (`gateway.upstream.connection.Connection`)."""

    at_frame: bool  # between two chunks: the next byte begins a size line
    paused: bool
    received: int

    def readable(self) -> None:
        """Read and parse, as for any answer."""
        ...

    def take(self, data: bytes) -> None:
        """Parse what was read; empty is the end of the connection."""
        ...

    def broken(self) -> None:
        """Reading failed."""
        ...


def frame_reader(
    source: Source,
    *,
    recv: Callable[[int], bytes],
    pending: Callable[[], int] | None,
    feed: Callable[[bytes], bytes] | None,
    write: Callable[[bytes], object],
    is_closing: Callable[[], bool],
    rewritten: Callable[[bytes], None],
) -> Callable[[], None]:
    """The callback for a readable connection whose chunks go to a client that takes chunks.

    Args:
        source: The connection.
        recv: Reads from its socket.
        pending: Bytes that wait inside TLS, which the descriptor does not tell of; ``None`` for a plain socket.
        feed: The scanner's; returns the very same object where nothing is hidden.
        write: The client's transport's.
        is_closing: Likewise; writing to a closed transport raises.
        rewritten: Takes what the scanner made of a chunk, where it is another object.
    """
    size_of = _SIZES.get

    def readable() -> None:
        while True:
            if not source.at_frame or source.paused:
                source.readable()
                return
            try:
                data = recv(_READ)
            except (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            except OSError:  # SSLEOFError too: a connection that ends without close_notify was cut
                source.broken()
                return
            end = data.find(b"\r\n", 1, 5)
            if size_of(data[:end]) == len(data) - end - 4 and data.endswith(b"\r\n"):
                source.received += 1
                if feed is None:
                    if not is_closing():
                        write(data)
                else:
                    event = data[end + 2 : -2]
                    shown = feed(event)
                    if shown is not event:
                        rewritten(shown)
                    elif not is_closing():
                        write(data)
            else:
                source.take(data)
            if pending is None or not pending():
                return

    return readable
