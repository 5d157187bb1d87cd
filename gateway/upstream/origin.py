"""An origin: one provider's scheme, host and port, and how to open a connection to it.

Rules: no proxy variables, no redirects, no environment switch of any kind is used here
(``SSLKEYLOGFILE`` would reveal the keys of every prompt), certificates are always verified, and
plain http is only for loopback (`gateway.config` refuses it elsewhere).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from aiohappyeyeballs import start_connection

from gateway.upstream.connection import Connection
from gateway.upstream.faults import Fault, UpstreamFault


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """A client context that verifies host and chain, with the system's authorities or only with ``ca_file``.

    Built by hand: ``ssl.create_default_context`` honours ``SSLKEYLOGFILE``.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if ca_file is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        context.load_verify_locations(cafile=ca_file)
    if hasattr(ssl, "OP_IGNORE_UNEXPECTED_EOF"):
        # CPython 3.11.2 with OpenSSL 3 sets it, 3.11.7 does not: with it a cut looks like a clean end (gh-95494).
        context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    if hasattr(ssl, "OP_ENABLE_KTLS"):
        context.options |= ssl.OP_ENABLE_KTLS  # CPython 3.12 and newer, if the kernel has it
    return context


@dataclass(slots=True, eq=False)
class Origin:
    """Where connections go. ``session`` is a TLS session of the last minutes, offered for resumption."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    session: ssl.SSLSession | None = field(default=None, repr=False)
    session_due: float = field(default=0.0, repr=False)  # when to take a newer one, by the loop's clock

    async def connect(self, loop: asyncio.AbstractEventLoop, timeout: float) -> Connection:
        """Open a connection within ``timeout`` seconds, handshake included.

        Raises:
            UpstreamFault: CONNECT, CONNECT_TIMEOUT or TLS.
        """
        try:
            async with asyncio.timeout(timeout):
                sock = await self._open(loop)
                if self.tls is not None:
                    sock = await self._handshake(loop, sock, self.tls)
        except TimeoutError:
            raise UpstreamFault(Fault.CONNECT_TIMEOUT) from None
        except ssl.SSLError:
            raise UpstreamFault(Fault.TLS) from None
        except OSError:
            raise UpstreamFault(Fault.CONNECT) from None
        return Connection(loop, sock)

    async def _open(self, loop: asyncio.AbstractEventLoop) -> socket.socket:
        addresses = await loop.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        sock = await start_connection(addresses, happy_eyeballs_delay=0.25, loop=loop)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return sock

    async def _handshake(
        self, loop: asyncio.AbstractEventLoop, sock: socket.socket, context: ssl.SSLContext
    ) -> ssl.SSLSocket:
        try:
            tls = context.wrap_socket(
                sock,
                server_hostname=self.host,
                do_handshake_on_connect=False,
                suppress_ragged_eofs=False,  # the default makes a cut look like a clean end
                session=self.session,
            )
        except BaseException:
            sock.close()
            raise
        try:
            while True:
                try:
                    tls.do_handshake()
                except ssl.SSLWantReadError:
                    await _wait(loop, tls, loop.add_reader, loop.remove_reader)
                except ssl.SSLWantWriteError:
                    await _wait(loop, tls, loop.add_writer, loop.remove_writer)
                else:
                    return tls
        except BaseException:
            with contextlib.suppress(OSError):
                tls.close()
            raise


async def _wait(
    loop: asyncio.AbstractEventLoop,
    sock: socket.socket,
    add: Callable[..., None],
    remove: Callable[[socket.socket], bool],
) -> None:
    ready: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    add(sock, wake)
    try:
        await ready
    finally:
        remove(sock)
