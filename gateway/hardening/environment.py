"""Restarts the interpreter in isolated mode, without variables that make it print, dump, trace or reveal keys.

`gateway.variables` lists the allowed variables. The interpreter reads some variables at its start, so removing them
later would have no effect: the program restarts itself without them, in Python's isolated mode.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import tracemalloc

from gateway import variables


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


def closed() -> bool:
    """Whether this interpreter took nothing from its environment but what is honoured."""
    return bool(sys.flags.isolated) and all(map(variables.is_kept, os.environ))


def restart_clean(arguments: list[str], *, strict: bool) -> None:
    """Become ``python -m gateway ARGUMENTS``, isolated; returns if nothing has to be left behind.

    Call it before anything was opened or bound. ``strict``: with the variables that are kept or were asked for by name,
    so that a configuration must have been read; else without those that are read before a program's own code runs.
    """
    given = variables.GIVEN
    kept = variables.for_child() if strict else {n: given[n] for n in given if not variables.is_switch(n)}
    if sys.flags.isolated and len(kept) == len(given) and not debugging() and not remote_debugging():
        return
    if variables.was_left():  # only once; `observe` reports what is still on
        return
    command = variables.python("gateway", *arguments, options=variables.left(given.keys() - kept.keys()))
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, command, kept)  # noqa: S606 - this very program
