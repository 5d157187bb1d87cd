"""One connection to a provider: a non-blocking socket, plain or TLS, and an HTTP/1.1 response parser.

Why the gateway has its own: per streamed chunk this costs one callback, with no task, queue or future, and that is
what the whole gateway costs (docs/performance.md). The rules that keep it right:

1. `recv` is driven by ``loop.add_reader``. TLS: read until ``pending()`` is 0, because the
   descriptor stays quiet while decrypted bytes wait inside OpenSSL.
2. A cut is never taken for an end. ``suppress_ragged_eofs`` is off; end of file ends only a body that
   has neither a length nor chunks (RFC 9112 section 6.3, rule 8).
3. An answer never crosses users. Any byte after the end of an answer closes the connection, and so
   does any byte on an idle one (TLS session tickets are not bytes: want-read is not a close).
4. 1xx answers complete in the parser as well: they are skipped (RFC 9110 section 15.2).
5. Headers are bounded at 64 KiB, which the parser itself does not do.
6. Writing and reading run at the same time, so that an early 413 is seen. After want-write the same slice is retried,
   as OpenSSL requires.
7. While an answer flows, `frames` may read instead of `readable` and forward whole chunks without the
   parser.
8. Who pauses whom: the client's transport calls the relay at its high-water mark, the relay calls
   `pause` here, and the kernel's receive window stops the provider. Nothing queues in between.

The state is that of the answer (`ConnectionState`). Each line is one transition:

    IDLE      -> WAITING    a request is sent
    WAITING   -> BODY       a response head (no informational one), of a body with a length or in chunks
    WAITING   -> UNBOUNDED  a response head, of a body that ends with the connection
    BODY      -> ENDED      the last byte of the answer
    BODY      -> LAST       the same, and the provider said that it closes
    UNBOUNDED -> ENDED      a status that has no body
    UNBOUNDED -> LAST       the connection ended; or a status that has no body, and the provider said that it closes
    ENDED     -> LAST       a byte after the end of the answer
    ENDED     -> IDLE       the sink has everything: the connection may carry another answer
    any       -> CLOSED     `close`, a fault, any byte in IDLE, and LAST once the sink has everything

Two things change independently of it: whether reading is `paused`, and how much of the request is `unsent`, since an
answer may begin and end before its request is written.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final, Protocol

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpResponseParser

from gateway.upstream.client_socket import ClientSide
from gateway.upstream.faults import Fault, UpstreamFault
from gateway.upstream.frames import BLOCKED, Feed, Glance, frame_reader

MAX_HEADER_BYTES = 65_536
TOGETHER = 65_536  # a request up to this size leaves as one piece
SHORT = 4_096  # of a larger one, pieces below this size are copied together
# Of a larger one at a time: other connections wait while the kernel copies it, a tenth of a millisecond.
SLICE = 262_144
RECV_BYTES = 32_768  # of an answer at a time: what is read is scanned before anything else has its turn

_FRAMING = frozenset((b"content-length", b"transfer-encoding"))

# One receive buffer a process: every body fragment is copied out of it by the parser, so that it
# never outlives the callback.
_BUFFER = bytearray(RECV_BYTES)
_VIEW = memoryview(_BUFFER)

Headers = list[tuple[bytes, bytes]]


class ConnectionState(Enum):
    IDLE = "idle"  # nothing was asked, or the last answer is delivered
    WAITING = "waiting"  # for the response head
    BODY = "body"  # with a length or in chunks
    UNBOUNDED = "unbounded"  # a body that ends with the connection
    ENDED = "ended"  # the answer is parsed; what is left of it goes to the sink in the same call
    LAST = "last"  # the same, and no other answer may follow on this connection
    CLOSED = "closed"


# As h11 does: a global is looked up faster than a member of an enumeration, and the parser's callbacks run per chunk.
IDLE, WAITING, BODY, UNBOUNDED, ENDED, LAST, CLOSED = ConnectionState


class Sink(Protocol):
    """Receives one answer. Called from the event loop's reader callback; must not block."""

    def on_head(self, status: int, headers: Headers) -> None: ...

    def on_data(self, data: bytes) -> None: ...

    def on_end(self) -> None: ...

    def on_fault(self, fault: Fault) -> None: ...


