"""One connection of a caller: sends a prepared request, watches the answer go by, keeps no byte of it.

The answer is not parsed beyond its head: events are counted by a byte search, and a chunked body ends
where a segment ends with the last chunk. That costs a few microseconds a segment, so that one
process can read some ten thousand events a second and still be idle most of the time.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from time import perf_counter

from benchmarks.load.payloads import Payload
from benchmarks.load.tally import Tally

_LAST_CHUNK = b"\r\n0\r\n\r\n"
_HEAD_LIMIT = 262_144


class Client(asyncio.Protocol):
    """A caller's connection. ``on_done(client)`` is called when an answer ended, however it did.

    After ``on_done`` the connection is idle (``alive``) or closed.
    """

    def __init__(self, tally: Tally, on_done: Callable[[Client], None]) -> None:
        self.tally = tally
        self.on_done = on_done
        self.on_events: Callable[[Client], None] | None = None  # called after each segment, for scenarios
        self.transport: asyncio.Transport | None = None
        self.payload = Payload("", b"")
        self.busy = False
        self.ok = False  # how the last answer ended
        self.events = 0
        self.status = 0  # of the last answer; 0 while its head has not come
        self.headers = b""  # its head, in lower case
        self.answered = False  # ever
        self._head = b""
        self._in_head = False
        self._chunked = False
        self._left = -1
        self._closes = False
        self._tail = b""
        self._ended = False
        self._began = 0.0
        self._last = 0.0

    @property
    def alive(self) -> bool:
        return self.transport is not None and not self.transport.is_closing()

    def header(self, name: str) -> str:
        """A header of the last answer, by its lower-case name; empty without it."""
        return self.headers.partition(f"\r\n{name}:".encode())[2].partition(b"\r\n")[0].strip().decode("latin-1")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # a stream client gets a transport

    def send(self, payload: Payload, began: float | None = None) -> None:
        """Send a request; ``began`` is when it should have been sent (open loop), now if not given."""
        assert self.transport is not None
        self.payload = payload
        self.busy = True
        self.ok = False
        self.events = self.status = 0
        self.headers = b""
        self._head = b""
        self._in_head = True
        self._tail = b""
        self._ended = not payload.end
        self._last = 0.0
        self._began = perf_counter() if began is None else began
        self.tally.sent += 1
        self.transport.write(payload.data)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            if (rest := self._read_head(data)) is None:
                return
            data = rest
            if not data and self._left:
                return
        now = perf_counter()
        tally = self.tally
        tally.received += len(data)
        if self._last:
            tally.gaps.add(now - self._last)
        else:
            tally.first.add(now - self._began)
        self._last = now
        payload = self.payload
        if payload.event:
            tail = self._tail
            reach = len(payload.event) - 1
            found = data.count(payload.event) + (tail[-reach:] + data[:reach]).count(payload.event)
            self.events += found
            tally.events += found
            if not self._ended and payload.end in tail + data:
                self._ended = True
        if self._chunked:
            if data[-7:] == _LAST_CHUNK or (len(data) < 7 and (self._tail + data)[-7:] == _LAST_CHUNK):
                self._finish(now)
                return
        elif self._left >= 0:
            self._left -= len(data)
            if self._left <= 0:
                self._finish(now)
                return
        self._tail = data[-32:] if len(data) >= 32 else (self._tail + data)[-32:]
        if payload.event:
            self._tail = self._tail[-(max(len(payload.event), len(payload.end)) - 1) :]
        if self.on_events is not None:
            self.on_events(self)

    def _read_head(self, data: bytes) -> bytes | None:
        """Take the head in; what follows it, or ``None`` while it is not complete."""
        self._head += data
        while True:
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                if len(self._head) > _HEAD_LIMIT:
                    self.fail("head")
                return None
            head, rest = self._head[:end].lower(), self._head[end + 4 :]
            self.status = int(head[9:12])
            self._head = rest
            if self.status >= 200:
                break
        self._in_head = False
        self._head = b""
        self.headers = head
        self.answered = True
        self._chunked = b"\r\ntransfer-encoding: chunked" in head
        self._closes = b"\r\nconnection: close" in head
        self._left = -1
        if not self._chunked:
            _, found, value = head.partition(b"\r\ncontent-length:")
            if found:
                self._left = int(value.partition(b"\r\n")[0])
        return rest

    def _finish(self, now: float) -> None:
        if 200 <= self.status < 300 and self._ended:
            self.ok = True
            self.tally.completed += 1
            self.tally.whole.add(now - self._began)
            self._done()
            return
        # Which refusal it is says the gateway's own header.
        refusal = f"{self.status} {self.header('x-error-code')}".strip()
        self.tally.errors["truncated" if self.status < 300 else refusal] += 1
        self._done()

    def _done(self) -> None:
        self.busy = False
        if self._closes and self.transport is not None:
            self.transport.close()
        self.on_done(self)

    def fail(self, kind: str) -> None:
        """Count an error and close; the answer in progress ends with it."""
        self.tally.errors[kind] += 1
        if self.transport is not None:
            self.transport.abort()
        if self.busy:
            self.busy = False
            self.on_done(self)

    def abort(self) -> None:
        """Break off the request in progress on purpose: the connection is closed at once."""
        if self.busy:
            self.busy = False
            self.tally.aborted += 1
        if self.transport is not None:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if not self.busy:
            return
        if exc is None and not self._in_head and not self._chunked and self._left < 0:
            self._finish(perf_counter())  # delimited by the end of the connection
            return
        self.tally.errors["reset" if exc else "truncated"] += 1
        self.busy = False
        self.on_done(self)


async def connect(
    url_host: str, port: int, context: ssl.SSLContext | None, tally: Tally, on_done: Callable[[Client], None]
) -> Client:
    """Open a connection. Raises OSError."""
    loop = asyncio.get_running_loop()
    name = url_host if context else None
    _, client = await loop.create_connection(
        lambda: Client(tally, on_done), url_host, port, ssl=context, server_hostname=name
    )
    return client
