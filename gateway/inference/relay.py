"""Carries one answer from the provider's connection to the client's transport.

The relay is the sink of an upstream `Connection`. It is in one of three states:

* **holding**: the body is kept here, because nothing was sent to the client yet. A JSON answer of up
  to `HOLD_BYTES` stays here until it is complete, so that its charge can stand in a header; an error
  answer too, so that another target can still be tried.
* **flowing**: every fragment goes to the client in the callback that read it. No task, no queue, no
  future per fragment: this is what the gateway costs.
* **ended**: `fault` says whether it ended well.

Who pauses whom: the client's transport calls `pause` at its high-water mark (64 KiB) and `resume`
when it has drained; those stop and start reading from the provider. Nothing accumulates in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.http.server import reset
from gateway.upstream.client_socket import ClientSide
from gateway.upstream.connection import Connection, Headers
from gateway.upstream.faults import Fault
from providers.dialect import Scanner

__all__ = ["HOLD_BYTES", "Relay", "reset"]

HOLD_BYTES = 262_144

# The frame heads of RFC 9112 section 7.1 for the sizes that streams really have.
_CHUNK_HEADS = tuple(b"%x\r\n" % size for size in range(4096))
_CRLF = b"\r\n"


class Relay:
    """One attempt's answer. Await `ready`, then either read `held` or `open` it and await `ended`."""

    __slots__ = (
        "_chunked",
        "_client",
        "_connection",
        "_feed",
        "_held",
        "_held_bytes",
        "_on_answer",
        "ended",
        "fault",
        "headers",
        "on_data",
        "over",
        "ready",
        "scanner",
        "status",
        "streaming",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connection: Connection,
        on_answer: Callable[[int, Headers], tuple[Scanner | None, bool]],
    ) -> None:
        """Build the sink of one attempt.

        Args:
            loop: The event loop.
            connection: Where the answer comes from.
            on_answer: Called with status and headers; says which scanner watches the body, if any,
                and whether the body is to flow as it comes (a stream) or be held (an object).
        """
        self._connection = connection
        self._on_answer = on_answer
        self._client: ClientSide | None = None
        self._chunked = False
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._feed: Callable[[bytes], bytes] | None = None
        self.scanner: Scanner | None = None
        self.streaming = False
        self.status = 0
        self.headers: Headers = []
        self.fault: Fault | None = None
        self.over = False  # the answer ended, well or badly; `ended` is also done where its waiter was cancelled
        self.on_data: Callable[[bytes], None] = self._hold
        self.ready: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()

    # -- the sink of the connection ------------------------------------------------------------

    def on_head(self, status: int, headers: Headers) -> None:
        self.status = status
        self.headers = headers
        self.scanner, self.streaming = self._on_answer(status, headers)
        if self.scanner is not None:
            self._feed = self.scanner.feed
        if self.streaming:
            _wake(self.ready)

    def _hold(self, data: bytes) -> None:
        if self._feed is not None:
            data = self._feed(data)
        if not data:
            return
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes > HOLD_BYTES:
            # Too large to hold: it flows from here on. Until the exchange has opened the client's
            # side, nothing more is read.
            self.streaming = True
            self._connection.pause()
            _wake(self.ready)

    def _flow(self, data: bytes) -> None:
        if self._feed is not None:
            data = self._feed(data)
            if not data:
                return
        self._write(data)

    def _write(self, data: bytes) -> None:
        client = self._client
        if client is None:
            return
        if self._chunked:
            size = len(data)
            head = _CHUNK_HEADS[size] if size < 4096 else b"%x\r\n" % size
            client.write(b"".join((head, data, _CRLF)))
        else:
            client.write(data)

    def on_end(self) -> None:
        if self.scanner is not None:
            rest = self.scanner.finish()
            if rest:
                feed, self._feed = self._feed, None
                self.on_data(rest)
                self._feed = feed
        self.over = True
        _wake(self.ready)
        _wake(self.ended)

    def on_fault(self, fault: Fault) -> None:
        self.fault = fault
        self.over = True
        _wake(self.ready)
        _wake(self.ended)

    # -- the client's side ---------------------------------------------------------------------

    def held(self) -> bytes:
        """The whole body, once `ended` without being opened."""
        return b"".join(self._held)

    def take(self) -> bytes:
        """What was held so far, to be sent together with the headers."""
        held, self._held = self._held, []
        self._held_bytes = 0
        return held[0] if len(held) == 1 else b"".join(held)

    def open(self, transport: asyncio.Transport, *, chunked: bool) -> None:
        """The client's headers are out: pass on what was held, and everything that follows at once."""
        self._client = client = ClientSide(transport, direct=chunked and not self.over)
        self._chunked = chunked
        held, self._held = self._held, []
        self._held_bytes = 0
        self.on_data = self._flow
        if held:
            feed, self._feed = self._feed, None  # it was scanned when it came
            self._flow(b"".join(held))
            self._feed = feed
        if not self.over:
            if chunked:
                glance = self.scanner.glance if self.scanner is not None else None
                self._connection.flow(glance, self._feed, client, self._rewritten)
            self._connection.resume()

    def _rewritten(self, shown: bytes) -> None:
        """What is left of a chunk in which something was hidden."""
        if shown:
            self._write(shown)

    def add(self, data: bytes) -> None:
        """Send bytes of our own (an error event) behind what flowed, past the scanner."""
        self._feed = None
        self._flow(data)

    def pause(self) -> None:
        """The client's write buffer is over its high-water mark."""
        self._connection.pause()

    def resume(self) -> None:
        """The client's write buffer has drained."""
        if not self.over:
            self._connection.resume()

    def close(self) -> None:
        """Drop every reference to content and to the transport, whatever the state."""
        if self._client is not None:
            self._client.close()
            self._client = None
        self._held.clear()
        self._feed = None
        self.on_data = _drop


def _drop(data: bytes) -> None:
    del data


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
