"""Requests of the three dialects, complete with their header lines, built once and sent many times.

The text is filler: it says nothing and is the same in every run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import orjson

FILLER = "The quick brown fox jumps over the lazy dog, and the gateway forwards it. "


@dataclass(frozen=True, slots=True)
class Payload:
    """One request as bytes, and how to recognise its answer.

    Attributes:
        name: What it is, for the report: ``openai.stream`` ...
        data: The whole request.
        event: What every event of a stream contains once.
        end: What only the last events of a complete stream contain; empty for JSON.
    """

    name: str
    data: bytes
    event: bytes = b""
    end: bytes = b""


_EVENTS = {
    "openai": (b"data: {", b"[DONE]"),
    "responses": (b"data: {", b"event: response.completed"),
    "anthropic": (b"data: {", b"event: message_stop"),
    "google": (b"data: {", b'"finishReason"'),
}
DIALECTS = tuple(_EVENTS)


def _text(size: int) -> str:
    return (FILLER * (size // len(FILLER) + 1))[:size]


def _body(dialect: str, model: str, text: str, *, stream: bool, limit: int) -> tuple[str, dict[str, Any]]:
    message = {"role": "user", "content": text}
    if dialect == "openai":
        return "/v1/chat/completions", {"model": model, "messages": [message], "stream": stream, "max_tokens": limit}
    if dialect == "responses":
        return "/v1/responses", {"model": model, "input": text, "stream": stream, "max_output_tokens": limit}
    if dialect == "anthropic":
        return "/v1/messages", {"model": model, "max_tokens": limit, "messages": [message], "stream": stream}
    method = "streamGenerateContent?alt=sse" if stream else "generateContent"
    contents = [{"role": "user", "parts": [{"text": text}]}]
    path = f"/v1beta/models/{quote(model, safe='')}:{method}"
    return path, {"contents": contents, "generationConfig": {"maxOutputTokens": limit}}


def _embedding(dialect: str, model: str, text: str) -> tuple[str, dict[str, Any]]:
    if dialect == "google":
        path = f"/v1beta/models/{quote(model, safe='')}:embedContent"
        return path, {"content": {"parts": [{"text": text}]}}
    return "/v1/embeddings", {"model": model, "input": text}


def _count(dialect: str, model: str, text: str) -> tuple[str, dict[str, Any]]:
    if dialect == "anthropic":
        return "/v1/messages/count_tokens", {"model": model, "messages": [{"role": "user", "content": text}]}
    if dialect == "google":
        path = f"/v1beta/models/{quote(model, safe='')}:countTokens"
        return path, {"contents": [{"role": "user", "parts": [{"text": text}]}]}
    return "/v1/responses/input_tokens", {"model": model, "input": text}


def _head(url: str, path: str, dialect: str, token: str, *, length: int | None, headers: Sequence[str]) -> bytes:
    """``length`` of the body; ``None`` is a GET without one."""
    parts = urlsplit(url)
    lines = [
        f"{'GET' if length is None else 'POST'} {parts.path.rstrip('/')}{path} HTTP/1.1",
        f"Host: {parts.netloc}",
        "Accept: */*",
    ]
    if length is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {length}"]
    if dialect == "anthropic":
        lines += [f"x-api-key: {token}", "anthropic-version: 2023-06-01"]
    elif dialect == "google":
        lines.append(f"x-goog-api-key: {token}")
    else:
        lines.append(f"Authorization: Bearer {token}")
    lines += headers
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def payload(
    kind: str,
    *,
    url: str,
    token: str,
    dialect: str,
    model: str,
    prompt_bytes: int = 200,
    limit: int = 100_000,
    headers: Sequence[str] = (),
) -> Payload:
    """Build a request. ``kind`` is ``stream``, ``short`` (JSON answer), ``embedding``, ``count`` (of tokens) or
    ``list`` (of models, the first page); a header is ``Name: value``.
    """
    text = _text(prompt_bytes)
    event, end = b"", b""
    if kind == "list":
        path = "/v1beta/models" if dialect == "google" else "/v1/models"
        return Payload(f"{dialect}.{kind}", _head(url, path, dialect, token, length=None, headers=headers))
    if kind == "count":
        path, body = _count(dialect, model, text)
    elif kind == "embedding":
        path, body = _embedding(dialect, model, text)
    else:
        path, body = _body(dialect, model, text, stream=kind == "stream", limit=limit)
        if kind == "stream":
            event, end = _EVENTS[dialect]
    encoded = orjson.dumps(body)
    return Payload(
        f"{dialect}.{kind}",
        _head(url, path, dialect, token, length=len(encoded), headers=headers) + encoded,
        event,
        end,
    )
