"""The log: one JSON object per line, with an event name and fields that cannot contain content.

Rules:

1. The event is an `Event`, the fields are `Fields`: the type checker refuses anything else, and so
   does `Log` at run time, in tests and in production.
2. A value is a number, a member of an enumeration, a request id, or a `Closed` name: one that the process knew before
   any request (`close_over`), such as the name of a configured provider. A plain ``str``, and so a client's text, is
   refused.
3. No account id, session id, process id or address is logged. A request id is random and reveals nothing.
4. Exceptions are logged as the name of their type and their location in the gateway's code. Their text and locals may
   contain content.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import suppress
from enum import Enum, StrEnum
from http import HTTPMethod
from pathlib import Path
from typing import Any, TypedDict, Unpack

import orjson
import structlog

from gateway.names import LOG_LEVELS, Closed, Rid, is_rid
from gateway.telemetry.log_file import KEEP_DAYS, LogFile
from metering.usage import Basis, Outcome
from providers.dialect import Operation


class Event(StrEnum):
    STARTED = "started"
    STOPPED = "stopped"  # while it started: nothing was served
    START_FAILED = "start_failed"  # what kept a worker from serving; its process ends with status 1
    DRAINING = "draining"
    DRAINED = "drained"
    REQUEST = "request"
    REFUSED = "refused"  # a request, by the gateway itself; ``left_out``: how many were omitted since the last line
    CONNECTIONS_FULL = "connections_full"  # how many clients' were refused or displaced since the last such line
    HANDLER_FAILED = "handler_failed"
    LOOP_ERROR = "loop_error"
    CRASHED = "crashed"  # an exception that nobody caught
    UNRAISABLE = "unraisable"  # one that could not be caught, in a destructor or a callback
    WARNED = "warned"  # a Python warning: only its category
    STORE_FAULT = "store_fault"
    STORE_AWAY = "store_away"
    STORE_BACK = "store_back"
    COLLECTOR_AWAY = "collector_away"  # of OpenTelemetry: it took no export
    COLLECTOR_BACK = "collector_back"
    SETTLEMENT_REFUSED = "settlement_refused"
    WORKER_STARTED = "worker_started"
    WORKER_DIED = "worker_died"
    RESTARTING = "restarting"  # SIGUSR2: new workers replace the old ones, whose number it says
    RESTARTED = "restarted"  # all new ones serve; the old ones end after their running requests
    RESTART_REFUSED = "restart_refused"  # the file has faults, or a new worker does not serve; old ones stay
    WORKER_LEFT = "worker_left_unsettled"  # one that was replaced; others adopt its spool
    BILLING_LAGS = "billing_lags"
    RECORDS_UNREAD = "records_deleted_unread"
    RETENTION_FAILED = "retention_failed"
    PRICES_CHANGED = "prices_changed"
    PRICE_CHANGE_FAILED = "price_change_failed"
    CERTIFICATE_RENEWED = "certificate_renewed"  # the listener's: new connections get it
    CERTIFICATE_REFUSED = "certificate_refused"  # its files changed into something that cannot serve
    PROVIDER_ACCOUNT_FAULT = "provider_account_fault"  # a provider refuses the operator's key or account: act
    TOKEN_UNAVAILABLE = "token_unavailable"  # noqa: S105 - none was issued for a provider that is asked with one
    REGION_ASTRAY = "region_astray"  # an answer states another region than the promised one: alarm
    ANSWER_UNREADABLE = "answer_unreadable"  # of a coding or content type that is not known here: alarm
    USAGE_UNPRICED = "usage_unpriced"  # a provider stated something that has no price here
    USAGE_SUSPECT = "usage_suspect"  # a provider's counts contradict each other
    RELOADED = "reloaded"  # the configuration: how many names changed
    SETTING_CHANGED = "setting_changed"  # by a reload: a table or key, or a name in one
    SETTING_WAITS = "setting_waits"  # it differs in the file, and takes effect at the next start
    RELOAD_REFUSED = "reload_refused"  # the file has faults; the old configuration stays
    SWITCHES_CHANGED = "switches_changed"  # ``count``: how many providers, models and keys are off now
    DEVELOPMENT_SIGN_IN = "development_sign_in"  # the portal signs in anybody on this machine


class NoRecord(StrEnum):
    """How a request without a usage record ended, if no `Outcome` says it."""

    PROVIDER_ERROR = "provider_error"


class Fields(TypedDict, total=False):
    """Every field that a line can have, and the closed types that it can hold."""

    rid: Rid
    operation: Operation
    method: HTTPMethod
    surface: Enum  # the kind of its path, if it has no operation
    translated: Enum  # the dialect in which the request went on, if that is not the caller's
    provider: Closed
    model: Closed
    setting: Closed  # its name in gateway.toml
    status: int
    code: Closed
    fault: Enum
    key: int
    region: Enum
    outcome: Outcome | NoRecord
    basis: Basis
    input_tokens: int
    cache_read_tokens: int
    output_tokens: int
    charge: int
    first_byte_ms: int
    duration_ms: int
    attempts: int
    worker: int
    workers: int
    port: int
    internal_port: int
    seconds: float
    count: int
    left_out: int


FIELDS = frozenset(Fields.__annotations__) | {"error", "where"}  # the last two are `failure`'s own

_SCALARS = (int, float, bool, Enum, type(None))


class _StandardError:
    """What `structlog.BytesLogger` writes to without a file. It may be a file on a full disk, or a pipe that nobody
    reads any more: lines are lost, but no request fails.
    """

    def write(self, line: bytes) -> None:
        buffer = sys.stderr.buffer
        with suppress(OSError):
            # Unbuffered: what a buffer could not write would fail again with each later line.
            getattr(buffer, "raw", buffer).write(line)

    def flush(self) -> None:
        """Nothing is buffered here."""


class Log:
    """The one way to log. Built once a process."""

    def __init__(self, level: str = "info", file: Path | None = None, keep_days: int = KEEP_DAYS) -> None:
        self._file = None if file is None else LogFile(file, keep_days)
        stream: Any = _StandardError() if self._file is None else self._file
        self._closed: set[str] = set()
        self.requests = LOG_LEVELS.index(level) <= LOG_LEVELS.index("info")  # whether a request's line is wanted at all
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
        """Add names that this process knew before any request: they may be logged."""
        self._closed.update(names)

    def tick(self) -> None:
        """Rename a log file at the end of its day even if nothing is written. Call it now and then."""
        if self._file is not None:
            self._file.tick()

    def _check(self, fields: Fields) -> None:
        for name, value in fields.items():
            if name not in FIELDS:
                raise TypeError(name)
            if isinstance(value, _SCALARS) or value in self._closed:
                continue
            if name != "rid" or not isinstance(value, str) or not is_rid(value):
                raise TypeError(name)

    def info(self, event: Event, **fields: Unpack[Fields]) -> None:
        self._check(fields)
        self._log.info(event.value, **fields)

    def request(self, **fields: Unpack[Fields]) -> None:
        """The one line of a request."""
        self.info(Event.REQUEST, **fields)

    def refused(self, **fields: Unpack[Fields]) -> None:
        """The one line of a request that the gateway itself refused (`gateway.api.refusals`)."""
        self.info(Event.REFUSED, **fields)

    def warning(self, event: Event, **fields: Unpack[Fields]) -> None:
        self._check(fields)
        self._log.warning(event.value, **fields)

    def error(self, event: Event, **fields: Unpack[Fields]) -> None:
        self._check(fields)
        self._log.error(event.value, **fields)

    def failure(self, event: Event, error: BaseException, **fields: Unpack[Fields]) -> None:
        """Log ``error``: the name of its type, and the line of the gateway's code that raised it."""
        self._check(fields)
        self._log.error(event.value, error=type(error).__name__, where=own_frame(error), **fields)

    def warned(self, category: type[Warning]) -> None:
        """Log that the interpreter or a library warned; the text may quote anything."""
        self._log.warning(Event.WARNED.value, error=category.__name__)


def own_frame(error: BaseException) -> str:
    """``module:line`` of the innermost frame of this project; without locals."""
    place, trace = "unknown", error.__traceback__
    while trace is not None:
        module = trace.tb_frame.f_globals.get("__name__", "")
        if module.split(".", 1)[0] in {"gateway", "metering", "providers"}:
            place = f"{module}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place


def _dumps(fields: object, **_options: object) -> bytes:
    return orjson.dumps(fields)
