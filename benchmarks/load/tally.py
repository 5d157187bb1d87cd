"""What a load run has seen: counts, and times as samples from which percentiles are made.

Times are seconds inside and milliseconds in the result. A run counts from its start;
`restart` forgets the warm-up.
"""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

QUANTILES = (0.5, 0.9, 0.95, 0.99, 0.999)
_MOST = 2_000_000  # samples of one kind; a longer run keeps the first ones


class Samples:
    """Durations in seconds."""

    __slots__ = ("values",)

    def __init__(self) -> None:
        self.values = array("d")

    def add(self, seconds: float) -> None:
        if len(self.values) < _MOST:
            self.values.append(seconds)

    def summary(self) -> dict[str, float]:
        """Percentiles in milliseconds, empty without samples."""
        if not self.values:
            return {}
        ordered = sorted(self.values)
        last = len(ordered) - 1
        named = {f"p{quantile * 100:g}": ordered[round(last * quantile)] for quantile in QUANTILES}
        named |= {"mean": sum(ordered) / len(ordered), "max": ordered[-1]}
        return {"count": float(len(ordered))} | {name: round(value * 1000, 4) for name, value in named.items()}


@dataclass(slots=True)
class Tally:
    """Counts and samples of a run.

    Attributes:
        sent: Requests written.
        completed: Answers that came whole with a 2xx status.
        aborted: Requests that the load generator itself broke off, as the scenario says.
        errors: By kind: a status, ``truncated``, ``reset``, ``connect`` ...
        first: From the request to the first byte of the answer's body.
        whole: From the request to the end of the answer.
        gaps: Between two arrivals of one stream.
    """

    sent: int = 0
    completed: int = 0
    aborted: int = 0
    late: int = 0  # open loop: arrivals for which no connection was free
    events: int = 0
    received: int = 0  # bytes of bodies
    errors: Counter[str] = field(default_factory=Counter)
    first: Samples = field(default_factory=Samples)
    whole: Samples = field(default_factory=Samples)
    gaps: Samples = field(default_factory=Samples)

    def restart(self) -> None:
        """Forget the warm-up."""
        self.sent = self.completed = self.aborted = self.late = self.events = self.received = 0
        self.errors.clear()
        self.first, self.whole, self.gaps = Samples(), Samples(), Samples()

    def result(self, seconds: float) -> dict[str, Any]:
        """The run as JSON-ready values; rates are per second of the measured time."""
        return {
            "seconds": round(seconds, 4),
            "sent": self.sent,
            "completed": self.completed,
            "aborted": self.aborted,
            "late": self.late,
            "errors": dict(self.errors),
            "events": self.events,
            "received_bytes": self.received,
            "requests_per_second": round(self.completed / seconds, 2),
            "events_per_second": round(self.events / seconds, 2),
            "first_byte_ms": self.first.summary(),
            "whole_ms": self.whole.summary(),
            "gap_ms": self.gaps.summary(),
        }
