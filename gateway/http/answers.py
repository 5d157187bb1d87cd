"""The gateway's own answers: errors in the caller's dialect, refusals, and JSON.

The pure readers of `providers` refuse with a code and a sentence, which become an error of the tree here. The local
broker uses the same functions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
from aiohttp import web
from multidict import CIMultiDict

from gateway.errors import (
    Conflict,
    CreditsExhausted,
    GatewayError,
    IncapableModel,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    NotReloaded,
    PrivacyUnsupported,
    RetentionUnavailable,
    ThreadUnsupported,
    UnsupportedFeature,
)
from gateway.http.request import linger
from gateway.http.server import reset
from metering.usage import MICRO_CREDITS
from providers.dialect import Family, Refusal
from providers.errors import content_type, error_body
from providers.paths import PathFault

if TYPE_CHECKING:
    from metering.ledger.ledger import Window  # the local broker answers too, and loads no store

TOOLS_REMOVED = "x-tools-removed"
SERVER_NAME = "codegrex"  # aiohttp's own would reveal its version and Python's
LONGEST_SDK_SLEEP = 30.0  # above it, SDKs would sleep the full value and show nothing

_ERRORS: dict[str, type[GatewayError]] = {
    error.code: error for error in (InvalidRequest, UnsupportedFeature, PrivacyUnsupported, ThreadUnsupported)
}


class Problem(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """RFC 9457, with the gateway's stable ``code``. ``rev``: the current rank of the record, if the
    correction named another one.
    """

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    param: str | None = None
    rev: int | None = None


def error_of_refusal(refusal: Refusal) -> GatewayError:
    """What a dialect refuses."""
    return _ERRORS[refusal.code](refusal.message, param=refusal.param)


def error_of_path(fault: PathFault) -> GatewayError:
    """What is not served under a path."""
    if fault.status == 405:
        return MethodNotAllowed(", ".join(fault.allow))
    if fault.status == 404:
        return NotFound(fault.message)
    return _ERRORS.get(fault.code, InvalidRequest)(fault.message)


def sentence(error: GatewayError) -> str:
    """The error's message for people, with its numbers (credits as decimals, the time to wait in seconds) and names."""
    parts = [error.message]
    if isinstance(error, CreditsExhausted):
        parts.append(
            f"Needed: {_credits(error.needed)} credits; available: {_credits(error.available)}; "
            f"held by running requests: {_credits(error.held)}."
        )
    if isinstance(error, RetentionUnavailable):
        parts.append(f"Allowed: {error.limit} days; the shortest that a provider keeps them: {error.least} days.")
    if isinstance(error, IncapableModel) and error.model:
        parts.append(f"Model: {error.model}. GET /v1/models states what each model can do.")
    if isinstance(error, NotReloaded):
        parts += error.faults
    if error.retry_after is not None and error.status in {402, 429}:
        seconds = _seconds(error.retry_after)
        parts.append(f"Try again in {seconds} second{'' if seconds == 1 else 's'}.")
    return " ".join(parts)


def _credits(micro: int) -> str:
    whole, rest = divmod(abs(micro), MICRO_CREDITS)
    return f"{'-' if micro < 0 else ''}{whole}.{rest:06d}".rstrip("0").rstrip(".")


def _seconds(retry_after: float) -> int:
    return max(1, math.ceil(retry_after))


def error_response(error: GatewayError, family: Family | None, rid: str) -> web.Response:
    """The answer for ``error`` in the form that the caller's SDK raises its own exception from."""
    amounts = None
    if isinstance(error, CreditsExhausted):
        amounts = {"needed": error.needed, "held": error.held, "available": error.available}
    elif isinstance(error, Conflict) and error.rev is not None:
        amounts = {"rev": error.rev}
    body = error_body(
        family,
        error.status,
        error.code,
        sentence(error),
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
        headers["Retry-After"] = str(_seconds(error.retry_after))
    should_retry = error.should_retry
    if should_retry is None and error.retry_after is not None and error.retry_after > LONGEST_SDK_SLEEP:
        should_retry = False
    if should_retry is not None:
        headers["x-should-retry"] = "true" if should_retry else "false"
    headers.update(error.headers)
    return web.Response(body=body, status=error.status, headers=headers)


async def send_refusal(request: web.BaseRequest, response: web.Response) -> web.Response:
    """Answer with an error. While a body is still arriving, linger and close (design 3, step 1)."""
    if request.writer.output_size > 0:
        transport = request.transport
        if transport is not None and not transport.is_closing():
            reset(transport)  # an answer had begun: it must not look complete
        return response
    if not request.content.is_eof():
        response.force_close()
        await response.prepare(request)
        await response.write_eof()
        await linger(request)
    return response


def json_response(body: bytes, rid: str, *, headers: dict[str, str] | None = None) -> web.Response:
    """A 200 that the gateway itself answers."""
    return web.Response(
        body=body,
        headers={"Content-Type": "application/json", "Server": SERVER_NAME, "x-request-id": rid, **(headers or {})},
    )


_POLICY_PARAMETERS = {
    # No window: concurrency counts running requests. A month has none either, since its length varies.
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
