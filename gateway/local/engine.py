"""One request to an engine on its own connection, and its answer, read as it arrives.

Rules of the connection (the only place of local mode that connects). Each check is sufficient without the others
(tests/gateway/local/test_layers.py removes each):

1. The address is a loopback literal, checked again right before it is connected to.
2. After connecting, the kernel is asked for the peer's address, which must be the same.
3. `process_guard` refuses every other connection and every look-up in this process.
4. No name is resolved, no proxy variable and no other part of the environment is read.

Rules of the answer:

1. A cut is never taken for an end: only a body with neither length nor chunks ends with the connection.
2. A redirect is an error. It is not followed, and not forwarded to the caller, whose library would follow it with the
   prompt.
3. Who pauses whom: the caller of `EngineAnswer.read` writes to its client and waits while the client's buffer
   is full; asyncio's reader stops reading from the engine when `BUFFER` bytes wait here.
4. `EngineAnswer.close` closes the connection at once, which makes an engine stop generating.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from gateway.local.address import Address, AddressRefused, Tcp, check_address, loopback
from gateway.local.faults import EngineError, EngineFault

CONNECT_SECONDS: Final = 2.0
BUFFER: Final = 65_536
MOST_HEADERS: Final = 65_536
MOST_HELD: Final = 64 << 20  # bytes of an answer that is read whole

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds. A model that reads a long prompt on a processor takes minutes to its first byte."""

    first_byte: float = 900.0
    idle: float = 300.0


PATIENCE: Final = Patience()


async def connect(loop: asyncio.AbstractEventLoop, address: Address, timeout: float = CONNECT_SECONDS) -> socket.socket:
    """A connected, non-blocking socket.

    Raises:
        EngineError: CONNECT, or FOREIGN if the address or the peer is not of this machine.
    """
    address = literal(address)
    sock = open_socket(address)
    try:
        async with asyncio.timeout(timeout):
            await loop.sock_connect(sock, (address.host, address.port) if isinstance(address, Tcp) else address.path)
        check_peer(sock, address)
    except (OSError, TimeoutError):
        sock.close()
        raise EngineError(EngineFault.CONNECT) from None
    except BaseException:
        sock.close()
        raise
    return sock


def literal(address: Address) -> Address:
    """The address in its normal form. Raises `EngineError` FOREIGN unless it is of this machine."""
    try:
        return check_address(address)
    except AddressRefused:
        raise EngineError(EngineFault.FOREIGN) from None


def open_socket(address: Address) -> socket.socket:
    """An unconnected, non-blocking socket for ``address``."""
    family = socket.AF_UNIX
    if isinstance(address, Tcp):
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setblocking(False)
    return sock


def check_peer(sock: socket.socket, address: Address) -> None:
    """Refuse a connection whose peer is not the intended address.

    Raises:
        EngineError: FOREIGN.
    """
    if sock.family == socket.AF_UNIX:
        return  # a Unix socket does not leave the machine
    peer, own = sock.getpeername(), sock.getsockname()
    host = loopback(peer[0])
    # If nobody listens on an ephemeral port, a socket may connect to itself.
    if not isinstance(address, Tcp) or host is None or (host, peer[1]) != (address.host, address.port) or peer == own:
        raise EngineError(EngineFault.FOREIGN)


class EngineAnswer:
    """One answer. `read` until it gives nothing, or `close`."""

    def __init__(self, transport: asyncio.Transport, reader: asyncio.StreamReader, patience: Patience) -> None:
        self._transport = transport
        self._reader = reader
        self._patience = patience
        self._parser = HttpResponseParser(self)
        self._pieces: list[bytes] = []
        self._received = 0
        self._framed = False  # the body has a length or chunks
        self._informational = False
        self._done = False
        self.head_done = False
        self.status = 0
        self.headers: Headers = []
        self.ended_by_close = False

    def header(self, name: bytes) -> bytes:
        """A header's value, empty if it is absent; names are in lower case."""
        return next((value for key, value in self.headers if key == name), b"")

    async def head(self) -> None:
        """Read up to the end of the headers. Raises `EngineError`."""
        while not self.head_done:
            await self._more(self._patience.first_byte)
            if not self.head_done and self._received > MOST_HEADERS:
                raise EngineError(EngineFault.PROTOCOL)
        if 300 <= self.status < 400:
            raise EngineError(EngineFault.REDIRECT)

    async def read(self) -> bytes:
        """The next bytes of the body; empty at its end. Raises `EngineError` if it was cut."""
        while not self._pieces and not self._done:
            await self._more(self._patience.idle)
        data = b"".join(self._pieces)
        self._pieces.clear()
        return data

    async def whole(self, most: int = MOST_HELD) -> bytes:
        """The whole body. Raises `EngineError`, PROTOCOL over ``most`` bytes."""
        pieces: list[bytes] = []
        size = 0
        while data := await self.read():
            size += len(data)
            if size > most:
                raise EngineError(EngineFault.PROTOCOL)
            pieces.append(data)
        return b"".join(pieces)

    def close(self) -> None:
        """Drop the connection. May be called twice."""
        self._pieces.clear()
        self._transport.abort()

    async def _more(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                data = await self._reader.read(BUFFER)
        except TimeoutError:
            raise EngineError(EngineFault.TIMEOUT) from None
        except OSError:
            raise EngineError(EngineFault.CLOSED) from None
        if not data:
            if not self.head_done or self._framed:
                raise EngineError(EngineFault.CLOSED)
            self.ended_by_close = self._done = True
            return
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            if not self._done:
                raise EngineError(EngineFault.PROTOCOL) from None

    # -- callbacks of the parser -----------------------------------------------------------------

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.head_done:
            return  # trailers
        name = name.lower()
        self._framed = self._framed or name in {b"transfer-encoding", b"content-length"}
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if 100 <= status < 200:
            self._informational, self.headers, self._framed = True, [], False
            return
        self.status, self.head_done = status, True

    def on_body(self, data: bytes) -> None:
        if not self._done:
            self._pieces.append(data)

    def on_message_complete(self) -> None:
        if self._informational:
            self._informational = False
        elif self._framed:
            self._done = True


async def ask(
    loop: asyncio.AbstractEventLoop,
    address: Address,
    method: str,
    path: str,
    *,
    body: bytes = b"",
    headers: Sequence[tuple[bytes, bytes]] = (),
    patience: Patience = PATIENCE,
) -> EngineAnswer:
    """Send one request and read the head of its answer; close the answer in every case.

    Raises:
        EngineError: CONNECT, FOREIGN, CLOSED, PROTOCOL, TIMEOUT or REDIRECT.
    """
    sock = await connect(loop, address)
    reader = asyncio.StreamReader(limit=BUFFER, loop=loop)
    transport, _ = await loop.create_connection(lambda: asyncio.StreamReaderProtocol(reader, loop=loop), sock=sock)
    answer = EngineAnswer(transport, reader, patience)
    lines = [
        f"{method} {path} HTTP/1.1".encode(),
        b"host: " + _authority(address),
        b"user-agent: codegrex-gateway",
        b"accept-encoding: identity",
        b"connection: close",
        *(b"%b: %b" % pair for pair in headers),
    ]
    if method == "POST":
        lines.append(b"content-length: %d" % len(body))
    try:
        transport.write(b"\r\n".join((*lines, b"", body)))
        await answer.head()
    except BaseException:
        answer.close()
        raise
    return answer


def _authority(address: Address) -> bytes:
    if not isinstance(address, Tcp):
        return b"localhost"
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"{host}:{address.port}".encode()
