"""What Anthropic's errors mean when they come inside a good status.

https://platform.claude.com/docs/en/api/errors; the type decides. Hosts that speak the format send the errors of
others through it, so a number is read too.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from providers.dialect import ProviderError
from providers.openai.failure import retry_after_of, status_of

_STATUSES: Final = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}

_encode = msgspec.json.Encoder().encode


def provider_error(event: Any) -> ProviderError:
    """The error that an ``error`` event or an error body is, whatever its form."""
    whole = event if isinstance(event, dict) else {}
    error = whole.get("error") if "error" in whole else event
    if isinstance(error, dict) and isinstance(error.get("error"), dict):
        error = error["error"]
    if not isinstance(error, dict):
        error = {"message": error if isinstance(error, str) else ""}
    kind = error.get("type")
    status = _STATUSES.get(kind) if isinstance(kind, str) else None
    status = status or status_of(error)
    if not isinstance(kind, str) or kind == "error":
        error = error | {"type": next((name for name, number in _STATUSES.items() if number == status), "api_error")}
    if not isinstance(error.get("message"), str):
        error = error | {"message": ""}
    body: dict[str, Any] = {"type": "error", "error": error}
    if isinstance(whole.get("request_id"), str):
        body["request_id"] = whole["request_id"]
    return ProviderError(status, _encode(body), retry_after_of(error))
