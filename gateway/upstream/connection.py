"""One connection to a provider: a non-blocking socket, plain or TLS, and an HTTP/1.1 response parser.

Why our own: per streamed chunk this costs one callback, with no task, queue or future, and that is
what the whole gateway costs (docs/performance.md). The rules that keep it right:

1. `recv` is driven by ``loop.add_reader``. TLS: read until ``pending()`` is 0, because the
   descriptor stays quiet while decrypted bytes wait inside OpenSSL.
2. A cut never looks like an end. ``suppress_ragged_eofs`` is off; end of file ends only a body that
   has neither a length nor chunks (RFC 9112 section 6.3, rule 8).
3. An answer never crosses users. Any byte after the end of an answer closes the connection, and so
   does any byte on an idle one (TLS session tickets are not bytes: want-read is not a close).
4. 1xx answers complete in the parser as well: they are skipped (RFC 9110 section 15.2).
5. Headers are bounded at 64 KiB, which the parser itself does not do.
6. Writing goes on while reading goes on, so that an early 413 is seen; the very same slice is
   retried after want-write, as OpenSSL demands.
7. While an answer flows, `frames` may read in place of `readable` and pass whole chunks without the
   parser.
8. Who pauses whom: the client's transport calls the relay at its high-water mark, the relay calls
   `pause` here, and the kernel's receive window stops the provider. Nothing queues in between.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Protocol

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpResponseParser

from gateway.upstream.client_socket import ClientSide
from gateway.upstream.faults import Fault, UpstreamFault
from gateway.upstream.frames import BLOCKED, Feed, Glance, frame_reader

MAX_HEADER_BYTES = 65_536
TOGETHER = 65_536  # a request up to this size leaves as one piece
# Of a larger one at a time: other connections wait while the kernel copies it, a tenth of a millisecond.
SLICE = 262_144
RECV_BYTES = 32_768  # of an answer at a time: what is read is scanned before anything else has its turn

# One receive buffer a process: every body fragment is copied out of it by the parser, so that it
# never outlives the callback.
_BUFFER = bytearray(RECV_BYTES)
_VIEW = memoryview(_BUFFER)

Headers = list[tuple[bytes, bytes]]


class Sink(Protocol):
    """Receives one answer. Called from the event loop's reader callback; must not block."""

    def on_head(self, status: int, headers: Headers) -> None: ...

    def on_data(self, data: bytes) -> None: ...

    def on_end(self) -> None: ...

    def on_fault(self, fault: Fault) -> None: ...