_NO_PARSER: Final = HttpResponseParser(object())  # of a closed connection


def _nothing() -> None:
    pass


def _grouped(pieces: Sequence[bytes | memoryview]) -> list[memoryview]:
    """A large request, in which short pieces beside each other are one."""
    grouped: list[memoryview] = []
    short: list[bytes | memoryview] = []
    for piece in pieces:
        if len(piece) < SHORT:
            short.append(piece)
            continue
        if short:
            grouped.append(memoryview(b"".join(short)))
            short.clear()
        grouped.append(memoryview(piece))
    if short:
        grouped.append(memoryview(b"".join(short)))
    return [piece for piece in grouped if len(piece)]


class Connection:
    """One keep-alive connection. Use: `send`, then the sink is called; afterwards `reusable`."""

    __slots__ = (
        "_head_bytes",
        "_headers",
        "_loop",
        "_on_sent",
        "_out",
        "_parser",
        "_pieces",
        "_reader",
        "_sink",
        "_sock",
        "_tls",
        "after_read",
        "at_frame",
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
        "state",
        "unsent",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
        self._loop = loop
        self._sock = sock
        self._tls = isinstance(sock, ssl.SSLSocket)
        self._parser = HttpResponseParser(self)
        self._sink: Sink | None = None  # of the answer that is awaited: not in IDLE and CLOSED
        self.state = IDLE
        self.paused = False
        self._out: list[memoryview] = []  # of the request, to be written yet; the next piece is the last
        self._pieces: list[bytes] = []
        self._on_sent: Callable[[], None] | None = None
        self.requests = 0  # answers asked for on this connection
        self.received = 0  # grows with what arrives, see `progress`
        self.seen = -1  # the progress that the sweep saw
        self.seen_at = 0.0
        self.idle_since = 0.0
        self._reader = self.readable
        self.after_read: Callable[[], None] | None = None  # called once, when all of the present read is delivered
        self.on_closed: Callable[[Connection], None] | None = None
        self.on_ready: Callable[[Connection], None] | None = None  # an answer has ended and another may follow
        self._reset()
        loop.add_reader(sock, self.readable)

    def _reset(self) -> None:
        self._headers: Headers = []
        self._head_bytes = 0
        self.at_frame = False  # between two chunks: the next byte begins a size line
        self.plain = False  # for `frames`: a whole chunk may pass, and nothing else is to be looked at
        self.sent = 0  # bytes of this request that the kernel took
        self.unsent = 0  # bytes of this request still to be taken

    # -- the request ---------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        return self.state is CLOSED

    @property
    def written(self) -> bool:
        """The whole request went to the kernel, so the provider may be working on it."""
        return self.unsent == 0 and self.sent > 0

    @property
    def session(self) -> ssl.SSLSession | None:
        """For TLS resumption; meaningful once bytes were received (TLS 1.3 tickets follow the handshake).

        Read it rarely: CPython 3.11 to 3.13 leak a copy of the session, about 6 KB, at every read.
        """
        return self._sock.session if isinstance(self._sock, ssl.SSLSocket) else None

    def stale(self) -> bool:
        """Whether an idle connection was closed or written to by the peer since the last event."""
        if self.state is CLOSED:
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
        return self.closed

    def send(self, pieces: Sequence[bytes | memoryview], sink: Sink, on_sent: Callable[[], None] | None = None) -> None:
        """Send one request (head and body, in order) and deliver its answer to ``sink``.

        ``on_sent`` is called once nothing of the request is held here any more, sent or not.

        The sink hears `on_head` once, `on_data` any number of times and then exactly one of
        `on_end` and `on_fault`, unless `close` is called first, after which it hears nothing.
        """
        if self.state is CLOSED:
            raise UpstreamFault(Fault.CLOSED)
        self._reset()
        self.state = WAITING
        self._sink = sink
        self._on_sent = on_sent
        self.requests += 1
        self.unsent = sum(len(piece) for piece in pieces)
        if self.unsent <= TOGETHER:
            self._out = [memoryview(pieces[0] if len(pieces) == 1 else b"".join(pieces))]
        else:
            self._out = _grouped(pieces)
        self._out.reverse()
        self._write_on()
        if self._out:
            self._loop.add_writer(self._sock, self._writable)
        else:
            self._request_gone()

    def _writable(self) -> None:
        self._write_on()
        if not self._out:
            self._loop.remove_writer(self._sock)
            self._request_gone()

    def _write_on(self) -> None:
        """Write one slice at most, since others get their turn between two; `_out` is empty once there is no more."""
        out = self._out
        try:
            while out:
                piece = out[-1]
                if self._tls or len(out) == 1 or len(piece) >= SLICE:
                    count = self._sock.send(piece[:SLICE])  # after want-write this is the very same slice again
                else:  # a head and the start of its body, or an end that was edited and what is before it
                    count = self._sock.sendmsg((piece, out[-2][: SLICE - len(piece)]))
                self.sent += count
                self.unsent -= count
                while count:
                    piece = out[-1]
                    if count < len(piece):
                        out[-1] = piece[count:]
                        break
                    count -= len(out.pop())
                if self.unsent:
                    return
        except BLOCKED:
            return
        except OSError:
            # The peer may have answered before it stopped reading (413 and a close): read that first.
            out.clear()
            self._loop.call_soon(self._after_write_failure)

    def _after_write_failure(self) -> None:
        self.readable()
        if self.state is WAITING:
            self._fail(Fault.CLOSED)

    def _request_gone(self) -> None:
        """Nothing of the request is held here any more."""
        if self._on_sent is not None:
            on_sent, self._on_sent = self._on_sent, None
            on_sent()

    # -- the answer ----------------------------------------------------------------------------

    def pause(self) -> None:
        """Stop reading: the client is slower than the provider."""
        if not self.paused and self.state is not CLOSED:
            self.paused = True
            self.plain = False
            self._loop.remove_reader(self._sock)

    def resume(self) -> None:
        if self.paused and self.state is not CLOSED:
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
        if not self.paused and self.state is not CLOSED:
            self._loop.add_reader(self._sock, self._reader)

    def steady(self) -> None:
        """Leave `flow`: what is read goes to the sink only, and no client is written to."""
        self.plain = False
        self._reader = self.readable
        if not self.paused and self.state is not CLOSED:
            self._loop.add_reader(self._sock, self._reader)

    def progress(self) -> int:
        """A number that grows with every byte sent and every read since it was last asked for."""
        self.plain = False  # so that the next read is noted
        return self.received + self.sent

    def readable(self) -> None:
        """Read what there is and hand it to the parser."""
        if self.state is CLOSED or self.paused:
            return
        try:
            if not self._tls:
                self.take(_VIEW[: self._sock.recv_into(_BUFFER)])
                return
            sock = self._sock
            while True:
                data = _VIEW[: sock.read(RECV_BYTES, _BUFFER)]  # type: ignore[attr-defined]
                self.take(data)
                if not data or self.state is CLOSED or self.paused or not sock.pending():  # type: ignore[attr-defined]
                    return
        except BLOCKED:
            return
        except OSError:  # SSLEOFError too: a connection that ends without close_notify was cut
            self.broken()

    def look(self) -> None:
        """Read although the loop has said nothing: uvloop tells of a reset once, and no more if data came before it.

        libuv stops to watch a descriptor at the first POLLERR (``uv__poll_io``); what that one call reads may be data.
        """
        if self.state is CLOSED or self.paused:
            return
        try:
            socket.socket.recv(self._sock, 1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return  # a reader may count as progress that it was called
        except OSError:
            pass  # it tells the reader, too
        self._reader()

    def broken(self, fault: Fault = Fault.CLOSED) -> None:
        """The socket failed, or the code that read instead of `readable`."""
        self._fail(fault)

    def take(self, data: bytes | memoryview) -> None:
        """Parse what was read and deliver what it says; empty is the end of the connection.

        An exception of a sink is a bug: its answer ends with `Fault.INTERNAL`, and the loop's handler is called.
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
        if self.after_read is not None:
            after_read, self.after_read = self.after_read, None
            after_read()

    def _take(self, data: bytes | memoryview, sink: Sink | None) -> None:
        count = len(data)
        if not count:
            self._eof()
            return
        if sink is None:
            self.close()  # rule 3: bytes on an idle connection
            return
        self.received += count
        if self.state is WAITING:
            self._head_bytes += count
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            cause = error.__context__ if isinstance(error, HttpParserCallbackError) else None
            if cause is not None and not isinstance(cause, HttpParserError):
                raise cause from None  # of the sink, and not of the parser
            if self.state is ENDED or self.state is LAST:
                self.state = LAST
            elif self.state is not CLOSED:
                self._flush(sink)
                self._fail(Fault.PROTOCOL)
                return
        if self.state is WAITING and self._head_bytes > MAX_HEADER_BYTES:
            self._fail(Fault.PROTOCOL)
            return
        if self.at_frame:
            self.at_frame = bytes(data[-2:]) == b"\r\n"  # no part of the next size line was taken
        if self._pieces:
            self._flush(sink)
        if self.state is ENDED or self.state is LAST:
            self._finish(sink)

    def _flush(self, sink: Sink) -> None:
        pieces = self._pieces
        if pieces:
            data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            pieces.clear()
            sink.on_data(data)

    def _eof(self) -> None:
        if self.state is UNBOUNDED and self._sink is not None:
            self.state = LAST
            self._finish(self._sink)
        else:
            self._fail(Fault.CLOSED)

    def _finish(self, sink: Sink) -> None:
        """The answer has ended and the sink has all of it; decide whether the connection may carry another one."""
        self._sink = None
        if self.state is LAST or self.unsent:
            self.close()
        else:
            self.state = IDLE
            if self.paused or self._reader != self.readable:
                # What the kernel holds now would be surplus; look when the pool reuses it.
                self.paused = False
                self._reader = self.readable
                self._loop.add_reader(self._sock, self._reader)
            if self.on_ready is not None:
                self.on_ready(self)
        sink.on_end()

    def _fail(self, fault: Fault) -> None:
        sink, self._sink = self._sink, None
        self.close()
        if sink is not None:
            sink.on_fault(fault)

    def timed_out(self) -> None:
        """Called by the pool's sweep: nothing arrived for too long."""
        self._fail(Fault.FIRST_BYTE_TIMEOUT if self.state is WAITING else Fault.IDLE_TIMEOUT)

    @property
    def busy(self) -> bool:
        return self._sink is not None

    def close(self) -> None:
        """Close at once; a waiting sink gets nothing more. May be called twice."""
        if self.state is CLOSED:
            return
        self.state = CLOSED
        self._sink = None
        if self._out:
            self._out.clear()
            self._loop.remove_writer(self._sock)
        self._pieces.clear()
        if not self.paused:
            self._loop.remove_reader(self._sock)
        self._request_gone()
        with contextlib.suppress(OSError):
            self._sock.close()
        if self.on_closed is not None:
            self.on_closed(self)
        # What refers back to this connection, or to the client: a closed one goes at once, and not with the collector.
        self._reader, self._parser = _nothing, _NO_PARSER
        self.on_closed = self.on_ready = self.after_read = None

    # -- callbacks of the parser -----------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.state is ENDED:
            self.state = LAST

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.state is WAITING:  # else it is a trailer, or the surplus after an answer
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        if self.state is not WAITING:
            return
        status = self._parser.get_status_code()
        headers, self._headers = self._headers, []  # only for the sink: a stream need not keep them
        if 100 <= status < 200:
            return
        size, state = 0, UNBOUNDED
        for name, value in headers:
            size += len(name) + len(value) + 4
            if name in _FRAMING:
                state = BODY
        if size > MAX_HEADER_BYTES:
            raise HttpParserError("headers over the bound")
        self.state = state
        if self._sink is not None:
            self._sink.on_head(status, headers)

    def on_body(self, data: bytes) -> None:
        if self.state is BODY or self.state is UNBOUNDED:
            self._pieces.append(data)

    def on_chunk_header(self) -> None:
        self.at_frame = False

    def on_chunk_complete(self) -> None:
        self.at_frame = True

    def on_message_complete(self) -> None:
        if self.state is BODY or self.state is UNBOUNDED:
            self.at_frame = False
            self.state = ENDED if self._parser.should_keep_alive() else LAST
        elif self.state is ENDED:
            self.state = LAST
