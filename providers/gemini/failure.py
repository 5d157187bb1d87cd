"""What Google's errors mean when they come inside a good status.

https://google.aip.dev/193
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from providers.dialect import ProviderError

_STATUSES: Final = {
    "INVALID_ARGUMENT": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}

_encode = msgspec.json.Encoder().encode


def provider_error(error: Any) -> ProviderError:
    """The error that an ``error`` member holds, whatever its form."""
    if not isinstance(error, dict):
        error = {"code": 502, "message": error if isinstance(error, str) else "", "status": "UNAVAILABLE"}
    code, name = error.get("code"), error.get("status")
    status = code if type(code) is int and 400 <= code <= 599 else None
    if status is None:
        status = _STATUSES.get(name, 502) if isinstance(name, str) else 502
    return ProviderError(status, _encode({"error": error}))
