"""One connection to one store node, on which all calls of a loop tick are sent together.

A call through redis-py costs 17 to 170 microseconds; a call here costs a future and a C-packed command. This module
knows nothing about the ledger: commands in, replies out, in order.

Rules:

1. A caller never waits longer than ``timeout``: a call that is not answered by then fails, and while the
   node is away or silent, later calls fail at once. A call that was sent may still have run,
   which `Unreachable.maybe_ran` says; its late reply is discarded.
2. Replies are matched to calls only by their order, so only a reply may remove anything from ``_sent``.
3. There is no task for each call: one flush a tick, one timer for all deadlines, one task while reconnecting.
4. An urgent call is written in the turn in which it is made, with all that wait, and its task goes on in the callback
   that read the reply (`metering.inline`).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast

import hiredis

from metering.inline import InlineFuture

CONNECT_TIMEOUT = 2.0
SILENT_LIMIT = 5.0  # a connection on which a reply is overdue for that long is replaced
AWAY_GRACE = 0.5  # calls wait (up to their timeout) if the connection was lost less than this ago
BACKOFF = (0.005, 1.0)

Command = tuple[str | bytes | int, ...]


class StoreError(Exception):
    """The store refused a command. ``code`` is the first word of its error (``MOVED``, ``ERR`` ...)."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.code, _, self.detail = message.partition(" ")


class Unreachable(Exception):
    """No answer in time. ``maybe_ran`` is true if the command had been sent."""

    def __init__(self, *, maybe_ran: bool) -> None:
        super().__init__("the store did not answer")
        self.maybe_ran = maybe_ran


@dataclass(frozen=True, slots=True)
class StoreEndpoint:
    """Where a node listens, and the credentials for it."""

    host: str = "127.0.0.1"
    port: int = 6379
    path: str | None = None
    username: str | None = None
    password: str | None = None
    db: int = 0
    tls: ssl.SSLContext | None = None

    def greeting(self) -> list[Command]:
        """The commands that must succeed before anything else is sent."""
        commands: list[Command] = []
        if self.password is not None:
            commands.append(("AUTH", self.username or "default", self.password))
        if self.db:
            commands.append(("SELECT", self.db))
        return commands or [("PING",)]


def _packed(command: Command) -> bytes:
    packed: bytes = hiredis.pack_command(command)  # type: ignore[arg-type] # its stub names a 1-tuple
    return packed


class _Call:
    __slots__ = ("deadline", "future", "packed")

    def __init__(self, packed: bytes, deadline: float, future: asyncio.Future[Any]) -> None:
        self.packed = packed
        self.deadline = deadline
        self.future = future

    def fail(self, *, maybe_ran: bool) -> None:
        if not self.future.done():
            self.future.set_exception(Unreachable(maybe_ran=maybe_ran))


