"""Switches of the interpreter and of libraries that print, dump, trace or hand out keys.

They are read when the interpreter starts, so that unsetting them later would be too late for most:
`serve` starts itself once more without them. What cannot be seen can't be turned on by a line in a
unit file that somebody forgot.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import tracemalloc
from collections.abc import Mapping

SWITCHES = frozenset(
    {
        "PYTHONASYNCIODEBUG",  # logs the repr of callbacks
        "PYTHONBREAKPOINT",
        "PYTHONDEBUG",
        "PYTHONDEVMODE",
        "PYTHONDUMPREFS",
        "PYTHONDUMPREFSFILE",
        "PYTHONFAULTHANDLER",
        "PYTHONINSPECT",  # a prompt after a crash
        "PYTHONMALLOC",
        "PYTHONMALLOCSTATS",
        "PYTHONPERFSUPPORT",  # a file in /tmp
        "PYTHON_PERF_JIT_SUPPORT",
        "PYTHONPROFILEIMPORTTIME",
        "PYTHONTRACEMALLOC",
        "PYTHONVERBOSE",
        "PYTHONWARNINGS",  # would print source lines
        "SSLKEYLOGFILE",  # would hand out the keys of every connection that aiohttp opens
    }
)
# Inherited by workers, and not known to interpreters before 3.14.
_NO_REMOTE_DEBUGGING = {"PYTHON_DISABLE_REMOTE_DEBUG": "1"}


def clean(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without `SWITCHES`, and with remote debugging switched off."""
    return {name: value for name, value in environment.items() if name not in SWITCHES} | _NO_REMOTE_DEBUGGING


def forget_key_log() -> None:
    """Take ``SSLKEYLOGFILE`` from this process, before anything makes a TLS context.

    Reading a configuration and importing a client make contexts too, long before `restart_clean`: they would begin the
    file, or fail by a folder that is not there, with a message about the certificates.
    """
    os.environ.pop("SSLKEYLOGFILE", None)


def remote_debugging() -> bool:
    """Whether another process may have this interpreter run code (PEP 768, Python 3.14)."""
    enabled = getattr(sys, "is_remote_debug_enabled", None)
    return bool(enabled is not None and enabled())


def debugging() -> bool:
    """Whether a mode for development is on in this interpreter."""
    flags = sys.flags
    perf = getattr(sys, "is_stack_trampoline_active", None)
    return bool(
        flags.dev_mode
        or flags.inspect
        or flags.interactive
        or flags.verbose
        or flags.debug
        or faulthandler.is_enabled()
        or tracemalloc.is_tracing()
        or (perf is not None and perf())
        or sys.gettrace() is not None
    )


def restart_clean(arguments: list[str]) -> None:
    """Become ``python -m gateway ARGUMENTS`` without the switches; returns where none is on.

    To be called before anything was opened or bound.
    """
    dirty = SWITCHES & os.environ.keys()
    if not (dirty or debugging() or remote_debugging()):
        return
    command = [sys.executable, "-m", "gateway", *arguments]
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, command, clean(os.environ))  # noqa: S606 - this very program
