"""What OpenAI's errors mean when they come inside a good status, and those of hosts that speak its format.

The status is read from the error's own code first, then from its type, then from a number that it carries.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from providers.dialect import ProviderError

_STATUSES: Final = {
    "invalid_request_error": 400,
    "context_length_exceeded": 400,
    "insufficient_quota": 429,
    "rate_limit_exceeded": 429,
    "server_error": 500,
    "server_is_overloaded": 503,
}

_encode = msgspec.json.Encoder().encode


def provider_error(error: Any) -> ProviderError:
    """The error that an ``error`` member holds, whatever its form."""
    if not isinstance(error, dict):
        error = {
            "message": error if isinstance(error, str) else "",
            "type": "server_error",
            "param": None,
            "code": None,
        }
    return ProviderError(_status(error), _encode({"error": error}))


def _status(error: dict[str, Any]) -> int:
    for name in ("code", "type", "status", "status_code"):
        value = error.get(name)
        if isinstance(value, str):
            value = _STATUSES.get(value, value)
        if isinstance(value, str) and value.isdigit():
            value = int(value)
        if type(value) is int and 400 <= value <= 599:
            return value
    return 502
