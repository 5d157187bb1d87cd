"""Accepts client connections, within the bounds of their table.

The event loop's own server is not used: it accepts every connection before the address and the number of free
descriptors can be checked, and it does not count TLS handshakes.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import ssl
from collections.abc import Sequence
from functools import partial

from gateway.http.connections import Connections, source_of
from gateway.http.server import ClientConnection, Server
from gateway.telemetry.log import Event, Log

SWEEP_SECONDS = 1.0
LOG_SECONDS = 60.0  # between two lines about connections that were refused or displaced
AT_ONCE = 16  # connections accepted in one turn of the loop: other workers take their part of a crowd
PAUSE_SECONDS = 0.1  # without accepting, if the system has no descriptor left
_FULL = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Acceptor:
    """Accepts on listening sockets until `close`; ``table`` has the connections."""

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        server: Server,
        table: Connections,
        log: Log,
        *,
        tls: ssl.SSLContext | None = None,
        handshake_seconds: float = 60.0,
        by_source: bool = True,
    ) -> None:
        """Begin to accept. Call it in the running loop.

        Args:
            sockets: Listening, without blocking.
            server: Makes the protocol of a connection.
            table: Where connections are counted.
            log: Called when connections are refused or displaced.
            tls: For TLS on the sockets.
            handshake_seconds: What a TLS handshake may take.
            by_source: Whether addresses tell clients apart; behind a proxy all have the proxy's.
        """
        self._loop = asyncio.get_running_loop()
        self._sockets = list(sockets)
        self._server = server
        self.table = table
        self._log = log
        self.tls = tls  # of new connections
        self._handshake_seconds = handshake_seconds if tls is not None else None
        self._by_source = by_source
        self._opening: set[asyncio.Task[None]] = set()
        self._spare = _spare()  # given up to accept, and turn away, if the table is full
        self._logged = float("-inf")
        self._sweeper = self._loop.call_later(SWEEP_SECONDS, self._sweep)
        for sock in self._sockets:
            self._loop.add_reader(sock, self._readable, sock)

    def close(self) -> None:
        """Accept no more connections; open ones continue. May be called twice."""
        for sock in self._sockets:
            self._loop.remove_reader(sock)
            sock.close()
        self._sockets = []
        self._give_up_spare()

    def stop(self) -> None:
        """`close`, and look after the open connections no longer."""
        self.close()
        self._sweeper.cancel()
        for task in list(self._opening):
            task.cancel()

    def _readable(self, listening: socket.socket) -> None:
        for _ in range(AT_ONCE):
            try:
                sock, address = listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _FULL:
                    self._turn_away(listening)
                return  # else its client ended this one connection
            self._take(sock, address)

    def _take(self, sock: socket.socket, address: tuple[str, int]) -> None:
        connection = self._server()
        source = source_of(address[0]) if self._by_source and address else b""
        if not self.table.admit(connection, source):
            sock.close()
            return
        sock.setblocking(False)
        connection.table = self.table
        connection.opening = task = self._loop.create_task(self._open(connection, sock))
        self._opening.add(task)
        task.add_done_callback(partial(self._opened, connection, sock))

    async def _open(self, connection: ClientConnection, sock: socket.socket) -> None:
        await self._loop.connect_accepted_socket(
            lambda: connection, sock, ssl=self.tls, ssl_handshake_timeout=self._handshake_seconds
        )

    def _opened(self, connection: ClientConnection, sock: socket.socket, task: asyncio.Task[None]) -> None:
        self._opening.discard(task)
        connection.opening = None
        if task.cancelled() or task.exception() is not None:  # it was displaced, or its handshake came to nothing
            self.table.gone(connection)
            sock.close()

    def _turn_away(self, listening: socket.socket) -> None:
        """No descriptor is left: close the next connection instead of leaving its client waiting."""
        self._give_up_spare()
        with contextlib.suppress(OSError):
            listening.accept()[0].close()
            self.table.refused()
        self._spare = _spare()
        self._loop.remove_reader(listening)
        self._loop.call_later(PAUSE_SECONDS, self._resume, listening)

    def _resume(self, listening: socket.socket) -> None:
        if listening in self._sockets:
            self._loop.add_reader(listening, self._readable, listening)

    def _give_up_spare(self) -> None:
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None

    def _sweep(self) -> None:
        table, now = self.table, self._loop.time()
        table.sweep()
        if table.short and now - self._logged >= LOG_SECONDS:
            self._log.warning(Event.CONNECTIONS_FULL, count=table.short)
            self._logged, table.short = now, 0
        self._sweeper = self._loop.call_later(SWEEP_SECONDS, self._sweep)


def _spare() -> int | None:
    try:
        return os.open(os.devnull, os.O_RDONLY)
    except OSError:
        return None
