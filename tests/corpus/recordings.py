"""The recordings as replays need them: what to ask, what the provider answers, what the caller must get.

Nothing here reads bytes the way `providers` does; only the table of paths is shared with it.
"""

from __future__ import annotations

import gzip
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from providers.dialect import Family, Operation
from providers.paths import Route, resolve

CORPUS = Path(os.environ.get("CORPUS_DIR", Path(__file__).parents[3] / "shared" / "corpus")) / "recordings.jsonl.gz"
NO_CORPUS = f"NO CORPUS: {CORPUS} does not exist, set CORPUS_DIR"

_OPERATIONS = {
    ("openai", "chat"): Operation.OPENAI_CHAT,
    ("openai", "responses"): Operation.OPENAI_RESPONSES,
    ("openai", "completions"): Operation.OPENAI_COMPLETIONS,
    ("openai", "embeddings"): Operation.OPENAI_EMBEDDINGS,
    ("openai", "count_tokens"): Operation.OPENAI_INPUT_TOKENS,
    ("anthropic", "messages"): Operation.ANTHROPIC_MESSAGES,
    ("anthropic", "count_tokens"): Operation.ANTHROPIC_COUNT_TOKENS,
}
_VERBS = {
    "generateContent": Operation.GEMINI_GENERATE,
    "streamGenerateContent": Operation.GEMINI_STREAM,
    "countTokens": Operation.GEMINI_COUNT_TOKENS,
    "embedContent": Operation.GEMINI_EMBED,
    "batchEmbedContents": Operation.GEMINI_BATCH_EMBED,
}
_PATHS = {
    Operation.OPENAI_CHAT: "/v1/chat/completions",
    Operation.OPENAI_RESPONSES: "/v1/responses",
    Operation.OPENAI_COMPACT: "/v1/responses/compact",
    Operation.OPENAI_INPUT_TOKENS: "/v1/responses/input_tokens",
    Operation.OPENAI_COMPLETIONS: "/v1/completions",
    Operation.OPENAI_EMBEDDINGS: "/v1/embeddings",
    Operation.ANTHROPIC_MESSAGES: "/v1/messages",
    Operation.ANTHROPIC_COUNT_TOKENS: "/v1/messages/count_tokens",
} | {operation: f"/v1beta/models/{{model}}:{verb}" for verb, operation in _VERBS.items()}

UNBILLED = frozenset({Operation.OPENAI_INPUT_TOKENS, Operation.ANTHROPIC_COUNT_TOKENS, Operation.GEMINI_COUNT_TOKENS})
_CHOICES = frozenset({Operation.OPENAI_CHAT, Operation.OPENAI_COMPLETIONS})  # the usage chunk may be hidden

# The gateway's answer has a body of its own: the error is about its key and not about the request.
_KEY_STATUSES = frozenset({401, 402, 403})
_OPERATORS = {
    "insufficient_quota": b'"insufficient_quota"',
    "API_KEY_INVALID": b'"API_KEY_INVALID"',
    "location": b"User location is not supported for the API use.",
    "key": b'"error":"Incorrect API key provided.',
}
# All that names an account in the errors that are passed on.
_IDENTIFIERS = {
    "8881ea2dbc83699b": (
        (b"project_number:348715329010", b"project_number:[redacted]"),
        (b"projects/348715329010", b"[redacted]"),
    ),
    "b3cb60cd2624b81a": ((b"projects/fake-project", b"projects/[redacted]"),),
    "cdfeb71607f6414a": ((b"user_2w02ZGxKw2KeeHUGGzosck1DmmN", b"[redacted]"),),
    "e27b6c81e3519ff4": ((b"user_2wT5ElBE4Es3R4QrNLpZiXICmQP", b"[redacted]"),),
}
# Of this hop alone, or stale because the recorder decoded the body.
_STALE = frozenset({"content-length", "transfer-encoding", "content-encoding", "connection", "keep-alive", "trailer"})


@dataclass(frozen=True)
class Ask:
    """A request of the client: the raw path, further headers and the body."""

    path: str
    headers: dict[str, str]
    body: bytes
    wants_usage: bool


