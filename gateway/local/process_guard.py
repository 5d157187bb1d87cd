"""A guard for the whole process: it applies to every library, and no Python code can remove it.

Python calls audit hooks for every connection, look-up, program and file before it happens (PEP 578); a hook can refuse
and cannot be removed. So code or a library that ignores the rules of `engine` gets a `PermissionError` instead of a
connection.

It is a second layer, not a sandbox: it does not apply to native code. ``--isolate`` does.
"""

from __future__ import annotations

import os
import sys
from typing import Any, Final

from gateway.local.address import loopback

_LOOK_UPS: Final = frozenset(("socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo"))
_ADDRESSED: Final = frozenset(("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg"))
_PROGRAMS: Final = frozenset(("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty"))
_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def allows(event: str, arguments: tuple[Any, ...]) -> bool:
    """Whether an audited event may happen in the broker."""
    if event in _ADDRESSED:
        address = arguments[1]
        if isinstance(address, (str, bytes)):
            return True  # a Unix socket
        # None is a datagram on a connected socket. An empty host is every address.
        return address is None or (isinstance(address, tuple) and bool(address) and loopback(address[0]) is not None)
    if event == "socket.getaddrinfo":
        return loopback(arguments[0]) is not None
    if event == "open":
        flags = arguments[2]
        return not isinstance(flags, int) or not flags & _WRITING
    return event not in _LOOK_UPS and event not in _PROGRAMS


def install() -> None:
    """From here on: no connection but to loopback and Unix sockets, no look-up, no program, no file written."""
    sys.dont_write_bytecode = True
    sys.addaudithook(_hook)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event.startswith(("socket.", "os.", "subprocess.", "open")) and not allows(event, arguments):
        raise PermissionError("refused in local mode")
