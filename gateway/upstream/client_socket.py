"""The client's end of a stream: written in the call that read from the provider.

A transport queues data until the turn ends, and keeps account of it. A streamed event needs neither: nearly always
nothing waits before it, and the kernel accepts all of it (decision 018 says what that saves).

Rules:

1. The descriptor is a duplicate (``dup``). The transport may close its descriptor at any time, and the number could
   then belong to another user's connection; a write to the duplicate reaches this client or fails.
2. It is the same socket, so the order is kept if nothing waits in the transport. The caller must check that (`waiting`)
   after each write through the transport.
3. `close` when the answer has ended: until then the client sees neither an end nor a reset.
4. Under TLS only the transport can make records, and everything goes through it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def at_once(transport: asyncio.Transport) -> Iterator[None]:
    """What is written inside is with the kernel when it ends, as far as that takes it.

    uvloop writes at the end of the loop's turn what is below a transport's high-water mark. Under TLS it still does.
    """
    plain = transport.get_extra_info("sslcontext") is None and not transport.is_closing()
    if plain:
        transport.set_write_buffer_limits(high=0)
    try:
        yield
    finally:
        if plain and not transport.is_closing():
            transport.set_write_buffer_limits()


class ClientSide:
    """Both ways to one client's socket."""

    __slots__ = ("_sock", "_transport", "send", "waiting")

    def __init__(self, transport: asyncio.Transport, *, direct: bool) -> None:
        """Build both ways.

        Args:
            transport: The client's.
            direct: Chunks will be sent one by one; otherwise everything goes through the transport.
        """
        self._transport = transport
        self._sock = _own(transport) if direct else None
        # Takes bytes, returns how many the kernel accepted. Raises OSError: BlockingIOError if it accepted none.
        self.send: Callable[[bytes], int] = self._sock.send if self._sock is not None else self._through
        self.waiting: Callable[[], int] = transport.get_write_buffer_size  # bytes in the transport

    def write(self, data: bytes) -> None:
        """Write through the transport, after what waits there; does nothing if the client has gone."""
        if not self._transport.is_closing():  # uvloop raises on a closed transport
            self._transport.write(data)

    def _through(self, data: bytes) -> int:
        self.write(data)
        return len(data)

    def close(self) -> None:
        """Give up the descriptor; the transport lives on. May be called twice."""
        if self._sock is not None:
            self._sock.close()


def _own(transport: asyncio.Transport) -> socket.socket | None:
    """A non-blocking duplicate of the transport's socket, if it may be written directly."""
    sock = transport.get_extra_info("socket")
    if sock is None or transport.is_closing() or transport.get_extra_info("sslcontext") is not None:
        return None
    with contextlib.suppress(OSError):  # no descriptor is left: the transport's does
        own = socket.socket(sock.family, sock.type, sock.proto, fileno=os.dup(sock.fileno()))
        own.setblocking(False)
        return own
    return None
