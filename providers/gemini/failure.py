"""Google's errors inside a 2xx answer.

``error.code`` is the HTTP status, ``error.status`` the name of a `google.rpc.Code`, and ``RetryInfo`` in the details
the time to wait: https://google.aip.dev/193 and google/rpc/code.proto.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from providers.answers.error_status import as_status, status_of
from providers.dialect import ProviderError

_STATUSES: Final = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ABORTED": 409,
    "ALREADY_EXISTS": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "INTERNAL": 500,
    "UNKNOWN": 500,
    "DATA_LOSS": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
# The numbers of google.rpc.Code, for hosts that send them instead of the HTTP status.
_CODES: Final = {
    1: 499, 2: 500, 3: 400, 4: 504, 5: 404, 6: 409, 7: 403, 8: 429, 9: 400, 10: 409, 11: 400, 12: 501, 13: 500,
    14: 503, 15: 500, 16: 401,
}  # fmt: skip
_SECONDS = re.compile(r"(\d{1,6}(?:\.\d{1,9})?)s")

_encode = msgspec.json.Encoder().encode


def provider_error(error: Any) -> ProviderError:
    """The error in an ``error`` member, whatever its form."""
    if isinstance(error, list) and error:
        error = error[0]
    if isinstance(error, dict) and isinstance(error.get("error"), dict):
        error = error["error"]
    if not isinstance(error, dict):
        error = {"message": error if isinstance(error, str) else ""}
    status = _status(error)
    whole = {"code": status, "message": "", "status": _name(status)}
    whole |= {name: value for name, value in error.items() if value is not None}
    whole["code"] = status
    return ProviderError(status, _encode({"error": whole}), _retry_after(error.get("details")))


def _status(error: dict[str, Any]) -> int:
    code, name = error.get("code"), error.get("status")
    number = as_status(code)
    if number is None and isinstance(name, str):
        number = _STATUSES.get(name.upper())
    if number is None and type(code) is int:
        number = _CODES.get(code)
    return number or status_of(error)


def _name(status: int) -> str:
    return next((name for name, number in _STATUSES.items() if number == status), "UNKNOWN")


def _retry_after(details: object) -> float | None:
    for detail in details if isinstance(details, list) else ():
        delay = detail.get("retryDelay") if isinstance(detail, dict) else None
        if isinstance(delay, dict):  # a google.protobuf.Duration that is an object instead of a string
            delay = f"{delay.get('seconds', 0)}s"
        found = _SECONDS.fullmatch(delay) if isinstance(delay, str) else None
        if found is not None:
            return float(found.group(1))
    return None
