"""Switches of the interpreter, of libraries and of the loader that print, dump, trace, hand out keys, or have this
process trust or run what its operator did not state.

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
    }
)
# Any name that begins so: keys of every connection (SSLKEYLOGFILE), further certificate authorities (SSL_CERT_FILE,
# SSL_CERT_DIR), other code for the cryptography (OPENSSL_CONF, OPENSSL_MODULES), libraries put before all others
# (LD_PRELOAD, LD_AUDIT), the allocator's own debugging. A provider's own authority is its setting `ca_file`.
PREFIXES = ("SSL", "OPENSSL_", "LD_", "DYLD_", "GLIBC_TUNABLES", "MALLOC_", "GCONV_PATH")
# Inherited by workers, and not known to interpreters before 3.14.
_NO_REMOTE_DEBUGGING = {"PYTHON_DISABLE_REMOTE_DEBUG": "1"}


def clean(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without what `is_switch`, and with remote debugging switched off."""
    return {name: value for name, value in environment.items() if not is_switch(name)} | _NO_REMOTE_DEBUGGING


def is_switch(name: str) -> bool:
    """Whether a variable is one that no gateway honours."""
    return name in SWITCHES or name.startswith(PREFIXES)


def forget_tls() -> None:
    """Take from this process what TLS reads in its environment, before anything makes a context.

    Reading a configuration and importing a client make contexts too, long before `restart_clean`: they would begin a
    key log, or fail by a folder that is not there, with a message about the certificates.
    """
    for name in [name for name in os.environ if name.startswith(("SSL", "OPENSSL_"))]:
        del os.environ[name]


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
    forget_tls()  # read when a context is made, so that nothing need start anew
    if not (any(map(is_switch, os.environ)) or debugging() or remote_debugging()):
        return
    command = [sys.executable, "-m", "gateway", *arguments]
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, command, clean(os.environ))  # noqa: S606 - this very program