class Link(asyncio.Protocol):
    """A pipelined connection that reconnects by itself.

    ``endpoint`` is called before each connection attempt, so that a new primary or a restarted
    embedded server is found; an `OSError` from it counts as a failed attempt.
    """

    def __init__(self, endpoint: Callable[[], Awaitable[StoreEndpoint]], *, timeout: float) -> None:
        self._endpoint = endpoint
        self._timeout = timeout
        self._loop: asyncio.AbstractEventLoop | None = None
        self._transport: asyncio.Transport | None = None
        self._reader = hiredis.Reader(replyError=StoreError)
        self._waiting: deque[_Call] = deque()
        self._sent: deque[_Call] = deque()
        self._greeting = 0
        self._ready = False
        self._flushing = False
        self._timer: asyncio.TimerHandle | None = None
        self._check_at = 0.0
        self._silent = False
        self._away_since: float | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._closed = False
        self._up = asyncio.Event()

    async def connect(self, timeout: float = CONNECT_TIMEOUT) -> None:
        """Wait until the node answers. Raises `Unreachable` after ``timeout`` seconds."""
        self._reconnect()
        try:
            await asyncio.wait_for(self._up.wait(), timeout)
        except TimeoutError:
            raise Unreachable(maybe_ran=False) from None

    def call(self, command: Command, *, urgent: bool = False) -> asyncio.Future[Any]:
        """Send a command together with the others of this tick; an urgent one, and those that wait, at once.

        The future returns the reply, or raises `StoreError` or `Unreachable`.
        """
        loop = self._loop
        if loop is None:  # once: asking asyncio costs a system call
            loop = self._loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = InlineFuture(loop=loop) if urgent else loop.create_future()
        now = loop.time()
        away = not self._ready and self._away_since is not None and now - self._away_since > AWAY_GRACE
        if self._silent or away or self._closed:
            future.set_exception(Unreachable(maybe_ran=False))
            return future
        if not self._ready:
            self._reconnect()
        self._waiting.append(_Call(_packed(command), now + self._timeout, future))
        if urgent:
            self._flush()
        elif not self._flushing:
            self._flushing = True
            loop.call_soon(self._flush)
        if self._timer is None:
            self._check_soon()
        return future

    def reset(self) -> None:
        """Close this connection and open a new one (the node said that it is no longer a primary)."""
        if self._transport is not None:
            self._transport.abort()

    async def close(self) -> None:
        """Fail all pending calls and close the connection."""
        self._closed = True
        if self._connecting is not None:
            self._connecting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._connecting
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._transport is not None:
            self._transport.abort()
        self._fail_all()

    # The loop's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's has no common base class
        self._reader = hiredis.Reader(replyError=StoreError)

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        self._silent = False
        while True:
            try:
                reply = self._reader.gets()
            except hiredis.ProtocolError:
                self.reset()
                return
            if reply is False:
                return
            if self._greeting:
                self._greet(reply)
                continue
            if not self._sent:
                self.reset()  # a reply without a call: the order is no longer known
                return
            future = self._sent.popleft().future
            if future.done():
                continue
            if isinstance(reply, StoreError):
                future.set_exception(reply)
            elif isinstance(future, InlineFuture):
                future.resolve(reply)
            else:
                future.set_result(reply)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        self._transport = None
        self._ready = False
        self._silent = False
        self._up.clear()
        sent, self._sent = self._sent, deque()
        for call in sent:
            call.fail(maybe_ran=True)
        if not self._closed:
            self._reconnect()

    # Inside.

    def _greet(self, reply: object) -> None:
        if isinstance(reply, StoreError):
            self.reset()
            return
        self._greeting -= 1
        if self._greeting == 0:
            self._ready = True
            self._away_since = None
            self._up.set()
            self._flush()

    def _flush(self) -> None:
        self._flushing = False
        if not self._ready or self._transport is None or self._transport.is_closing():
            return
        batch = [call for call in self._waiting if not call.future.done()]
        self._waiting.clear()
        if batch:
            self._sent.extend(batch)
            self._transport.write(b"".join([call.packed for call in batch]))

    def _check_deadlines(self) -> None:
        now = asyncio.get_running_loop().time()
        self._timer = None
        if now - self._check_at > self._timeout / 5:  # the loop was busy: replies may be here but not read yet
            self._check_soon()
            return
        for call in self._sent:
            if call.deadline > now:
                break
            call.fail(maybe_ran=True)
            self._silent = True
        while self._waiting and self._waiting[0].deadline <= now:
            self._waiting.popleft().fail(maybe_ran=False)
        if self._sent and self._sent[0].deadline + SILENT_LIMIT < now:
            self.reset()
        elif self._sent or self._waiting:
            self._check_soon()

    def _check_soon(self) -> None:
        loop = asyncio.get_running_loop()
        self._check_at = loop.time() + self._timeout / 5
        self._timer = loop.call_at(self._check_at, self._check_deadlines)

    def _fail_all(self) -> None:
        for call in self._sent:
            call.fail(maybe_ran=True)
        for call in self._waiting:
            call.fail(maybe_ran=False)
        self._waiting.clear()

    def _reconnect(self) -> None:
        if self._ready or (self._connecting is not None and not self._connecting.done()):
            return
        loop = asyncio.get_running_loop()
        if self._away_since is None:
            self._away_since = loop.time()
        self._connecting = loop.create_task(self._connect_until_up())

    async def _connect_until_up(self) -> None:
        delay, longest = BACKOFF
        while not self._closed:
            with contextlib.suppress(OSError):  # TimeoutError and ssl.SSLError are OSErrors
                await self._connect_once(await self._endpoint())
                return
            if self._transport is not None:
                self._transport.abort()
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 - spreads reconnects
            delay = min(delay * 2, longest)

    async def _connect_once(self, endpoint: StoreEndpoint) -> None:
        loop = asyncio.get_running_loop()
        greeting = endpoint.greeting()
        async with asyncio.timeout(CONNECT_TIMEOUT):
            self._greeting = len(greeting)
            if endpoint.path is not None:
                transport, _ = await loop.create_unix_connection(lambda: self, endpoint.path)
            else:
                transport, _ = await loop.create_connection(
                    lambda: self, endpoint.host, endpoint.port, ssl=endpoint.tls
                )
            transport.write(b"".join([_packed(command) for command in greeting]))
            await self._up.wait()
