"""One log line for each request that the gateway refused, so that its ``x-request-id`` can be found.

If there are too many, some lines are omitted: the next line says how many, and a counter counts all of them.
"""

from __future__ import annotations

from enum import Enum
from http import HTTPMethod
from typing import Final

from gateway.errors import GatewayError
from gateway.http.pace import Pace
from gateway.names import Closed, Rid
from gateway.telemetry.instruments import Instruments, codes
from gateway.telemetry.log import Fields, Log
from providers.dialect import Operation

LINES_PER_MINUTE = 600  # of one worker
_METHODS: Final = {method.value: method for method in HTTPMethod}


class Refusals:
    """What one worker refused."""

    def __init__(self, log: Log, instruments: Instruments, *, pace: Pace | None = None) -> None:
        self._log = log
        self._instruments = instruments
        self._pace = Pace(LINES_PER_MINUTE) if pace is None else pace
        self._codes = {code: Closed(code) for code in codes()}
        self._left_out = 0
        log.close_over(self._codes)

    def note(self, error: GatewayError, rid: Rid, method: str, asked: Enum) -> None:
        """Count a refusal and log it.

        Args:
            error: What is answered.
            rid: The request's id.
            method: As sent; one that is none of HTTP's is not logged.
            asked: The operation that was asked for, else the kind of its path.
        """
        self._instruments.refused.inc(error.code)
        if not self._log.requests:
            return
        if self._pace.wait(""):
            self._left_out += 1
            self._instruments.refusals_left_out.add(1)
            return
        self._pace.add("")
        fields: Fields = {"rid": rid, "status": error.status, "code": self._codes[error.code]}
        if method in _METHODS:
            fields["method"] = _METHODS[method]
        if isinstance(asked, Operation):
            fields["operation"] = asked
        else:
            fields["surface"] = asked
        if self._left_out:
            fields["left_out"] = self._left_out
            self._left_out = 0
        self._log.refused(**fields)
