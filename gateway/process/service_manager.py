"""What the service manager is told: that the gateway serves, and that it still runs (systemd's sd_notify protocol).

Rules:

1. Without ``NOTIFY_SOCKET`` nothing happens. A manager that does not listen disturbs nobody.
2. Only the process that the manager started speaks: the supervisor, or the single worker.
3. The socket is connected before the process is hardened: afterwards an abstract one could not be reached.
4. The watchdog is fed from the event loop, so that a loop that hangs is not.

Source: sd_notify(3) and sd_watchdog_enabled(3).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Mapping

from metering.numbers import whole_number

MOST_MICROSECONDS = 86_400_000_000


class ServiceManager:
    """Make it before the process is hardened."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._socket: socket.socket | None = None
        self._every = _watchdog_seconds(environment) / 3  # twice would do; a machine may be slow
        address = environment.get("NOTIFY_SOCKET", "")
        if address[:1] not in ("/", "@"):
            return
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        try:
            sock.connect("\0" + address[1:] if address.startswith("@") else address)
        except OSError:
            sock.close()
        else:
            self._socket = sock

    def serves(self, port: int, workers: int) -> None:
        """Requests are served. Call it in the running loop: from now on the watchdog is fed."""
        self._tell(f"READY=1\nSTATUS=serving on port {port}, workers: {workers}")
        if self._socket is not None and self._every:
            self._feed(asyncio.get_running_loop())

    def _feed(self, loop: asyncio.AbstractEventLoop) -> None:
        self._tell("WATCHDOG=1")
        loop.call_later(self._every, self._feed, loop)

    def _tell(self, text: str) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):  # its buffer is full, or it is gone
                self._socket.send(text.encode())


def _watchdog_seconds(environment: Mapping[str, str]) -> float:
    """How long the manager waits for a sign of life of this process; 0.0 is for ever."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    microseconds = whole_number(environment.get("WATCHDOG_USEC", ""), MOST_MICROSECONDS)
    return (microseconds or 0) / 1_000_000