@dataclass(frozen=True)
class Recording:
    """One recorded exchange. ``name`` is the model that its replay asks for, so that it can be found."""

    name: str
    record: dict[str, Any]
    operation: Operation

    @property
    def id(self) -> str:
        return str(self.record["id"])

    @property
    def status(self) -> int:
        return int(self.record["status"])

    @property
    def sse(self) -> bool:
        return bool(self.record["sse"])

    @property
    def good(self) -> bool:
        return 200 <= self.status < 300

    @cached_property
    def body(self) -> bytes:
        return str(self.record["response_body"]).encode()

    @cached_property
    def headers(self) -> dict[str, str]:
        """As recorded, without those that no longer hold; with a content type where none was kept."""
        kept = {key: str(value) for key, value in self.record["response_headers"].items() if key not in _STALE}
        kept.setdefault("content-type", "text/event-stream" if self.sse else "application/json")
        return kept

    @property
    def operators(self) -> str:
        """Why the gateway gives an answer of its own for this error: it is about the operator's key or account."""
        if self.status in _KEY_STATUSES:
            return str(self.status)
        if 400 <= self.status < 500:
            return next((reason for reason, said in _OPERATORS.items() if said in self.body), "")
        return ""

    @property
    def passed_body(self) -> bytes:
        """The body as the caller may have it: without what names the operator's account."""
        body = self.body
        for old, new in _IDENTIFIERS.get(self.id, ()):
            body = body.replace(old, new)
        return body

    def recorded_ask(self) -> Ask | None:
        """The recorded request with the replay's model, or ``None`` where none was recorded."""
        meant = self.record["request_body"]
        if not isinstance(meant, dict):
            return None
        google = self.record["provider"] == "google"
        beta = self.record["request_headers"].get("anthropic-beta")
        meant = meant if google else meant | {"model": self.name}
        streamed = meant.get("stream") is True
        wants = (meant.get("stream_options") or {}).get("include_usage") is True
        if wants and self.silent:
            wants = False
            meant = {name: value for name, value in meant.items() if name != "stream_options"}
        body = json.dumps(meant, ensure_ascii=False).encode()
        return Ask(self._path(), {"anthropic-beta": beta} if beta else {}, body, wants or not streamed)

    @property
    def silent(self) -> bool:
        """Its replay leaves ``include_usage`` out. Half do: nearly every recorded stream with counts asked for
        them, and their chunk must be hidden from a client that did not.
        """
        return self.operation in _CHOICES and int(self.name[1:]) % 2 == 0

    def minimal_ask(self) -> Ask:
        """The least that this operation takes, for answers whose request is unknown or refused."""
        stream = bool(self.record["stream"])
        turn = [{"role": "user", "content": "hi"}]
        switch: dict[str, Any] = {"stream": True} if stream else {}
        match self.operation:
            case Operation.OPENAI_CHAT:
                body = {"messages": turn, **switch}
            case Operation.OPENAI_COMPLETIONS:
                body = {"prompt": "hi", **switch}
            case Operation.OPENAI_RESPONSES:
                body = {"input": "hi", **switch}
            case Operation.ANTHROPIC_MESSAGES:
                body = {"messages": turn, "max_tokens": 16, **switch}
            case Operation.ANTHROPIC_COUNT_TOKENS:
                body = {"messages": turn}
            case Operation.GEMINI_EMBED:
                body = {"content": {"parts": [{"text": "hi"}]}}
            case Operation.GEMINI_BATCH_EMBED:
                body = {"requests": [{"model": "models/m", "content": {"parts": [{"text": "hi"}]}}]}
            case operation if operation.family is Family.GOOGLE:
                body = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
                if b'"webSearchQueries"' in self.body:  # only what a request switches on is looked for
                    body["tools"] = [{"googleSearch": {}}]
            case _:
                body = {"input": "hi"}
        if self.operation.family is not Family.GOOGLE:
            body["model"] = self.name
        hides = stream and self.operation in _CHOICES
        return Ask(self._path(), {}, json.dumps(body).encode(), not hides)

    def _path(self) -> str:
        query = self.record["url_path"].partition("?")[2]
        kept = [part for part in query.split("&") if part.partition("=")[0] in {"alt", "$alt", "beta"}]
        return _PATHS[self.operation].format(model=self.name) + ("?" + "&".join(kept) if kept else "")

    def expected_body(self, ask: Ask) -> bytes:
        """What the caller must receive: the recorded bytes, less the usage chunk that it did not ask for."""
        if ask.wants_usage or not self.sse or self.operation not in _CHOICES:
            return self.passed_body
        return b"".join(event for event in re.split(rb"(?<=\n\n)|(?<=\r\n\r\n)", self.body) if not _only_usage(event))


def _only_usage(event: bytes) -> bool:
    """A chunk without choices that states usage. Azure's first one has neither."""
    for line in event.splitlines():
        if line.startswith(b"data:") and line[5:].strip() not in {b"", b"[DONE]"}:
            chunk = json.loads(line[5:])
            return chunk.get("choices") == [] and isinstance(chunk.get("usage"), dict)
    return False


def served() -> Iterator[Recording]:
    """Every exchange of an operation that the gateway serves."""
    with gzip.open(CORPUS, "rt", encoding="utf-8") as lines:
        for index, line in enumerate(lines):
            record = json.loads(line)
            operation = _operation(record)
            if operation is not None:
                yield Recording(f"r{index}", record, operation)


def _operation(record: dict[str, Any]) -> Operation | None:
    if record["method"] != "POST":
        return None
    path = record["url_path"].partition("?")[0]
    route = resolve("POST", path)
    if isinstance(route, Route) and "alt_host" not in record["features"]:
        return route.operation
    if record["provider"] == "google" and record["api"] != "other":
        return _VERBS.get(path.rpartition(":")[2])
    return _OPERATIONS.get((record["provider"], record["api"]))
