"""What one simulated answer shall look like, and how a request asks for it.

Rules:

1. The controls of a request are the process defaults, overridden by what follows the first ``+``
   of its model name: ``sim-gpt+chunks=50+pace=10ms+fault=reset_mid,gzip``. A model name is the one
   thing that reaches the provider whatever a gateway strips. Where a catalog admits fewer
   characters, ``sim-gpt@chunks-50@pace-10ms@fault-reset_mid.gzip`` says the same.
2. An unknown control is an error, so that a typing mistake cannot pass for a working test.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

FAULTS: dict[str, str] = {
    # the provider's own errors, with their headers
    "400": "context length exceeded",
    "401": "the API key is wrong",
    "402": "no credit left on the provider account",
    "403": "the API key may not use the model",
    "404": "the model is unknown",
    "413": "the request is too large, said after reading it",
    "429": "rate limit, with every header that the provider sends",
    "quota": "429 insufficient_quota: waiting does not help",
    "500": "internal error",
    "503": "unavailable",
    "529": "overloaded (Anthropic; 503 elsewhere)",
    # before the answer
    "refuse": "close without a byte; as a default also right after accept",
    "reset_before": "TCP reset instead of an answer",
    "hang_headers": "never answer",
    "early_413": "413 before the body is read, then lingering close",
    "early_hints": "103 Early Hints before the answer",
    # inside the answer, after event number ``at``
    "hang_mid": "go silent",
    "reset_mid": "TCP reset",
    "close_mid": "orderly close at an event boundary, without the last chunk",
    "ragged_mid": "as close_mid, but without the TLS close alert",
    "cut_event": "orderly close inside an event",
    "error_mid": "the dialect's own error event",
    "error_early": "the dialect's own error event after the opening events, before any output",
    "malformed": "one event (or the JSON body) is not valid JSON",
    # the form of the answer
    "slow_bytes": "seven bytes a millisecond",
    "split": "every event over several chunks and segments",
    "coalesced": "four events in a chunk",
    "gzip": "gzip although identity was asked for",
    "huge_headers": "more than 64 KiB of response headers",
    "no_length": "neither length nor chunks: ends with the connection",
    "http10": "HTTP/1.0, ends with the connection",
    "big": "a JSON answer of ``kib`` KiB",
    "surplus": "bytes of another response follow the answer",
    "no_limit": "the request's output limit is ignored, as some compatible hosts do",
    "close_after": "close a connection that was declared persistent, right after the answer",
}
ALIASES = {
    "context_length": "400",
    "insufficient_quota": "quota",
    "overloaded": "529",
    "1xx": "early_hints",
    "103": "early_hints",
}
ERROR_FAULTS = frozenset(("400", "401", "402", "403", "404", "413", "429", "quota", "500", "503", "529"))


@dataclass(frozen=True, slots=True)
class Controls:
    """How to answer one request. Times are milliseconds, sizes bytes.

    Attributes:
        chunks: Content events of a stream, which is also the number of visible output tokens.
        pace: Between two events; 0 sends everything as fast as the peer reads.
        size: Bytes of one content event (0: its natural length).
        first: Before the response headers.
        thinking: Reasoning events (and tokens); ``None`` leaves it to model and request.
        tokens_in: Input tokens to report instead of a quarter of the body's bytes.
        tokens_out: Visible output tokens to report instead of the number of content events.
        cached: Of the input tokens, those read from a cache.
        written: Of the input tokens, those written to a cache.
        at: Event after which a ``_mid`` fault strikes (default: half of them).
        kib: Size of a JSON answer's text with the fault ``big``.
        dims: Dimensions of an embedding that the request does not state.
        retry: Seconds in ``retry-after``.
        length: JSON answers state their length instead of being chunked.
        share: Percent of the requests, evenly spread, that faults strike and ``first`` delays.
        times: As a default: the faults strike this many requests, then stop.
        mark: Stands in answers in place of `content.MARK`, and in the message of errors.
        prose: Free text is `content.PROSE`, for people, in place of ``chunks`` numbered marks.
        faults: Names out of `FAULTS`.
    """

    chunks: int = 12
    pace: float = 0.0
    size: int = 0
    first: float = 0.0
    thinking: int | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    cached: int | None = None
    written: int | None = None
    at: int | None = None
    kib: int = 512
    dims: int = 16
    retry: int = 2
    length: bool = False
    share: int = 100
    times: int | None = None
    mark: str = ""
    prose: bool = False
    faults: frozenset[str] = field(default_factory=frozenset)

    def of(self, number: int) -> Controls:
        """These controls for the request of this number."""
        if number * self.share % 100 < self.share:
            return self
        return replace(self, faults=frozenset(), first=0.0)

    def strike_after(self, count: int) -> int:
        """The number of events that pass before a ``_mid`` fault strikes."""
        return max(1, count // 2) if self.at is None else self.at


NAMES = {"in": "tokens_in", "out": "tokens_out", "fault": "faults"}
_FIELDS = {item.name: item for item in fields(Controls)}
_FLOATS = frozenset(("pace", "first"))
_SWITCHES = frozenset(("length", "prose"))


def fault_names(value: str | list[str] | tuple[str, ...] | frozenset[str] | None) -> frozenset[str]:
    """Check fault names, given comma-separated or as a collection. Raises ValueError."""
    parts = value.split(",") if isinstance(value, str) else list(value or ())
    names = frozenset(ALIASES.get(part, part) for part in parts if part)
    unknown = names - FAULTS.keys()
    if unknown:
        raise ValueError(f"unknown fault {', '.join(sorted(unknown))}")
    return names


def override(controls: Controls, changes: dict[str, Any]) -> Controls:
    """Controls with some changed, by field name or by the short names of a model suffix.

    Values may be text as in a model name (``"10ms"``) or already typed; ``None`` gives a field
    its initial value. Raises ValueError for an unknown name or a value that does not parse.
    """
    values: dict[str, Any] = {}
    for key, raw in changes.items():
        name = NAMES.get(key, key)
        if name not in _FIELDS:
            raise ValueError(f"unknown control {key}")
        if name == "faults":
            values[name] = fault_names(raw)
        elif raw is None:
            values[name] = _FIELDS[name].default
        elif name == "mark":
            values[name] = str(raw)
        elif name in _SWITCHES:
            values[name] = str(raw).lower() in {"1", "true"}
        elif name in _FLOATS:
            values[name] = float(str(raw).removesuffix("ms"))
        else:
            values[name] = int(raw)
    return replace(controls, **values)


def from_model(model: str, defaults: Controls) -> tuple[str, Controls]:
    """Split a model name into its base and the controls behind the first ``+`` or ``@``.

    Raises ValueError as `override` does.
    """
    mark, equals, comma = ("+", "=", ",") if "+" in model else ("@", "-", ".")
    base, *parts = model.split(mark)
    changes: dict[str, Any] = {}
    for part in parts:
        key, _, value = part.partition(equals)
        changes[key] = value.replace(comma, ",") if key.startswith("fault") else value
    return base, override(defaults, changes) if changes else defaults
