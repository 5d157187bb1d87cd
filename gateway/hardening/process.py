"""The hardening of a process at its start, and the measures that are active, as reported by the kernel.

Rules:

1. `harden` runs before the first byte of a client is read, before any thread starts, and once more
   in each worker: ``execve`` makes a process dumpable again, everything else is inherited.
2. A measure that the kernel lacks is not applied, and `observe` reports that. A measure does not count as active
   because it was requested.
3. Afterwards the process can write only to the data directory, the log file's folder, the folder of the embedded
   store's socket if that is elsewhere, and ``/dev/null``.
"""

from __future__ import annotations

import faulthandler
import os
import resource
import sys
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

from gateway.config import EMBEDDED, Config, HardeningMode
from gateway.hardening import environment, landlock, seccomp
from gateway.hardening.kernel import (
    PR_GET_DUMPABLE,
    PR_GET_NO_NEW_PRIVS,
    PR_SET_DUMPABLE,
    PR_SET_NO_NEW_PRIVS,
    prctl,
)
from metering.store.embedded import socket_folder

DISCARD = Path("/dev/null")


class Measure(StrEnum):
    """What can hold of a process. The first eight are the gateway's own doing, the others the machine's."""

    NOT_DUMPABLE = "not_dumpable"  # no core file, no /proc/PID/mem for the same user
    CORE_LIMIT = "core_limit_zero"
    NO_NEW_PRIVILEGES = "no_new_privileges"
    WRITES_CONFINED = "writes_confined"
    INSPECTION_REFUSED = "inspection_refused"
    DEBUG_OFF = "debug_modes_off"
    ENVIRONMENT_CLOSED = "environment_closed"
    REMOTE_DEBUG_OFF = "remote_debugging_off"
    OWN_USER = "not_root"
    READ_ONLY_ROOT = "read_only_root"
    SWAP_OFF = "swap_off"


OWN = tuple(Measure)[:8]


class Measured(StrEnum):
    YES = "yes"
    NO = "no"
    LACKED = "kernel lacks it"


def writable(config: Config) -> tuple[Path, ...]:
    """Every place that a gateway of this configuration writes to.

    The embedded store's socket is beside them where the data directory's path is too long for its name.
    """
    log = None if config.log.file is None else config.log.file.parent
    socket = socket_folder(config.server.data_dir) if config.store.url == EMBEDDED else None
    return tuple(place for place in (config.server.data_dir, log, socket, DISCARD) if place is not None)


def harden(config: Config) -> None:
    """Give nothing away from here on; nothing of it can be undone by this process or its children.

    ``hardening.mode`` of the configuration may switch all of this off, for development. The data
    directory must exist.
    """
    if config.hardening.mode is HardeningMode.OFF:
        return
    faulthandler.disable()
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):
        prctl(PR_SET_DUMPABLE, 0)
    with suppress(OSError):
        prctl(PR_SET_NO_NEW_PRIVS, 1)
    # A worker has its parent's filter and domain already and adds its own: what a process holds must
    # not hang on who started it. The kernel remembers what a filter passes, so that two cost as one.
    with suppress(OSError):
        seccomp.refuse()
    with suppress(OSError):
        landlock.confine(writable(config))


def observe() -> dict[Measure, Measured]:
    """What holds of this process now."""
    linux = sys.platform == "linux"
    return {
        Measure.NOT_DUMPABLE: _flag(PR_GET_DUMPABLE, 0),
        Measure.CORE_LIMIT: _held(resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)),
        Measure.NO_NEW_PRIVILEGES: _flag(PR_GET_NO_NEW_PRIVS, 1),
        Measure.WRITES_CONFINED: _held(linux and landlock.confined(), lacked=not landlock.abi()),
        Measure.INSPECTION_REFUSED: _held(seccomp.refused(), lacked=not seccomp.supported()),
        Measure.DEBUG_OFF: _held(not environment.debugging()),
        Measure.ENVIRONMENT_CLOSED: _held(environment.closed()),
        Measure.REMOTE_DEBUG_OFF: _held(not environment.remote_debugging()),
        Measure.OWN_USER: _held(os.geteuid() != 0),
        Measure.READ_ONLY_ROOT: _held(bool(os.statvfs("/").f_flag & os.ST_RDONLY)),
        Measure.SWAP_OFF: _held(_no_swap()),
    }


def _held(yes: bool, *, lacked: bool = False) -> Measured:
    if yes:
        return Measured.YES
    return Measured.LACKED if lacked else Measured.NO


def _flag(option: int, wanted: int) -> Measured:
    try:
        return _held(prctl(option) == wanted)
    except OSError:
        return Measured.LACKED


def _no_swap() -> bool:
    """No swap on this machine, or none for this control group."""
    with suppress(OSError):
        if len(Path("/proc/swaps").read_text().splitlines()) <= 1:
            return True
        _, _, group = Path("/proc/self/cgroup").read_text().strip().rpartition("::")
        return Path(f"/sys/fs/cgroup{group}/memory.swap.max").read_text().strip() == "0"
    return False
