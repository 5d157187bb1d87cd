"""The gateway's errors in the form of each dialect, so that SDKs raise their own exceptions.

Rules that everything here obeys:

1. Every body carries the stable machine code, in the place where the SDK of that family exposes it:
   OpenAI ``error.code``, Anthropic ``error.details.error_code``, Google ``ErrorInfo.reason``.
2. Messages are fixed sentences of this code base; nothing of the request or the answer is quoted.
3. An error in the middle of a stream is the dialect's own error event, and nothing that looks like a clean
   end follows it: no ``[DONE]``, no ``message_stop``, no finish reason.
4. If a dialect has no error event that its SDK raises (a JSON array, a JSON body), the event is
   empty: the caller must abort the connection, so that the client sees the cut.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import msgspec

from providers.dialect import Family, Operation

DOMAIN: Final = "codegrex-gateway"
"""``ErrorInfo.domain``: the system that defines the reason (https://google.aip.dev/193)."""

_OPENAI_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "invalid_request_error",
    405: "invalid_request_error",
    413: "invalid_request_error",
    415: "invalid_request_error",
    426: "invalid_request_error",
    429: "rate_limit_error",
}
# https://platform.claude.com/docs/en/api/errors
_ANTHROPIC_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "request_too_large",
    415: "invalid_request_error",
    426: "invalid_request_error",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
# https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto; HTTP 402 has no code
# there, and RESOURCE_EXHAUSTED would make clients wait for credits that do not come back.
_GOOGLE_STATUSES: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "FAILED_PRECONDITION",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    413: "INVALID_ARGUMENT",
    415: "INVALID_ARGUMENT",
    426: "FAILED_PRECONDITION",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}

_encode = msgspec.json.Encoder().encode


def content_type(family: Family | None) -> str:
    """The ``Content-Type`` of `error_body`."""
    return "application/problem+json" if family is None else "application/json"


def error_body(
    family: Family | None,
    status: int,
    code: str,
    message: str,
    *,
    request_id: str,
    retry_after: float | None = None,
    param: str | None = None,
    amounts: Mapping[str, int] | None = None,
) -> bytes:
    """The body of an error answer.

    Args:
        family: The API whose form it has; None for problem details (RFC 9457).
        status: The HTTP status of the answer.
        code: The stable machine code.
        message: A fixed sentence.
        request_id: The value of ``x-request-id``.
        retry_after: Seconds, if the answer has ``Retry-After``.
        param: The member at fault, as the API documents it.
        amounts: Numbers that belong to the code (``needed``, ``held``, ``available``).
    """
    fault = _Fault(status, code, message, request_id, retry_after, param, amounts or {})
    return _encode(_BODIES[family](fault))


def error_event(
    operation: Operation,
    status: int,
    code: str,
    message: str,
    *,
    request_id: str,
    retry_after: float | None = None,
    sequence: int = 0,
    sse: bool = True,
) -> bytes:
    """The error event to send at an event boundary of a stream; the caller closes the stream after it.

    Args:
        operation: The operation of the stream.
        status: The status that the answer would have had before its start.
        code: The stable machine code.
        message: A fixed sentence.
        request_id: The value of ``x-request-id``.
        retry_after: Seconds, if there is a time to wait.
        sequence: For the Responses API, the next ``sequence_number``: the number of events sent so far.
        sse: The answer is an event stream. If it is not, the result is empty: abort instead.
    """
    if not sse:
        return b""
    fault = _Fault(status, code, message, request_id, retry_after)
    if operation in _RESPONSES:
        return _responses_events(fault, sequence)
    return _FRAMES[operation.family] % _encode(_BODIES[operation.family](fault))


def event_of_body(operation: Operation, body: bytes) -> bytes:
    """A provider's error body as the first event of a stream: the events of each API hold what its bodies hold.

    Empty if it is not an error of this API.
    """
    try:
        error = msgspec.json.decode(body)
        line = msgspec.json.format(body, indent=-1)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return b""
    if isinstance(error, list) and len(error) == 1:  # as Google does where no event stream was asked for
        error = error[0]
        line = _encode(error)
    inner = error.get("error") if isinstance(error, dict) else None
    if not isinstance(inner, dict):
        return b""
    if operation not in _RESPONSES:
        return _FRAMES[operation.family] % line
    code, message = inner.get("code") or inner.get("type"), inner.get("message")
    fault = _Fault(0, str(code or "upstream_error"), str(message or ""), "")
    return _responses_events(fault, 0, inner)


