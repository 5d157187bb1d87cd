"""Opens a socket to an engine: the one place of local mode that connects.

Three checks, each of which would do alone (tests/gateway/local/test_layers.py takes each away):

1. The address is a loopback literal, looked at again right here.
2. After the connection stands, the kernel is asked who the peer is: it must be that very address.
3. `process_guard` refuses every other connection and every look-up in this process.

No name is resolved, no proxy variable and no other part of the environment is read.
"""

from __future__ import annotations

import asyncio
import socket

from gateway.local.address import Address, AddressRefused, Tcp, check_address, loopback
from gateway.local.faults import EngineError, EngineFault

CONNECT_SECONDS = 2.0


async def connect(loop: asyncio.AbstractEventLoop, address: Address, timeout: float = CONNECT_SECONDS) -> socket.socket:
    """A connected, non-blocking socket.

    Raises:
        EngineError: CONNECT, or FOREIGN where the address or the peer is not of this machine.
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
    """Refuse a connection that does not end where it was meant to.

    Raises:
        EngineError: FOREIGN.
    """
    if sock.family == socket.AF_UNIX:
        return  # a Unix socket does not leave the machine
    peer, own = sock.getpeername(), sock.getsockname()
    host = loopback(peer[0])
    # A socket may connect to itself where nobody listens on a port of the range that the kernel gives out.
    if not isinstance(address, Tcp) or host is None or (host, peer[1]) != (address.host, address.port) or peer == own:
        raise EngineError(EngineFault.FOREIGN)
