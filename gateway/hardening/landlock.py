"""Landlock: after `confine`, this process and its children write in the named places and nowhere else.

Rules:

1. Reading and executing are not restricted; file modes decide about them. Restricted is every right that can put bytes
   or names on a disk; newer kernels have more of these rights.
2. A named folder allows all of them below it, except device files. A named file allows only writing.
3. The domain is inherited by children and can only be narrowed. Nothing may start before it that
   must be confined, and nothing after it may need another place.

Source: the kernel's ``Documentation/userspace-api/landlock.rst``, ABI 1 (Linux 5.13) to 7 (6.15).
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from gateway.hardening.kernel import syscall

# The same numbers on every architecture.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION = 1  # flag of create_ruleset
_PATH_BENEATH = 1

WRITE_FILE = 1 << 1
REMOVE_DIR = 1 << 4
REMOVE_FILE = 1 << 5
MAKE_CHAR = 1 << 6
MAKE_DIR = 1 << 7
MAKE_REG = 1 << 8
MAKE_SOCK = 1 << 9
MAKE_FIFO = 1 << 10
MAKE_BLOCK = 1 << 11
MAKE_SYM = 1 << 12
REFER = 1 << 13
TRUNCATE = 1 << 14
IOCTL_DEV = 1 << 15

_FIRST = (
    WRITE_FILE
    | REMOVE_DIR
    | REMOVE_FILE
    | MAKE_CHAR
    | MAKE_DIR
    | MAKE_REG
    | MAKE_SOCK
    | MAKE_FIFO
    | MAKE_BLOCK
    | MAKE_SYM
)
_SINCE = {2: REFER, 3: TRUNCATE, 5: IOCTL_DEV}
_DEVICES = MAKE_CHAR | MAKE_BLOCK | IOCTL_DEV
_OF_FILES = WRITE_FILE | TRUNCATE | IOCTL_DEV
# Neither abstract sockets nor signals of processes outside (ABI 6): a worker that was taken over
# reaches none of them; the supervisor still signals its workers, whose domains lie within its own.
_SCOPES = {6: (1 << 0) | (1 << 1)}


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"  # what `_pack_` implies; from CPython 3.14 on, it must be said
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def abi() -> int:
    """The version of Landlock that this kernel speaks; 0 if it has none, or it is switched off."""
    try:
        return syscall(_CREATE_RULESET, None, 0, _VERSION)
    except OSError:
        return 0


def confine(writable: Iterable[Path]) -> int:
    """Confine this process's writing to ``writable`` (folders, or files) for good.

    ``no_new_privs`` must be set. A place that does not exist is not made writable.

    Returns:
        The ABI that it was done with.

    Raises:
        OSError: The kernel lacks Landlock or refuses; nothing is confined then.
    """
    version = abi()
    if not version:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    handled = _FIRST
    scoped = 0
    for since, right in _SINCE.items():
        handled |= right if version >= since else 0
    for since, scope in _SCOPES.items():
        scoped |= scope if version >= since else 0
    attributes = _Ruleset(handled, 0, scoped)
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = syscall(_CREATE_RULESET, ctypes.cast(ctypes.byref(attributes), ctypes.c_void_p), size, 0)
    try:
        for place in writable:
            with suppress(FileNotFoundError):
                _allow(ruleset, place, handled)
        syscall(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)
    return version


def _allow(ruleset: int, place: Path, handled: int) -> None:
    descriptor = os.open(place, os.O_PATH | os.O_CLOEXEC)
    try:
        folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        rights = handled & (~_DEVICES if folder else _OF_FILES)
        rule = _PathBeneath(rights, descriptor)
        syscall(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.cast(ctypes.byref(rule), ctypes.c_void_p), 0)
    finally:
        os.close(descriptor)


def confined() -> bool:
    """Whether writing is confined, found by trying: its own name is what every thread may write.

    Opening it for writing changes nothing. No file mode forbids it, so that a refusal is a domain's.
    """
    with suppress(OSError):
        os.close(os.open("/proc/thread-self/comm", os.O_WRONLY | os.O_CLOEXEC))
        return False
    return True
