"""Anthropic's errors inside a 2xx answer.

https://platform.claude.com/docs/en/api/errors; the type decides. Compatible hosts send errors of other
formats too, so a number is also read.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from providers.answers.error_status import retry_after_of, status_of
from providers.dialect import ProviderError

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

_TYPES: Final = {status: kind for kind, status in _STATUSES.items()}

_encode = msgspec.json.Encoder().encode


def provider_error(event: Any) -> ProviderError:
    """The error in an ``error`` event or an error body, whatever its form."""
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
        error = error | {"type": _TYPES.get(status, "api_error")}
    if not isinstance(error.get("message"), str):
        error = error | {"message": ""}
    body: dict[str, Any] = {"type": "error", "error": error}
    if isinstance(whole.get("request_id"), str):
        body["request_id"] = whole["request_id"]
    return ProviderError(status, _encode(body), retry_after_of(error))


def error_body(status: int, message: str) -> bytes:
    """An error body with the type that belongs to a status; ``message`` is the provider's."""
    kind = _TYPES.get(status) or ("api_error" if status >= 500 else "invalid_request_error")
    return _encode({"type": "error", "error": {"type": kind, "message": message}})