class Connection:
    """One keep-alive connection. Use: `send`, then the sink is called; afterwards `reusable`."""

    __slots__ = (
        "_answered",
        "_chunked",
        "_closed",
        "_done",
        "_head_bytes",
        "_head_done",
        "_headers",
        "_informational",
        "_length",
        "_loop",
        "_next_slice",
        "_on_sent",
        "_out",
        "_parser",
        "_pieces",
        "_reader",
        "_sink",
        "_sock",
        "_status",
        "_surplus",
        "_tls",
        "_writing",
        "at_frame",
        "ended_by_close",
        "idle_since",
        "on_closed",
        "on_ready",
        "paused",
        "plain",
        "received",
        "requests",
        "seen",
        "seen_at",
        "sent",
        "unsent",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
        self._loop = loop
        self._sock = sock
        self._tls = isinstance(sock, ssl.SSLSocket)
        self._parser = HttpResponseParser(self)
        self._sink: Sink | None = None
        self._closed = False
        self.paused = False
        self._writing = False
        self._out: list[memoryview] = []
        self._next_slice: memoryview | None = None
        self._pieces: list[bytes] = []
        self._on_sent: Callable[[], None] | None = None
        self.requests = 0  # answers asked for on this connection
        self.received = 0  # grows with what arrives, see `progress`
        self.seen = -1  # the progress that the sweep saw
        self.seen_at = 0.0
        self.idle_since = 0.0
        self._reader = self.readable
        self.on_closed: Callable[[Connection], None] | None = None
        self.on_ready: Callable[[Connection], None] | None = None  # an answer has ended and another may follow
        self._reset()
        loop.add_reader(sock, self.readable)

    def _reset(self) -> None:
        self._headers: Headers = []
        self._status = 0
        self._informational = False
        self._head_done = False
        self._head_bytes = 0
        self._answered = False
        self._chunked = False
        self._length = False
        self._done = False
        self.at_frame = False  # between two chunks: the next byte begins a size line
        self.plain = False  # for `frames`: a whole chunk may pass, and nothing else is to be looked at
        self._surplus = False
        self.ended_by_close = False
        self.sent = 0  # bytes of this request that the kernel took
        self.unsent = 0  # bytes of this request still to be taken

    # -- the request ---------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def written(self) -> bool:
        """The whole request went to the kernel, so the provider may be working on it."""
        return self.unsent == 0 and self.sent > 0

    @property
    def session(self) -> ssl.SSLSession | None:
        """For TLS resumption; meaningful once bytes were received (TLS 1.3 tickets follow the handshake).

        Read it once for each connection: CPython 3.11 to 3.13 leak a copy of the session, about 6 KB, at every read.
        """
        return self._sock.session if isinstance(self._sock, ssl.SSLSocket) else None

    def stale(self) -> bool:
        """Whether an idle connection was closed or written to by the peer since the last event."""
        if self._closed:
            return True
        try:
            waiting = socket.socket.recv(self._sock, 1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            self.close()
            return True
        if not waiting:
            self.close()
            return True
        self.readable()  # a TLS ticket is read and forgotten; anything else closes
        return self._closed

    def send(self, pieces: Sequence[bytes | memoryview], sink: Sink, on_sent: Callable[[], None] | None = None) -> None:
        """Send one request (head and body, in order) and deliver its answer to ``sink``.

        ``on_sent`` is called once nothing of the request is held here any more, sent or not.

        The sink hears `on_head` once, `on_data` any number of times and then exactly one of
        `on_end` and `on_fault`, unless `close` is called first, after which it hears nothing.
        """
        if self._closed:
            raise UpstreamFault(Fault.CLOSED)
        self._reset()
        self._sink = sink
        self._on_sent = on_sent
        self.requests += 1
        self.unsent = sum(len(piece) for piece in pieces)
        if self.unsent <= TOGETHER:
            self._out = [memoryview(pieces[0] if len(pieces) == 1 else b"".join(pieces))]
        else:
            self._out = [memoryview(piece) for piece in pieces if len(piece)]
        self._out.reverse()  # popped from the end
        self._write()

    def _write(self) -> None:
        try:
            while True:
                if self._next_slice is None:
                    if not self._out:
                        self._stop_writing()
                        return
                    piece = self._out.pop()
                    if len(piece) > SLICE:
                        self._out.append(piece[SLICE:])
                        piece = piece[:SLICE]
                    self._next_slice = piece
                count = self._sock.send(self._next_slice)
                self.sent += count
                self.unsent -= count
                rest = self._next_slice[count:]
                self._next_slice = rest if len(rest) else None
                if self.unsent:
                    self._want_write()  # others get their turn between two slices
                    return
        except BLOCKED:
            self._want_write()
        except OSError:
            # The peer may have answered before it stopped reading (413 and a close): read that first.
            self._out.clear()
            self._next_slice = None
            self._stop_writing()
            self._loop.call_soon(self._after_write_failure)

    def _after_write_failure(self) -> None:
        if not self._closed and not self._done:
            self.readable()
        if not self._closed and not self._done and not self._head_done:
            self._fail(Fault.CLOSED)

    def _want_write(self) -> None:
        if not self._writing:
            self._writing = True
            self._loop.add_writer(self._sock, self._write)

    def _stop_writing(self) -> None:
        if self._writing:
            self._writing = False
            self._loop.remove_writer(self._sock)
        if self._on_sent is not None:
            on_sent, self._on_sent = self._on_sent, None
            on_sent()

    # -- the answer ----------------------------------------------------------------------------

    def pause(self) -> None:
        """Stop reading: the client is slower than the provider."""
        if not self.paused and not self._closed:
            self.paused = True
            self.plain = False
            self._loop.remove_reader(self._sock)

    def resume(self) -> None:
        if self.paused and not self._closed:
            self.paused = False
            self._loop.add_reader(self._sock, self._reader)
            if self._tls and self._sock.pending():  # type: ignore[attr-defined]
                self._loop.call_soon(self._reader)

    def flow(
        self, glance: Glance | None, feed: Feed | None, client: ClientSide, rewritten: Callable[[bytes], None]
    ) -> None:
        """Pass the chunks of this answer on to a client that takes chunks (see `frames`)."""
        tls = isinstance(self._sock, ssl.SSLSocket)
        self.plain = False
        self._reader = frame_reader(
            self,
            recv=self._sock.read if tls else self._sock.recv,  # type: ignore[attr-defined]
            pending=self._sock.pending if tls else None,  # type: ignore[attr-defined]
            glance=glance,
            feed=feed,
            client=client,
            rewritten=rewritten,
        )
        if not self.paused and not self._closed:
            self._loop.add_reader(self._sock, self._reader)

    def steady(self) -> None:
        """Leave `flow`: what is read goes to the sink only, and no client is written to."""
        self.plain = False
        self._reader = self.readable
        if not self.paused and not self._closed:
            self._loop.add_reader(self._sock, self._reader)

    def progress(self) -> int:
        """A number that grows with every byte sent and every read since it was last asked for."""
        self.plain = False  # so that the next read is noted
        return self.received + self.sent

    def readable(self) -> None:
        """Read what there is and hand it to the parser."""
        if self._closed or self.paused:
            return
        try:
            if not self._tls:
                self.take(_VIEW[: self._sock.recv_into(_BUFFER)])
                return
            sock = self._sock
            while True:
                data = _VIEW[: sock.read(RECV_BYTES, _BUFFER)]  # type: ignore[attr-defined]
                self.take(data)
                if not data or self._closed or self.paused or not sock.pending():  # type: ignore[attr-defined]
                    return
        except BLOCKED:
            return
        except OSError:  # SSLEOFError too: a connection that ends without close_notify was cut
            self.broken()

    def broken(self, fault: Fault = Fault.CLOSED) -> None:
        """The socket failed, or whoever read in place of `readable`."""
        self._fail(fault)

    def take(self, data: bytes | memoryview) -> None:
        """Parse what was read and deliver what it says; empty is the end of the connection.

        What a sink raises is a fault of ours: its answer ends with `Fault.INTERNAL`, and the loop's handler is told.
        """
        self.plain = False
        sink = self._sink
        try:
            self._take(data, sink)
        except Exception:
            self.close()
            if sink is not None:
                sink.on_fault(Fault.INTERNAL)
            raise

    def _take(self, data: bytes | memoryview, sink: Sink | None) -> None:
        count = len(data)
        if not count:
            self._eof()
            return
        if sink is None:
            self.close()  # rule 3: bytes on an idle connection
            return
        self.received += count
        if not self._head_done:
            self._head_bytes += count
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            cause = error.__context__ if isinstance(error, HttpParserCallbackError) else None
            if cause is not None and not isinstance(cause, HttpParserError):
                raise cause from None  # of the sink, and not of the parser
            if self._done:
                self._surplus = True
            else:
                self._flush(sink)
                self._fail(Fault.PROTOCOL)
                return
        if not self._head_done and self._head_bytes > MAX_HEADER_BYTES:
            self._fail(Fault.PROTOCOL)
            return
        if self.at_frame:
            self.at_frame = bytes(data[-2:]) == b"\r\n"  # no part of the next size line was taken
        if self._pieces:
            self._flush(sink)
        if self._done:
            self._finish(sink)

    def _flush(self, sink: Sink) -> None:
        pieces = self._pieces
        if pieces:
            data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            pieces.clear()
            sink.on_data(data)

    def _eof(self) -> None:
        sink = self._sink
        if sink is not None and self._head_done and not self._chunked and not self._length and not self._done:
            self._surplus = True  # close-delimited: never reused
            self.ended_by_close = True
            self._done = True
            self._finish(sink)
            return
        self._fail(Fault.CLOSED)

    def _finish(self, sink: Sink) -> None:
        """The answer has ended; decide whether the connection may carry another one."""
        if self._closed:
            return
        self._sink = None
        if self._surplus or self.unsent:
            self.close()
        elif self.paused or self._reader != self.readable:
            # What the kernel holds now would be surplus; look when the pool reuses it.
            self.paused = False
            self._reader = self.readable
            self._loop.add_reader(self._sock, self._reader)
        if not self._closed and self.on_ready is not None:
            self.on_ready(self)
        sink.on_end()

    def _fail(self, fault: Fault) -> None:
        sink, self._sink = self._sink, None
        self.close()
        if sink is not None:
            sink.on_fault(fault)

    def timed_out(self) -> None:
        """Called by the pool's sweep: nothing arrived for too long."""
        self._fail(Fault.IDLE_TIMEOUT if self._answered else Fault.FIRST_BYTE_TIMEOUT)

    @property
    def waiting_for_head(self) -> bool:
        return not self._answered

    @property
    def busy(self) -> bool:
        return self._sink is not None

    def close(self) -> None:
        """Close at once; a sink that still waits hears nothing more. May be called twice."""
        if self._closed:
            return
        self._closed = True
        self._sink = None
        self._out.clear()
        self._next_slice = None
        self._pieces.clear()
        self._reader = self.readable  # the other one holds the client's transport
        if not self.paused:
            self._loop.remove_reader(self._sock)
        self._stop_writing()
        with contextlib.suppress(OSError):
            self._sock.close()
        if self.on_closed is not None:
            self.on_closed(self)

    # -- callbacks of the parser -----------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._done:
            self._surplus = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head_done:
            return  # trailers, or the surplus after an answer
        name = name.lower()
        if name == b"transfer-encoding":
            self._chunked = True
        elif name == b"content-length":
            self._length = True
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        if self._done:
            return
        status = self._parser.get_status_code()
        if 100 <= status < 200:
            self._informational = True
            self._headers = []
            self._chunked = self._length = False
            return
        if sum(len(name) + len(value) + 4 for name, value in self._headers) > MAX_HEADER_BYTES:
            raise HttpParserError("headers over the bound")
        self._head_done = True
        self._answered = True
        self._status = status
        headers, self._headers = self._headers, []  # the sink's alone: a stream need not keep them
        if self._sink is not None:
            self._sink.on_head(status, headers)

    def on_body(self, data: bytes) -> None:
        if not self._done:
            self._pieces.append(data)

    def on_chunk_header(self) -> None:
        self.at_frame = False

    def on_chunk_complete(self) -> None:
        self.at_frame = True

    def on_message_complete(self) -> None:
        if self._informational:
            self._informational = False
            return
        if self._done:
            self._surplus = True
            return
        self._done = True
        self.at_frame = False
        if not self._parser.should_keep_alive():
            self._surplus = True
