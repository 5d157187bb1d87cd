"""The log: one JSON object a line, of an event name and fields that cannot hold content.

Rules:

1. The event is an `Event`, the fields are in `FIELDS`: anything else raises, in tests and in service.
2. A value is an integer, a float, a boolean, an enumeration, or a string that is in a closed list of
   this process (`closed`): the names of configured providers and models. A client's text never is.
3. No account id, no session id, no address. A request id is random and says nothing by itself.
4. Exceptions are logged as their type's name. Their text and their locals may hold content.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from enum import Enum, StrEnum
from pathlib import Path
from typing import Any, BinaryIO

import orjson
import structlog


class Event(StrEnum):
    STARTED = "started"
    STOPPED = "stopped"
    DRAINING = "draining"
    DRAINED = "drained"
    REQUEST = "request"
    REFUSED = "refused"
    UPSTREAM_FAULT = "upstream_fault"
    HANDLER_FAILED = "handler_failed"
    LOOP_ERROR = "loop_error"
    STORE_FAULT = "store_fault"
    STORE_AWAY = "store_away"
    STORE_BACK = "store_back"
    SETTLEMENT_REFUSED = "settlement_refused"
    WORKER_STARTED = "worker_started"
    WORKER_DIED = "worker_died"
    LOCAL_MODE = "local_mode"
    DEVELOPMENT_SIGN_IN = "development_sign_in"  # the portal lets anybody on this machine in


FIELDS = frozenset(
    {
        "rid",
        "operation",
        "provider",
        "model",
        "variant",
        "status",
        "code",
        "outcome",
        "basis",
        "input_tokens",
        "cache_read_tokens",
        "output_tokens",
        "charge",
        "first_byte_ms",
        "duration_ms",
        "attempts",
        "fault",
        "error",
        "where",
        "worker",
        "workers",
        "pid",  # of a process, never of an account
        "port",
        "internal_port",
        "version",
        "seconds",
        "count",
    }
)

LEVELS = ("debug", "info", "warning", "error")
_SCALARS = (int, float, bool, Enum, type(None))


class Log:
    """The one way to log. Built once a process."""

    def __init__(self, level: str = "info", file: Path | None = None) -> None:
        stream: BinaryIO = sys.stderr.buffer if file is None else file.open("ab", buffering=0)
        self._closed: set[str] = set()
        self.requests = LEVELS.index(level) <= LEVELS.index("info")  # whether a request's line is wanted at all
        self._log: Any = structlog.wrap_logger(
            structlog.BytesLogger(stream),
            wrapper_class=structlog.make_filtering_bound_logger(level),
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.JSONRenderer(serializer=_dumps),
            ],
            cache_logger_on_first_use=True,
        )

    def close_over(self, names: Iterable[str]) -> None:
        """Add names that this process knew before any request came: they may be logged."""
        self._closed.update(names)

    def _check(self, fields: dict[str, object]) -> None:
        for name, value in fields.items():
            if name not in FIELDS:
                raise TypeError(name)
            if not isinstance(value, _SCALARS) and name != "rid" and value not in self._closed:
                raise TypeError(name)

    def info(self, event: Event, **fields: object) -> None:
        self._check(fields)
        self._log.info(event.value, **fields)

    def request(self, **fields: object) -> None:
        """The one line of a request."""
        self.info(Event.REQUEST, **fields)

    def warning(self, event: Event, **fields: object) -> None:
        self._check(fields)
        self._log.warning(event.value, **fields)

    def error(self, event: Event, **fields: object) -> None:
        self._check(fields)
        self._log.error(event.value, **fields)

    def failure(self, event: Event, error: BaseException, **fields: object) -> None:
        """Log that ``error`` happened: its type's name, and the line of our own code that raised it."""
        name, where = type(error).__name__, _own_frame(error)
        self._closed.update((name, where))
        self.error(event, error=name, where=where, **fields)


def _own_frame(error: BaseException) -> str:
    """``module:line`` of the innermost frame of this project; no locals are looked at."""
    place, trace = "unknown", error.__traceback__
    while trace is not None:
        module = trace.tb_frame.f_globals.get("__name__", "")
        if module.split(".", 1)[0] in {"gateway", "metering", "providers"}:
            place = f"{module}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place


def _dumps(fields: object, **_options: object) -> bytes:
    return orjson.dumps(fields)
