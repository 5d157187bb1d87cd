"""Keep-alive connections to providers: bounded, swept, and handed out newest first.

Newest first keeps few connections warm and lets the rest age out. One timer a second looks at every connection: a timer
per request would cost more than the request's whole share of the pool.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from gateway.upstream.connection import WAITING, Connection
from gateway.upstream.faults import Fault, UpstreamFault
from gateway.upstream.origin import Origin

SWEEP_SECONDS = 1.0
SESSION_SECONDS = 300.0  # for which an origin's TLS session is offered before a newer one is taken
KEEP_IDLE_SECONDS = 45.0  # below the 60 s and more of the providers' front ends, so that we close first


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. ``first_byte`` runs from the request to the answer's head, ``idle`` between bytes."""

    connect: float = 5.0
    first_byte: float = 600.0
    idle: float = 300.0


@dataclass(slots=True, eq=False)
class _Origin:
    """The connections of one origin."""

    idle: list[Connection] = field(default_factory=list)  # newest last
    live: set[Connection] = field(default_factory=set)
    opening: int = 0
    waiters: deque[asyncio.Future[None]] = field(default_factory=deque)


class Pool:
    """Connections by origin. Call `acquire` and use the connection; it returns to the pool by itself when it can."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        timeouts: Timeouts,
        *,
        limit: int = 8192,
        keep_idle: int = 512,
        capacity: int | None = None,
    ) -> None:
        """Build an empty pool.

        Args:
            loop: The event loop.
            timeouts: Of connections.
            limit: Connections of one origin.
            keep_idle: Of these, idle ones.
            capacity: Of all origins together; beyond it an idle one makes room for each that is opened.
        """
        self._loop = loop
        self._timeouts = timeouts
        self._limit = limit
        self._keep_idle = keep_idle
        self._capacity = limit if capacity is None else capacity
        self._count = 0  # open, or being opened
        self._origins: dict[Origin, _Origin] = {}
        self._interval = min(SWEEP_SECONDS, timeouts.first_byte / 4, timeouts.idle / 4)
        self._sweeper = loop.call_later(self._interval, self._sweep)

    def _connections(self, origin: Origin) -> _Origin:
        connections = self._origins.get(origin)
        if connections is None:
            connections = self._origins[origin] = _Origin()
        return connections

    def reuse(self, origin: Origin) -> Connection | None:
        """An idle connection that still looks alive, without waiting, or ``None``."""
        connections = self._origins.get(origin)
        while connections is not None and connections.idle:
            connection = connections.idle.pop()
            connection.idle_since = 0.0
            if not connection.stale():
                connection.seen = -1
                return connection
        return None

    async def acquire(self, origin: Origin, *, fresh: bool = False) -> Connection:
        """A connection for one request, opened within the connect timeout if none is idle.

        Args:
            origin: Where to.
            fresh: Never a reused one (for the one retry after a reused one failed unheard).

        Raises:
            UpstreamFault: CONNECT, CONNECT_TIMEOUT, TLS or POOL_FULL.
        """
        connections = self._connections(origin)
        deadline = self._loop.time() + self._timeouts.connect
        while True:
            connection = None if fresh else self.reuse(origin)
            if connection is not None:
                return connection
            if len(connections.live) + connections.opening < self._limit:
                return await self._open(origin, connections)
            if fresh and connections.idle:
                connections.idle[0].close()
                continue
            await self._wait(connections, deadline)

    async def _wait(self, connections: _Origin, deadline: float) -> None:
        waiter = self._loop.create_future()
        connections.waiters.append(waiter)
        try:
            async with asyncio.timeout_at(deadline):
                await waiter
        except TimeoutError:
            raise UpstreamFault(Fault.POOL_FULL) from None
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._wake(connections)  # the turn was given to a request that has gone: pass it on
            raise
        finally:
            if waiter in connections.waiters:
                connections.waiters.remove(waiter)

    async def _open(self, origin: Origin, connections: _Origin) -> Connection:
        if self._count >= self._capacity:
            self._make_room()
        connections.opening += 1
        self._count += 1
        try:
            connection = await origin.connect(self._loop, self._timeouts.connect)
        except BaseException:
            connections.opening -= 1
            self._count -= 1
            self._wake(connections)
            raise
        connections.opening -= 1
        connections.live.add(connection)

        def closed(connection: Connection) -> None:
            self._count -= 1
            connections.live.discard(connection)
            if connection.idle_since:
                connections.idle.remove(connection)
            self._wake(connections)

        def ready(connection: Connection) -> None:
            if origin.tls is not None and connection.requests == 1 and self._loop.time() >= origin.session_due:
                # Now and then: every read of SSLSocket.session leaks a copy (CPython 3.11 to 3.13), and where clients
                # leave often, connections are new as often.
                origin.session, origin.session_due = connection.session, self._loop.time() + SESSION_SECONDS
            if len(connections.idle) >= self._keep_idle:
                connection.close()
                return
            connection.idle_since = self._loop.time() or 1e-9
            connections.idle.append(connection)
            self._wake(connections)

        connection.on_closed = closed
        connection.on_ready = ready
        return connection

    def _make_room(self) -> None:
        """Close the connection that has been idle longest: its descriptor is needed elsewhere."""
        idle = [connections.idle[0] for connections in self._origins.values() if connections.idle]
        if idle:
            min(idle, key=lambda connection: connection.idle_since).close()

    @staticmethod
    def _wake(connections: _Origin) -> None:
        while connections.waiters:
            waiter = connections.waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _sweep(self) -> None:
        now = self._loop.time()
        for connections in self._origins.values():
            for connection in list(connections.live):
                if connection.busy:
                    self._watch(connection, now)
                elif connection.idle_since and now - connection.idle_since > KEEP_IDLE_SECONDS:
                    connection.close()
        self._sweeper = self._loop.call_later(self._interval, self._sweep)

    def _watch(self, connection: Connection, now: float) -> None:
        progress = connection.progress()
        if progress != connection.seen:
            connection.seen = progress
            connection.seen_at = now
            return
        self._loop.call_soon(connection.look)
        limit = self._timeouts.first_byte if connection.state is WAITING else self._timeouts.idle
        if now - connection.seen_at > limit:
            # A paused connection waits for a client that does not read: the client is at fault, and
            # the relay hears of it in the same way.
            connection.timed_out()

    def count(self) -> tuple[int, int]:
        """Connections open now, and of them idle."""
        return (
            sum(len(connections.live) for connections in self._origins.values()),
            sum(len(connections.idle) for connections in self._origins.values()),
        )

    def close(self) -> None:
        """Close every connection, busy ones too."""
        self._sweeper.cancel()
        for connections in self._origins.values():
            for connection in list(connections.live):
                connection.close()
