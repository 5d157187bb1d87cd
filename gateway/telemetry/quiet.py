"""Replaces the handlers with which the interpreter and libraries print errors and warnings.

Python prints an uncaught exception with its text and its source lines, a warning with the line that caused it, the
event loop the repr of a callback, and ``logging`` the arguments of a library: each can quote a request. `install`
replaces them with handlers that keep only the exception's type and its location in the gateway's code.

Rules:

1. Installed in every process that serves, before the first byte of a client is read.
2. Errors that an operator can fix are the gateway's own texts without content, and are printed unchanged (`tell`).
3. The handlers never raise: a failing handler would be reported by the handler that it replaced.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import threading
import warnings
from collections.abc import Callable
from types import TracebackType
from typing import Any, TextIO

from gateway.config import ConfigError
from gateway.telemetry.log import Event, Log
from metering.ledger.ledger import LedgerUnavailable
from metering.store.embedded import EmbeddedError
from metering.store.store import StoreUnavailable

_OPERATORS = (ConfigError, EmbeddedError, StoreUnavailable, LedgerUnavailable)


def tell(error: BaseException) -> None:
    """Write a fault that an operator can fix to standard error; of any other error, nothing."""
    if isinstance(error, _OPERATORS):
        with contextlib.suppress(OSError):  # nobody reads it
            for line in str(error).splitlines():
                sys.stderr.write(f"error: {line}\n")


def install(log: Log) -> None:
    """Replace the process's own reports by lines of ``log``."""

    def uncaught(_kind: type[BaseException], error: BaseException, _trace: TracebackType | None) -> None:
        tell(error)
        if not isinstance(error, KeyboardInterrupt):
            log.failure(Event.CRASHED, error)

    def thread_failed(arguments: threading.ExceptHookArgs) -> None:
        if arguments.exc_value is not None:
            log.failure(Event.CRASHED, arguments.exc_value)

    def unraisable(arguments: sys.UnraisableHookArgs) -> None:
        log.failure(Event.UNRAISABLE, arguments.exc_value or RuntimeError())

    def warned(  # noqa: PLR0917 - the signature of warnings.showwarning
        message: Warning | str,  # may quote anything: never used, like the following ones
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        del message, filename, lineno, file, line
        log.warned(category)

    sys.excepthook = uncaught
    threading.excepthook = thread_failed
    sys.unraisablehook = unraisable
    warnings.showwarning = warned
    logging.raiseExceptions = False
    logging.lastResort = None  # what no handler takes would go to standard error
    logging.disable(logging.CRITICAL)


def loop_handler(log: Log) -> Callable[[asyncio.AbstractEventLoop, dict[str, Any]], None]:
    """An event loop's exception handler: the loop's own report quotes raw data, so only the type is kept."""

    def handle(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        log.failure(Event.LOOP_ERROR, error if isinstance(error, BaseException) else RuntimeError())

    return handle
