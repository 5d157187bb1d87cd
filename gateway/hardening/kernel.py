"""Calls to the kernel that Python has no function for.

Rule: nothing here decides. Each call is made as the manual page has it and a failure is an `OSError`
with the kernel's own number; a kernel or a platform that lacks the call raises ``ENOSYS``.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import sys

PR_GET_DUMPABLE = 3
PR_SET_DUMPABLE = 4
PR_GET_SECCOMP = 21
PR_SET_NO_NEW_PRIVS = 38
PR_GET_NO_NEW_PRIVS = 39

MACHINE = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())
LINUX = sys.platform == "linux"

_libc = ctypes.CDLL(None, use_errno=True) if LINUX else None


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def prctl(option: int, value: int = 0) -> int:
    """``prctl(2)`` with one argument. Raises `OSError`."""
    if _libc is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    words = [ctypes.c_ulong(word) for word in (value, 0, 0, 0)]
    return _checked(_libc.prctl(ctypes.c_int(option), *words))


def syscall(number: int, *arguments: int | ctypes.c_void_p | None) -> int:
    """``syscall(2)``; integers go as long words. Raises `OSError`."""
    if _libc is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in arguments]
    return _checked(_libc.syscall(ctypes.c_long(number), *words))
