"""Carries one answer from the provider's connection to the client's transport.

The relay is the sink of an upstream `Connection`. Its states; each line is one transition:

    WAITING   -> HOLDING    the response head
    HOLDING   -> FLOWING    `open`
    FLOWING   -> LINGERING  `linger`
    any       -> ENDED      the end of the answer, a fault, `stop` or `close`

* WAITING: no response head yet.
* HOLDING: the body is kept here, because nothing was sent to the client yet. An object of up to `HOLD_BYTES` stays
  here until it is complete, so that its charge can be in a header. A stream stays until its first output, so that
  a failure before it can still be failed over or become an error status; the exchange opens it when `ready` is done.
  So does an object of which nothing but spaces has come for as long: its provider sends them as signs of life.
* FLOWING: every fragment goes to the client in the callback that read it. No task, no queue, no future per fragment:
  this is what the gateway costs. Of an object that was opened for its spaces these go, and the rest when it is
  complete and good, or too large to hold: the client has nothing yet that could be charged.
* LINGERING: the client has left. The scanner reads on for a moment, for the usage; nothing is kept and nothing sent.
* ENDED: `fault` says whether HTTP ended well.

The link to the connection is cut in one place, `_unlink`, when the answer ends: the connection may carry another
user's answer in the same turn, and nothing that this relay hears of its client can reach it.

Who pauses whom: the client's transport calls `pause` at its high-water mark (64 KiB) and `resume` when it has
drained; those stop and start reading from the provider. Nothing accumulates in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

from gateway.http.server import reset
from gateway.telemetry.chunk_gaps import Tick
from gateway.upstream.client_socket import ClientSide
from gateway.upstream.connection import Connection, Headers
from gateway.upstream.faults import Fault
from gateway.upstream.frames import Glance
from metering.inline import InlineFuture
from providers.dialect import Scanner

__all__ = ["HOLD_BYTES", "Relay", "RelayState", "Watch", "chunk_of", "reset"]

HOLD_BYTES = 262_144
OPENING_SECONDS = 2.0  # a stream without output is held for no longer

# The frame heads of RFC 9112 section 7.1 for the sizes that streams really have.
_CHUNK_HEADS = tuple(b"%x\r\n" % size for size in range(4096))
_CRLF = b"\r\n"
_SPACE = b" \t\r\n"  # of JSON


def chunk_of(data: bytes) -> bytes:
    """``data`` as one chunk (RFC 9112 section 7.1)."""
    size = len(data)
    return b"".join((_CHUNK_HEADS[size] if size < 4096 else b"%x\r\n" % size, data, _CRLF))


class RelayState(Enum):
    WAITING = "waiting"
    HOLDING = "holding"
    FLOWING = "flowing"
    LINGERING = "lingering"
    ENDED = "ended"


class Watch(NamedTuple):
    """How an answer is dealt with, decided by its head.

    Attributes:
        scanner: What watches the body, ``None`` for an error's.
        flows: The body is forwarded as it arrives (a stream); otherwise it is held (an object).
        sse: It is treated as an event stream, for any content type.
        changes: What the scanner shows may differ from what it was fed: the provider's length does not hold.
        decoded: The scanner shows the body without the provider's content coding.
        content_type: Of what the scanner shows, if that is not the provider's.
    """

    scanner: Scanner | None
    flows: bool
    sse: bool = False
    changes: bool = False
    decoded: bool = False
    content_type: str | None = None


class Relay:
    """One attempt's answer. Await `ready`, then either read `held` or `open` it and await `ended`.

    Attributes:
        watch: How it is dealt with; meaningless before the head.
        status: The provider's, 0 before the head.
        fault: How it ended badly.
        written: The whole request went to the provider; final once the answer has ended.
        sent: Bytes of the request that the kernel took; the same.
        reused: The connection had carried an answer before.
    """

    __slots__ = (
        "_chunked",
        "_client",
        "_connection",
        "_feed",
        "_heard",
        "_held",
        "_held_bytes",
        "_left",
        "_loop",
        "_on_answer",
        "_opening",
        "_sent",
        "_size",
        "_swallowed",
        "_timer",
        "_written",
        "ended",
        "fault",
        "headers",
        "on_data",
        "ready",
        "reused",
        "state",
        "status",
        "watch",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connection: Connection,
        on_answer: Callable[[int, Headers], Watch],
        *,
        opening: float = OPENING_SECONDS,
    ) -> None:
        """Build the sink of one attempt.

        Args:
            loop: The event loop.
            connection: The connection of the answer.
            on_answer: Called with status and headers.
            opening: Seconds for which a stream without output is held.
        """
        self._loop = loop
        self._connection: Connection | None = connection
        self._on_answer = on_answer
        self._opening = opening
        self._client: ClientSide | None = None
        self._chunked = False
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._heard = True  # since `heard` was last asked: something was written that did not take the fast path
        self._swallowed = False  # something was read of which nothing was written
        self._size = 0  # of what was scanned when `heard` was last asked
        self._left = 0  # bytes that may still be read while lingering
        self._feed: Callable[[bytes], bytes] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._written = False
        self._sent = 0
        self.reused = connection.requests > 0
        self.watch = Watch(None, flows=False)
        self.status = 0
        self.headers: Headers = []
        self.fault: Fault | None = None
        self.state = RelayState.WAITING
        self.on_data: Callable[[bytes], None] = self._hold
        self.ready: InlineFuture[None] = InlineFuture(loop=loop)
        self.ended: asyncio.Future[None] = loop.create_future()  # also done if its waiter was cancelled: see `state`

    @property
    def scanner(self) -> Scanner | None:
        return self.watch.scanner

    @property
    def over(self) -> bool:
        """The answer ended, well or badly."""
        return self.state is RelayState.ENDED

    @property
    def written(self) -> bool:
        return self._connection.written if self._connection is not None else self._written

    @property
    def sent(self) -> int:
        return self._connection.sent if self._connection is not None else self._sent

    # -- the sink of the connection ------------------------------------------------------------

    def on_head(self, status: int, headers: Headers) -> None:
        self.status = status
        self.headers = headers
        self.state = RelayState.HOLDING
        self.watch = watch = self._on_answer(status, headers)
        if watch.scanner is not None:
            self._feed = watch.scanner.feed
        if watch.flows:
            if watch.scanner is None or watch.scanner.begun:
                self._decidable()
            else:
                self._timer = self._loop.call_later(self._opening, _wake, self.ready)

    def _hold(self, data: bytes) -> None:
        if self._feed is not None:
            data = self._feed(data)
        if data:
            self._held.append(data)
            self._held_bytes += len(data)
            if self._held_bytes > HOLD_BYTES:
                # Too large to hold: it flows from here on. Until the exchange has opened the client's
                # side, nothing more is read.
                self.watch = self.watch._replace(flows=True)
                self.pause()
                self._decidable()
                return
        scanner = self.watch.scanner
        if not self.watch.flows:
            if self._timer is None and scanner is not None and data and not data.strip(_SPACE):
                self._timer = self._loop.call_later(self._opening, self._pass_spaces)
        elif scanner is not None and (scanner.begun or scanner.error is not None):
            self._decidable()

    def _pass_spaces(self) -> None:
        """Only spaces have come for as long as an opening may be held: open it for them."""
        if not any(data.strip(_SPACE) for data in self._held):
            _wake(self.ready)

    def _decidable(self) -> None:
        """In a read of the connection: whoever awaits `ready` goes on at the end of it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._connection is not None:
            self._connection.after_read = self._go_on
        else:
            _wake(self.ready)

    def _go_on(self) -> None:
        if not self.ready.done():
            self.ready.resolve(None)

    def _flow(self, data: bytes) -> None:
        if self._feed is not None:
            data = self._feed(data)
            if not data:
                self._swallowed = True
                return
        self._write(data)

    def _space_out(self, data: bytes) -> None:
        """Pass on the spaces before an object, and hold the object."""
        if self._feed is not None:
            data = self._feed(data)
        if not self._held and not data.strip(_SPACE):
            if data:
                self._write(data)
            return
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes > HOLD_BYTES:
            self.watch = self.watch._replace(flows=True)
            self.on_data = self._flow
            self._write(self.take())

    def _write(self, data: bytes) -> None:
        client = self._client
        if client is None:
            return
        self._heard = True
        client.write(chunk_of(data) if self._chunked else data)

    def _watch_only(self, data: bytes) -> None:
        if self._feed is not None:
            self._feed(data)
        self._left -= len(data)
        if self._left < 0:
            _wake(self.ended)

    def on_end(self) -> None:
        self._unlink()
        if self.watch.scanner is not None:
            rest = self.watch.scanner.finish()
            if rest:
                self._feed = None
                self.on_data(rest)
        if self.state is RelayState.FLOWING:
            self._write_object()
        self._end()

    def _write_object(self) -> None:
        """The whole object that was held behind its spaces, if it is good: else the client sees a cut."""
        scanner = self.watch.scanner
        if self._held and scanner is not None and scanner.ended and scanner.error is None:
            self._write(self.held())
            self._held = []

    def on_fault(self, fault: Fault) -> None:
        self.fault = fault
        self._unlink()
        self._end()

    def _unlink(self) -> None:
        """Let go of the connection. Afterwards it is somebody else's: nothing here may touch it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._written, self._sent = connection.written, connection.sent

    def _end(self) -> None:
        self.state = RelayState.ENDED
        self._decidable()
        _wake(self.ended)

    # -- the client's side ---------------------------------------------------------------------

    def held(self) -> bytes:
        """The whole body, once `ended` without being opened."""
        return b"".join(self._held)

    def take(self) -> bytes:
        """What may flow of what was held so far, to be sent together with the headers."""
        held = self._held[0] if len(self._held) == 1 else b"".join(self._held)
        object_ = b"" if self.watch.flows else held.lstrip(_SPACE)
        self._held = [object_] if object_ else []
        self._held_bytes = len(object_)
        return held[: len(held) - len(object_)] if object_ else held

    def open(self, transport: asyncio.Transport, *, chunked: bool, tick: Tick | None = None) -> None:
        """The client's headers are out: forward what was held, and everything that follows at once.

        Args:
            transport: The client's.
            chunked: The client is sent chunks.
            tick: Called at each chunk that follows.
        """
        connection = self._connection
        self._client = client = ClientSide(transport, direct=chunked and connection is not None)
        self._chunked = chunked
        held = self.take()
        flows = self.watch.flows
        self.on_data = self._flow if flows else self._space_out
        if held:
            self._write(held)  # it was scanned when it arrived
        if connection is not None:
            self.state = RelayState.FLOWING
            if chunked and flows:
                scanner = self.watch.scanner
                glance: Glance | None = scanner.glance if scanner is not None else None
                if tick is not None:
                    glance, self.on_data = _ticked_glance(tick, glance), _ticked(tick, self._flow)
                connection.flow(glance, self._feed, client, self._rewritten)
            connection.resume()
        elif not flows:
            self._write_object()

    def _rewritten(self, shown: bytes) -> None:
        """What is left of a chunk in which something was hidden."""
        if shown:
            self._write(shown)
        else:
            self._swallowed = True

    def heard(self) -> bool:
        """Whether the client was sent anything since this was last asked; true the first time."""
        size = self.watch.scanner.size if self.watch.scanner is not None else 0
        heard = self._heard or (size != self._size and not self._swallowed)
        self._size, self._heard, self._swallowed = size, False, False
        return heard

    def sign(self, data: bytes) -> None:
        """Send a sign of life, past the scanner, if an event stream stands between two of its events.

        Not after its end, and not if bytes wait for the client.
        """
        client, connection, scanner = self._client, self._connection, self.watch.scanner
        if client is None or connection is None or scanner is None or self.state is not RelayState.FLOWING:
            return
        if scanner.sse and scanner.at_boundary and not scanner.ended and scanner.error is None and not client.waiting():
            self._write(data)
            connection.plain = False  # the next chunk waits for what the transport has not sent

    def add(self, data: bytes) -> None:
        """Send the gateway's own bytes (an error event) after what flowed, past the scanner."""
        self._feed = None
        self._flow(data)

    def linger(self, most: int) -> None:
        """The client has left: read on, at most ``most`` bytes, for the usage only. `ended` is done after that.

        Call it while FLOWING, and `stop` afterwards: the answer may still be on its way.
        """
        connection = self._connection
        if connection is None:
            return
        self._release_client()
        self.state = RelayState.LINGERING
        self._left = most
        self.on_data = self._watch_only
        self.ended = self._loop.create_future()
        connection.steady()
        connection.resume()

    def pause(self) -> None:
        """The client's write buffer is over its high-water mark."""
        if self._connection is not None and self.state is not RelayState.LINGERING:
            self._connection.pause()

    def resume(self) -> None:
        """The client's write buffer has drained."""
        if self._connection is not None:
            self._connection.resume()

    def stop(self) -> None:
        """End a running answer at once; harmless if it has ended."""
        if self._connection is not None:
            self._connection.close()
            self.on_fault(Fault.STOPPED)

    def expire(self) -> None:
        """No time is left to wait for the response head; does nothing once that has come."""
        if self._connection is not None and self.state is RelayState.WAITING:
            self._connection.close()
            self.on_fault(Fault.DEADLINE)

    def close(self) -> None:
        """Drop every reference to content, to the transport and to the connection, which closes unless the answer has
        ended; whatever the state.
        """
        connection = self._connection
        if connection is not None:
            connection.close()
            self._unlink()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._release_client()
        self.state = RelayState.ENDED
        self._held.clear()
        self._feed = None
        self.on_data = _drop

    def _release_client(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


def _drop(data: bytes) -> None:
    del data


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _ticked_glance(tick: Tick, glance: Glance | None) -> Glance:
    def ticked(framed: bytes, size: int) -> bool:
        tick()
        return glance is not None and glance(framed, size)

    return ticked


def _ticked(tick: Tick, on_data: Callable[[bytes], None]) -> Callable[[bytes], None]:
    def ticked(data: bytes) -> None:
        tick()
        on_data(data)

    return ticked
