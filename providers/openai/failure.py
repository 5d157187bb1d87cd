"""Errors inside a 2xx answer of OpenAI, and of hosts that use its format.

`providers.answers.error_status` reads the status that they stand for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from providers.answers.error_status import retry_after_of, status_of
from providers.dialect import ProviderError

_encode = msgspec.json.Encoder().encode


def provider_error(error: Any) -> ProviderError:
    """The error in an ``error`` member, or in an object that is an error itself, whatever its form."""
    while isinstance(error, dict) and isinstance(error.get("error"), dict):
        error = error["error"]
    if isinstance(error, list) and error:
        error = error[0]
    if not isinstance(error, dict):
        error = {"message": error if isinstance(error, str) else ""}
    status = status_of(error)
    whole = {"message": _message(error), "type": _default_type(status), "param": None, "code": None} | {
        name: value for name, value in error.items() if value is not None and name not in {"object", "sequence_number"}
    }
    if whole["type"] == "error":  # an event of the Responses API
        whole["type"] = _default_type(status)
    return ProviderError(status, _encode({"error": whole}), retry_after_of(error))


def _message(error: Mapping[str, Any]) -> str:
    for name in ("detail", "msg", "status_msg"):
        if isinstance(error.get(name), str):
            return str(error[name])
    return ""


def _default_type(status: int) -> str:
    return "rate_limit_error" if status == 429 else "invalid_request_error" if status < 500 else "server_error"