_RESPONSES: Final = frozenset((Operation.OPENAI_RESPONSES, Operation.OPENAI_COMPACT))
_FRAMES: Final = {
    Family.OPENAI: b"data: %b\n\n",
    Family.ANTHROPIC: b"event: error\ndata: %b\n\n",
    Family.GOOGLE: b"data: %b\r\n\r\n",
}
_TYPE: Final = "type.googleapis.com/google.rpc."


class _Fault(NamedTuple):
    status: int
    code: str
    message: str
    request_id: str
    retry_after: float | None = None
    param: str | None = None
    amounts: Mapping[str, int] = MappingProxyType({})


def _openai(fault: _Fault) -> dict[str, Any]:
    kind = _OPENAI_TYPES.get(fault.status, "server_error" if fault.status >= 500 else "invalid_request_error")
    error = {"message": fault.message, "type": kind, "param": fault.param, "code": fault.code}
    return {"error": error | dict(fault.amounts)}


def _anthropic(fault: _Fault) -> dict[str, Any]:
    kind = _ANTHROPIC_TYPES.get(fault.status, "api_error" if fault.status >= 500 else "invalid_request_error")
    details: dict[str, Any] = {"error_code": fault.code}
    if fault.param is not None:
        details["param"] = fault.param
    details |= fault.amounts
    error = {"type": kind, "message": fault.message, "details": details}
    return {"type": "error", "error": error, "request_id": fault.request_id}


def _google(fault: _Fault) -> dict[str, Any]:
    # https://google.aip.dev/193: ErrorInfo is the machine-readable part, its metadata are strings.
    info: dict[str, Any] = {"@type": _TYPE + "ErrorInfo", "reason": fault.code.upper(), "domain": DOMAIN}
    if fault.amounts:
        info["metadata"] = {name: str(value) for name, value in fault.amounts.items()}
    details = [info, {"@type": _TYPE + "RequestInfo", "requestId": fault.request_id}]
    if fault.retry_after is not None:
        delay = f"{fault.retry_after:.3f}".rstrip("0").rstrip(".") + "s"
        details.append({"@type": _TYPE + "RetryInfo", "retryDelay": delay})
    if fault.param is not None:
        violation = {"field": fault.param, "description": fault.message}
        details.append({"@type": _TYPE + "BadRequest", "fieldViolations": [violation]})
    status = _GOOGLE_STATUSES.get(fault.status, "UNKNOWN" if fault.status >= 500 else "INVALID_ARGUMENT")
    error = {"code": fault.status, "message": fault.message, "status": status, "details": details}
    return {"error": error}


def _problem(fault: _Fault) -> dict[str, Any]:
    problem: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(fault.status).phrase,
        "status": fault.status,
        "detail": fault.message,
        "code": fault.code,
        "request_id": fault.request_id,
    }
    if fault.param is not None:
        problem["param"] = fault.param
    return problem | dict(fault.amounts)


_BODIES: Final[dict[Family | None, Callable[[_Fault], dict[str, Any]]]] = {
    Family.OPENAI: _openai,
    Family.ANTHROPIC: _anthropic,
    Family.GOOGLE: _google,
    None: _problem,
}


def _responses_events(fault: _Fault, sequence: int, nested: Mapping[str, Any] | None = None) -> bytes:
    # The documented event is flat, but the API really sends a nested object, and the SDK raises on
    # that: this event has both forms. Agents that skip it act on `response.failed`.
    flat = {"code": fault.code, "message": fault.message, "param": None}
    error = (
        {"type": "error", "sequence_number": sequence}
        | flat
        | (_openai(fault) if nested is None else {"error": nested})
    )
    response: dict[str, Any] = {
        "id": fault.request_id,
        "object": "response",
        "status": "failed",
        "error": {"code": fault.code, "message": fault.message},
        "output": [],
        "usage": None,
    }
    failed = {"type": "response.failed", "sequence_number": sequence + 1, "response": response}
    return b"event: error\ndata: %b\n\nevent: response.failed\ndata: %b\n\n" % (
        _encode(error),
        _encode(failed),
    )
