"""The rows of the comparison: what is measured, how it becomes a ratio, and which ratio is wanted.

Every ratio is made within one round against nginx in that round; a row reports the median of its
rounds and the smallest and largest of them.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from benchmarks.compare.measure import Measurement, Workload

# Long answers: no request begins or ends in the window, so that this is the price of a chunk alone.
STREAMS = Workload("streams-200", callers=200, ramp=1.0, warmup=1.5, seconds=2.5, chunks=1000)
STREAMS_TLS = Workload("streams-200-tls", callers=200, ramp=1.0, warmup=1.5, seconds=2.5, chunks=1000, tls=True)
# Short ones: a hundred requests begin each second, for the times to the first byte; p99 wants the longer window.
STARTS = Workload("starts-200", callers=200, ramp=2.0, warmup=2.0, seconds=4.0, chunks=200)
SHORT = Workload("short-32", scenario="short", callers=32, warmup=0.4, seconds=1.5, chunks=8, pace=0, size=0)
_ENDLESS = 10_000_000


def scaled(callers: int) -> Workload:
    """Streams that outlast the window, together about 8,000 chunks a second."""
    ramp = max(0.5, callers / 1000)
    return Workload(
        f"scale-{callers}",
        callers=callers,
        ramp=ramp,
        warmup=ramp + 1.0,
        seconds=1.5,
        chunks=_ENDLESS,
        pace=callers / 8,
    )


def body(kib: int) -> Workload:
    """Short answers to long requests."""
    return Workload(
        f"body-{kib}k",
        scenario="short",
        callers=4,
        warmup=0.4,
        seconds=1.2,
        chunks=4,
        pace=0,
        size=0,
        prompt_bytes=kib * 1024,
    )


SCALE = (10, 200, 2000, 5000)
BODIES = (64, 4096)
WARM_UP = Workload("warm-up", callers=50, ramp=0.2, warmup=0.3, seconds=1.0, chunks=50)
WARM_UP_TLS = Workload("warm-up-tls", callers=50, ramp=0.2, warmup=0.3, seconds=1.0, chunks=50, tls=True)
MEMORY = Workload("memory-3000", callers=3000, ramp=4.0, warmup=6.0, seconds=1.0, chunks=_ENDLESS, pace=1000, tls=True)
# Short requests on kept connections; what they leave behind is a leak.
GROWTH = Workload("growth", scenario="short", callers=16, warmup=1.0, seconds=6.0, chunks=8, pace=0, size=0, tls=True)


@dataclass(slots=True)
class Row:
    """One line of the table.

    Attributes:
        values: Per contender the absolute value, in ``unit`` (medians over rounds).
        ratios: Of the gateway to nginx, one per round.
        limit: What the ratio, or the value where there is no nginx to compare with, may be at most;
            ``None`` for a row that is shown and not judged.
        goal: What it should be.
    """

    name: str
    unit: str
    limit: float | None
    goal: float | None = None
    at_least: bool = False
    ratio: bool = True
    values: dict[str, float] = field(default_factory=dict)
    ratios: list[float] = field(default_factory=list)
    note: str = ""

    @property
    def figure(self) -> float | None:
        """What is judged."""
        if not self.ratio:
            return self.values.get("gateway")
        return statistics.median(self.ratios) if self.ratios else None

    @property
    def verdict(self) -> str:
        """``met``, ``goal met``, ``missed``, ``not measured`` or ``shown``."""
        figure = self.figure
        if figure is None:
            return "not measured"
        if self.limit is None:
            return "shown"
        if self.at_least:
            return "met" if figure >= self.limit else "missed"
        if self.goal is not None and figure <= self.goal:
            return "goal met"
        return "met" if figure <= self.limit else "missed"

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "unit": self.unit,
            "limit": self.limit,
            "goal": self.goal,
            "values": self.values,
            "ratios": self.ratios,
            "figure": self.figure,
            "verdict": self.verdict,
            "note": self.note,
        }


Value = Callable[[Measurement], float]


def per_event(measurement: Measurement) -> float:
    return measurement.per(measurement.events)


def per_request(measurement: Measurement) -> float:
    return measurement.per(measurement.requests)


def per_megabyte(small: float, large: float) -> float:
    """What each further megabyte of body adds: the slope between the two of `BODIES`."""
    return (large - small) / ((BODIES[1] - BODIES[0]) / 1024)


def quantile(name: str) -> Value:
    """A percentile of the time to the first byte, in milliseconds."""
    return lambda measurement: float(measurement.load["first_byte_ms"].get(name, float("nan")))


def by_round(measurements: Iterable[Measurement], workload: str, value: Value) -> dict[str, dict[int, float]]:
    """Per contender, per round, the value; measurements with nothing to count are left out."""
    table: dict[str, dict[int, float]] = {}
    for measurement in measurements:
        if measurement.workload == workload:
            number = value(measurement)
            if number == number:  # noqa: PLR0124 - not a number
                table.setdefault(measurement.contender, {})[measurement.round] = number
    return table


def fill(row: Row, table: dict[str, dict[int, float]], subject: str = "gateway", base: str = "nginx") -> Row:
    """Put the medians and the paired ratios of a table into a row."""
    row.values = {name: statistics.median(rounds.values()) for name, rounds in table.items()}
    mine, theirs = table.get(subject, {}), table.get(base, {})
    row.ratios = [mine[number] / theirs[number] for number in sorted(mine) if theirs.get(number)]
    return row
