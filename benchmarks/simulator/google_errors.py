"""Google's response headers, error bodies with their details, and the list of models."""

from __future__ import annotations

import json
from typing import Any

import orjson

from benchmarks.simulator.exchange import Call, Reply, http_date

MODELS = (("gemini-2.5-flash", "Gemini 2.5 Flash"), ("gemini-embedding-001", "Gemini Embedding 001"))
_HEADERS = (
    b"Date: %b\r\nContent-Type: %b\r\nVary: Origin\r\nVary: X-Origin\r\nVary: Referer\r\n"
    b"Server: scaffolding on HTTPServer2\r\nX-XSS-Protection: 0\r\nX-Frame-Options: SAMEORIGIN\r\n"
    b"X-Content-Type-Options: nosniff\r\nX-Gemini-Service-Tier: standard\r\nServer-Timing: gfet4t7; dur=92\r\n"
    b'Alt-Svc: h3=":443"; ma=2592000,h3-29=":443"; ma=2592000\r\n'
)
JSON = b"application/json; charset=UTF-8"


def headers(call: Call, content_type: bytes = JSON) -> bytes:
    """The header lines of an answer, without framing; there is no request id among them."""
    _ = call
    return _HEADERS % (http_date(), content_type)


_ERRORS: dict[str, tuple[int, str, str]] = {
    "400": (400, "INVALID_ARGUMENT", "The input token count exceeds the maximum number of tokens allowed 1048576."),
    "invalid": (400, "INVALID_ARGUMENT", "Invalid JSON payload received."),
    "401": (400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key."),
    "402": (429, "RESOURCE_EXHAUSTED", "Your prepayment credits are depleted."),
    "403": (403, "PERMISSION_DENIED", "Your API key was reported as leaked. Please use another API key."),
    "404": (404, "NOT_FOUND", "models/unknown is not found for API version v1beta."),
    "413": (413, "INVALID_ARGUMENT", "Request payload size exceeds the limit."),
    "429": (429, "RESOURCE_EXHAUSTED", "You exceeded your current quota. Please retry in a moment."),
    "500": (500, "INTERNAL", "An internal error has occurred."),
    "503": (503, "UNAVAILABLE", "The model is overloaded. Please try again later."),
}
_ERRORS["quota"] = _ERRORS["402"]
_ERRORS["529"] = _ERRORS["503"]
_RPC = "type.googleapis.com/google.rpc."


def _details(fault: str, retry: int) -> list[dict[str, Any]]:
    if fault == "401":
        service = {"service": "generativelanguage.googleapis.com"}
        info = {"reason": "API_KEY_INVALID", "domain": "googleapis.com", "metadata": service}
        return [{"@type": _RPC + "ErrorInfo", **info}]
    if fault == "429":
        metric = "generativelanguage.googleapis.com/generate_content_paid_tier_input_token_count"
        violation = {"quotaMetric": metric, "quotaId": "GenerateContentPaidTierInputTokensPerModelPerMinute"}
        help_link = {
            "description": "Learn more about Gemini API quotas",
            "url": "https://ai.google.dev/gemini-api/docs/rate-limits",
        }
        return [
            {"@type": _RPC + "Help", "links": [help_link]},
            {"@type": _RPC + "QuotaFailure", "violations": [violation]},
            {"@type": _RPC + "RetryInfo", "retryDelay": f"{retry}s"},
        ]
    return []


def error_body(fault: str, call: Call, indent: int | None) -> bytes:
    status, name, message = _ERRORS[fault]
    body: dict[str, Any] = {"code": status, "message": message, "status": name}
    details = _details(fault, call.controls.retry)
    if details:
        body["details"] = details
    return json.dumps({"error": body}, indent=indent).encode()


def error(call: Call, fault: str) -> Reply:
    """An error answer; for a stream it is plain JSON under the stream's content type, or an array."""
    body = error_body(fault, call, 2) + b"\n"
    kind = JSON
    if call.path.endswith(":streamGenerateContent"):
        if "alt=sse" in call.query:
            kind = b"text/event-stream"
        else:
            body = b"[" + body + b"]"
    return Reply(_ERRORS[fault][0], headers(call, kind), body)


def models(call: Call) -> Reply:
    """GET /v1beta/models and /v1beta/models/{id}."""
    rows = [
        {
            "name": f"models/{name}",
            "version": "001",
            "displayName": title,
            "description": "A simulated model.",
            "inputTokenLimit": 1048576,
            "outputTokenLimit": 65536,
            "supportedGenerationMethods": ["embedContent"]
            if "embedding" in name
            else ["generateContent", "countTokens"],
            "temperature": 1,
            "topP": 0.95,
            "topK": 64,
        }
        for name, title in MODELS
    ]
    name = call.path.partition("/models")[2].strip("/")
    if not name:
        return Reply(200, headers(call), orjson.dumps({"models": rows}, option=orjson.OPT_INDENT_2) + b"\n")
    row = next((row for row in rows if row["name"] == f"models/{name}"), None)
    if row is None:
        return error(call, "404")
    return Reply(200, headers(call), orjson.dumps(row, option=orjson.OPT_INDENT_2) + b"\n")
