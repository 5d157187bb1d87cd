"""A provider's error in the caller's dialect.

Rules:

1. The provider's sentence stays: people read it, and clients act on it. It is returned to the sender of the request,
   and is sent to nobody else.
2. A request that is too long is refused in the words that clients of the caller's dialect know, because agents then
   make their conversation shorter and go on: OpenAI's clients look at the code, Anthropic's and Google's at the
   sentence.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from providers.dialect import Family, Operation, ProviderError
from providers.errors import error_body, error_event

UNREADABLE: Final = ProviderError(
    502,
    b'{"error":{"message":"The model\'s host ended its answer too early, or it cannot be told in this API. Try again.",'
    b'"type":"upstream_error","param":null,"code":"upstream_error"}}',
)
"""The error of an answer that failed and did not say why."""

TOO_LONG: Final = ProviderError(
    502,
    b'{"error":{"message":"The answer is longer than an answer of another API is translated (8 MiB, 20,000 objects). '
    b'Ask for less at once or for a stream, or choose a model whose provider has the API that you use.",'
    b'"type":"upstream_error","param":null,"code":"upstream_error"}}',
)
"""The error of an answer that is one object, and too long to be translated in bounded time."""

_SILENT: Final = "The model's host answered with an error and did not say why."
_LENGTH_CODE: Final = "context_length_exceeded"
# In a 400 or 413: OpenAI, vLLM and hosts like them ("maximum context length is", "exceeds the context window"), xAI
# ("maximum prompt length is"), llama.cpp ("exceeds the available context size"), Anthropic ("prompt is too long",
# "exceed context limit"), Amazon Bedrock ("Input is too long for requested model"), Google ("exceeds the maximum number
# of tokens allowed").
_LENGTH: Final = re.compile(
    r"maximum (?:context|prompt) length|context (?:window|size|limit|length)|(?:prompt|input) is too long"
    r"|exceeds the maximum number of tokens",
    re.IGNORECASE,
)
_COUNT: Final = re.compile(r"(?<![\w.])\d{3,8}(?![\w])(?!\.\d)")


class _Error(msgspec.Struct):
    message: str | None = None
    code: Any = None
    type: Any = None


class _ErrorBody(msgspec.Struct):
    error: _Error | str | None = None
    message: str | None = None
    detail: Any = None


def translate_error(family: Family, status: int, body: bytes, *, rid: str) -> bytes:
    """The body of a host's error in the caller's dialect."""
    code, message = _said(family, status, body)
    return error_body(family, status, code, message, request_id=rid)


def translate_error_event(
    operation: Operation, error: ProviderError, *, rid: str, sse: bool, sequence: int = 0
) -> bytes:
    """A host's error inside a begun stream as the caller's dialect's own error event; empty if it has none."""
    code, message = _said(operation.family, error.status, error.body)
    return error_event(operation, error.status, code, message, request_id=rid, sequence=sequence, sse=sse)


def _said(family: Family, status: int, body: bytes) -> tuple[str, str]:
    """The code and the sentence of an error, for a caller of a dialect.

    Hosts nest it in ``error`` (OpenAI, vLLM, llama.cpp), write it there as a string (Ollama), or
    beside nothing (``message``, ``detail``).
    """
    code = "upstream_error"
    try:
        found = msgspec.json.decode(body, type=_ErrorBody)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        found = _ErrorBody()
    if isinstance(found.error, _Error):
        message = found.error.message
        named = found.error.code or found.error.type
        code = named if isinstance(named, str) else code
    else:
        message = found.error or found.message or (found.detail if isinstance(found.detail, str) else "")
    if message and status in (400, 413) and (code == _LENGTH_CODE or _LENGTH.search(message)):
        return _LENGTH_CODE, _too_long(family, message)
    return code, message or _SILENT


def _too_long(family: Family, message: str) -> str:
    """The sentence of an input that is too long, with its two counts if the host states them."""
    counts = sorted({int(count) for count in _COUNT.findall(message)})
    length, most = (counts[1], counts[0]) if len(counts) == 2 else (0, 0)
    match family:
        case Family.OPENAI:
            return message
        case Family.ANTHROPIC:
            return (
                f"prompt is too long: {length} tokens > {most} maximum" if length else f"prompt is too long: {message}"
            )
        case Family.GOOGLE:
            known = "The input token count{} exceeds the maximum number of tokens allowed{}."
            return known.format(f" ({length})", f" ({most})") if length else f"{known.format('', '')} {message}"
