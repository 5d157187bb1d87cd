"""Moves this process to an empty network namespace with only a loopback interface.

The order matters:

1. The listening socket is created first. A socket stays in the namespace where it was created, so programs of this
   machine still reach the broker, while every later socket is in the empty namespace.
2. A user namespace is created too, so that no privilege is needed; user and group keep their numbers.
3. The loopback is brought up, and the kernel is asked for its interfaces. If there is any other than ``lo``, the broker
   does not start. It never falls back to running without isolation.
4. The engine command, if there is one, is started inside. It inherits only the null device, and ends with the broker.

https://man7.org/linux/man-pages/man7/network_namespaces.7.html
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from gateway import variables

_CLONE_NEWUSER: Final = 0x1000_0000
_CLONE_NEWNET: Final = 0x4000_0000
_PR_SET_PDEATHSIG: Final = 1
_SIOCGIFFLAGS: Final = 0x8913
_SIOCSIFFLAGS: Final = 0x8914
_IFF_UP: Final = 1
_REQUEST: Final = struct.Struct("16sh22x")  # struct ifreq, as far as flags go
STOP_SECONDS: Final = 5.0


class IsolationError(Exception):
    """The kernel does not give what was asked for. The message says what and why."""


def isolate() -> None:
    """Leave the network. Call it while the process has one thread, after listening.

    Raises:
        IsolationError: Not Linux, not allowed, or the namespace is not empty.
    """
    if sys.platform != "linux":
        raise IsolationError("--isolate needs Linux: other systems have no network namespaces.")
    user, group = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET):
        raise IsolationError(
            f"The kernel refuses a network namespace ({os.strerror(ctypes.get_errno())}): user namespaces may be "
            "switched off here (kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns, "
            "user.max_user_namespaces)."
        )
    try:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
        _raise_loopback()
    except OSError as error:
        raise IsolationError(f"The namespace can't be set up ({os.strerror(error.errno or 0)}).") from None
    if interfaces() != {"lo"}:
        raise IsolationError("The namespace has an interface other than loopback.")


def interfaces() -> set[str]:
    """The network interfaces that this process can see, the kernel's unused tunnel templates left out."""
    return {name for _, name in socket.if_nameindex()} - _TEMPLATES


# Devices that some kernels put into every new namespace, down and without an address.
_TEMPLATES: Final = frozenset(
    ("tunl0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "sit0", "ip6tnl0", "ip6gre0", "teql0")
)


def _raise_loopback() -> None:
    import fcntl  # noqa: PLC0415 - Unix only

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        found = fcntl.ioctl(sock, _SIOCGIFFLAGS, _REQUEST.pack(b"lo", 0))
        flags = _REQUEST.unpack(found)[1]
        fcntl.ioctl(sock, _SIOCSIFFLAGS, _REQUEST.pack(b"lo", flags | _IFF_UP))


class EngineProcess:
    """The engine inside of the namespace. What it prints may hold content and is discarded."""

    def __init__(self, command: Sequence[str]) -> None:
        parent = os.getpid()

        def end_with_us() -> None:
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)

        try:
            self._process = subprocess.Popen(  # noqa: S603 - the user's own command line
                list(command),
                env=dict(variables.GIVEN),  # the user's own program, for which nothing here decides
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                preexec_fn=end_with_us,  # noqa: PLW1509 - this process has one thread
            )
        except OSError as error:
            raise IsolationError(f"The engine command can't be started ({os.strerror(error.errno or 0)}).") from None

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> None:
        """End it: first with SIGTERM, then with SIGKILL."""
        if self.running:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
