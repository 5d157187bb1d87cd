"""Turns the gateway's own answers into HTTP responses: errors in the caller's dialect, and JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from aiohttp import web
from multidict import CIMultiDict

from gateway.errors import CreditsExhausted, GatewayError
from providers.dialect import Family
from providers.errors import content_type, error_body

if TYPE_CHECKING:
    from metering.ledger.ledger import Window  # the local broker answers too, and loads no store

SERVER_NAME = "codegrex"  # aiohttp's own would tell its version and Python's
LONGEST_SDK_SLEEP = 30.0  # above it SDKs would sleep the full value with nobody watching


def error_response(error: GatewayError, family: Family | None, rid: str) -> web.Response:
    """The answer for ``error`` in the form that the caller's SDK raises its own exception from."""
    amounts = None
    if isinstance(error, CreditsExhausted):
        amounts = {"needed": error.needed, "held": error.held, "available": error.available}
    body = error_body(
        family,
        error.status,
        error.code,
        error.message,
        request_id=rid,
        retry_after=error.retry_after,
        param=error.param,
        amounts=amounts,
    )
    headers: CIMultiDict[str] = CIMultiDict(
        {
            "Server": SERVER_NAME,
            "Content-Type": content_type(family),
            "x-request-id": rid,
            "x-error-origin": "gateway",
            "x-error-code": error.code,
        }
    )
    if family is Family.ANTHROPIC:
        headers["request-id"] = rid
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    should_retry = error.should_retry
    if should_retry is None and error.retry_after is not None and error.retry_after > LONGEST_SDK_SLEEP:
        should_retry = False
    if should_retry is not None:
        headers["x-should-retry"] = "true" if should_retry else "false"
    headers.update(error.headers)
    return web.Response(body=body, status=error.status, headers=headers)


def json_response(body: bytes, rid: str, *, headers: dict[str, str] | None = None) -> web.Response:
    """A 200 of the gateway's own."""
    return web.Response(
        body=body,
        headers={"Content-Type": "application/json", "Server": SERVER_NAME, "x-request-id": rid, **(headers or {})},
    )


_POLICY_PARAMETERS = {
    # No window: what is counted is what runs now. A month has none either, in seconds that are true every month.
    "concurrency": ';qu="concurrent-requests"',
    "requests": ";w=60",
    "tokens": ";w=60",
    "daily": ";w=86400",
    "monthly": "",
}


def rate_limit_headers(windows: Sequence[Window]) -> dict[str, str]:
    """``RateLimit`` and ``RateLimit-Policy`` (IETF draft-ietf-httpapi-ratelimit-headers-10), in seconds."""
    if not windows:
        return {}
    return {
        "RateLimit-Policy": ", ".join(
            f'"{window.policy}";q={window.limit}{_POLICY_PARAMETERS[window.policy]}' for window in windows
        ),
        "RateLimit": ", ".join(
            f'"{window.policy}";r={window.remaining}'
            + ("" if window.policy == "concurrency" else f";t={-(-window.reset_ms // 1000)}")
            for window in windows
        ),
    }
