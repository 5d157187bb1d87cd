"""Recorded exchanges: what was asked, and what the provider counted."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from providers.dialect import Operation
from providers.paths import Route, resolve

# Recorded from the network; the rest was written by hand.
_REAL = frozenset({"recorded", "recorded_fixture", "response_only"})
_COMPATIBLE = {
    ("openai", "chat"): Operation.OPENAI_CHAT,
    ("openai", "responses"): Operation.OPENAI_RESPONSES,
    ("openai", "completions"): Operation.OPENAI_COMPLETIONS,
    ("openai", "embeddings"): Operation.OPENAI_EMBEDDINGS,
    ("anthropic", "messages"): Operation.ANTHROPIC_MESSAGES,
}


@dataclass(frozen=True, slots=True)
class Exchange:
    """One recorded exchange with a count.

    Attributes:
        operation: What was asked, in which dialect.
        model: The provider's name.
        first_party: Answered by the API's own host, not by a compatible one.
        request: The body, or ``None`` where it was not recorded.
        answer: The body.
        streamed: The answer is an event stream.
        usage: As reported.
        processing_ms: What the provider says that it worked, or 0.
    """

    operation: Operation
    model: str
    first_party: bool
    request: bytes | None
    answer: bytes
    streamed: bool
    usage: dict[str, Any]
    processing_ms: float

    @property
    def input_tokens(self) -> int:
        """All that was read, as reported; 0 where it was not."""
        name = self.operation.value
        if name.startswith("gemini"):
            return self._count("promptTokenCount")
        if name.startswith("anthropic"):
            return sum(
                self._count(field)
                for field in ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
            )
        return self._count("prompt_tokens") or self._count("input_tokens")

    @property
    def reasoning_tokens(self) -> int:
        """Of the output, what was reasoned."""
        for name in ("completion_tokens_details", "output_tokens_details"):
            details = self.usage.get(name)
            if isinstance(details, dict):
                return int(details.get("reasoning_tokens") or details.get("thinking_tokens") or 0)
        return 0

    @property
    def output_tokens(self) -> int:
        """All that was produced, thoughts of Gemini's left out."""
        return self._count("completion_tokens") or self._count("output_tokens") or self._count("candidatesTokenCount")

    def _count(self, name: str) -> int:
        return int(self.usage.get(name) or 0)


def exchanges(corpus: Path) -> Iterator[Exchange]:
    """Every exchange of ``recordings.jsonl.gz`` in a folder that succeeded, is real and has a count."""
    with gzip.open(corpus / "recordings.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            operation = _operation(record)
            usage = record["usage"]
            if operation is None or not usage or record["status"] != 200 or record["provenance"] not in _REAL:
                continue
            request = record["request_body"]
            yield Exchange(
                operation,
                str(record["model"] or ""),
                "alt_host" not in record["features"],
                json.dumps(request, ensure_ascii=False, separators=(",", ":")).encode()
                if isinstance(request, dict)
                else None,
                str(record["response_body"]).encode(),
                bool(record["sse"]),
                usage,
                _milliseconds(record["response_headers"]),
            )


def _milliseconds(headers: dict[str, str]) -> float:
    stated = headers.get("x-metrics-e2e-ms") or headers.get("openai-processing-ms") or "0"
    try:
        return float(stated.split(",")[0])
    except ValueError:
        return 0.0


def _operation(record: dict[str, Any]) -> Operation | None:
    path = record["url_path"].partition("?")[0]
    route = resolve(record["method"], path)
    if isinstance(route, Route) and route.operation is not None:
        return route.operation
    if record["provider"] == "google":
        verb = path.rpartition(":")[2]
        return {"generateContent": Operation.GEMINI_GENERATE, "streamGenerateContent": Operation.GEMINI_STREAM}.get(
            verb
        )
    return _COMPATIBLE.get((record["provider"], record["api"]))
