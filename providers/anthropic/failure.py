"""What Anthropic's errors mean when they come inside a good status.

https://platform.claude.com/docs/en/api/errors
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from providers.dialect import ProviderError

_STATUSES: Final = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}

_encode = msgspec.json.Encoder().encode


def provider_error(error: Any) -> ProviderError:
    """The error that an ``error`` member holds, whatever its form."""
    if not isinstance(error, dict):
        error = {"type": "api_error", "message": error if isinstance(error, str) else ""}
    kind = error.get("type")
    status = _STATUSES.get(kind, 502) if isinstance(kind, str) else 502
    return ProviderError(status, _encode({"type": "error", "error": error}))
