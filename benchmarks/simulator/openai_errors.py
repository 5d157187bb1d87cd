"""OpenAI's response headers and error bodies, as recorded and as its documentation states them."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.simulator.exchange import Call, Reply, http_date, identifier

JSON = b"application/json"
_HEADERS = (
    b"Date: %b\r\nContent-Type: %b\r\nServer: cloudflare\r\nCF-RAY: 9b1225071c71102c-LAX\r\n"
    b"cf-cache-status: DYNAMIC\r\nopenai-organization: sim-organization\r\nopenai-project: proj_simulated\r\n"
    b"openai-processing-ms: 12\r\nopenai-version: 2020-10-01\r\nx-envoy-upstream-service-time: 14\r\n"
    b"x-openai-proxy-wasm: v0.1\r\nx-ratelimit-limit-requests: 30000\r\nx-ratelimit-limit-tokens: 150000000\r\n"
    b"x-ratelimit-remaining-requests: 29999\r\nx-ratelimit-remaining-tokens: 149999227\r\n"
    b"x-ratelimit-reset-requests: 2ms\r\nx-ratelimit-reset-tokens: 0s\r\nx-request-id: %b\r\n"
    b"set-cookie: __cf_bm=simulated; path=/; HttpOnly; Secure; SameSite=None\r\n"
    b"strict-transport-security: max-age=31536000; includeSubDomains; preload\r\n"
    b"X-Content-Type-Options: nosniff\r\naccess-control-expose-headers: X-Request-ID\r\n"
    b'alt-svc: h3=":443"; ma=86400\r\n'
)


def headers(call: Call, content_type: bytes = JSON) -> bytes:
    """The header lines of an answer, without framing."""
    return _HEADERS % (http_date(), content_type, call.bill.id.encode())


def request_id(number: int) -> str:
    return f"req_{identifier(number, 32)}"


# fault -> (status, message, type, param, code)
_ERRORS: dict[str, tuple[int, str, str, str | None, str | None]] = {
    "400": (
        400,
        "This model's maximum context length is 128000 tokens. Please reduce the length of the messages.",
        "invalid_request_error",
        "messages",
        "context_length_exceeded",
    ),
    "invalid": (400, "We could not parse the JSON body of your request.", "invalid_request_error", None, None),
    "401": (401, "Incorrect API key provided.", "invalid_request_error", None, "invalid_api_key"),
    "402": (402, "Your account has no credit left.", "insufficient_quota", None, "billing_not_active"),
    "403": (
        403,
        "Project `proj_simulated` does not have access to this model.",
        "invalid_request_error",
        None,
        "model_not_found",
    ),
    "404": (
        404,
        "The model does not exist or you do not have access to it.",
        "invalid_request_error",
        None,
        "model_not_found",
    ),
    "413": (413, "The request body is too large.", "invalid_request_error", None, None),
    "429": (
        429,
        "Rate limit reached for requests. Please try again in 2s.",
        "requests",
        None,
        "rate_limit_exceeded",
    ),
    "quota": (
        429,
        "You exceeded your current quota, please check your plan and billing details.",
        "insufficient_quota",
        None,
        "insufficient_quota",
    ),
    "500": (500, "The server had an error while processing your request.", "server_error", None, None),
    "503": (503, "The engine is currently overloaded, please try again later.", "server_error", None, None),
}
_ERRORS["529"] = _ERRORS["503"]


def error_object(fault: str) -> dict[str, Any]:
    _, message, kind, param, code = _ERRORS[fault]
    return {"message": message, "type": kind, "param": param, "code": code}


def error(call: Call, fault: str) -> Reply:
    """An error answer: four spaces on the older endpoints, two on /responses."""
    status = _ERRORS[fault][0]
    older = "responses" not in call.path
    body = json.dumps({"error": error_object(fault)}, indent=4 if older else 2)
    lines = headers(call, JSON)
    if status == 429:
        retry = call.controls.retry
        lines = lines.replace(b"remaining-requests: 29999", b"remaining-requests: 0").replace(
            b"reset-requests: 2ms", b"reset-requests: 6m0s"
        )
        if fault == "429":
            lines += b"retry-after: %d\r\nretry-after-ms: %d\r\n" % (retry, retry * 1000)
        lines += b"x-should-retry: %b\r\n" % (b"true" if fault == "429" else b"false")
    elif status == 401:
        lines += b'WWW-Authenticate: Bearer realm="OpenAI API"\r\n'
    elif status >= 500:
        lines += b"retry-after: %d\r\n" % call.controls.retry
    return Reply(status, lines, body.encode() + (b"\n" if older else b""))


def stream_error() -> bytes:
    """What a Chat Completions stream says when it fails after its 200."""
    return b"data: " + json.dumps({"error": error_object("500")}, separators=(",", ":")).encode() + b"\n\n"
