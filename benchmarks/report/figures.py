"""What is drawn, as data: taken from a comparison's results, drawn by `svg` and by `png` alike."""

from __future__ import annotations

import re
import statistics
from dataclasses import dataclass, field
from typing import Any

ORDER = ("gateway", "nginx", "aiohttp", "litellm", "direct")
PERCENTILES = ("p50", "p90", "p95", "p99", "p99.9")


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart. ``series`` maps a contender to its points; ``labels`` name the x positions.

    Attributes:
        kind: ``line`` or ``bars``.
        logarithmic: The y axis is logarithmic.
    """

    name: str
    title: str
    unit: str
    kind: str
    labels: tuple[str, ...]
    series: dict[str, list[float | None]] = field(default_factory=dict)
    logarithmic: bool = False


def _median(measurements: list[dict[str, Any]], contender: str, workload: str, path: str) -> float | None:
    values = []
    for measurement in measurements:
        if measurement["contender"] == contender and measurement["workload"] == workload:
            value = _value(measurement, path)
            if value is not None:
                values.append(value)
    return statistics.median(values) if values else None


def _value(measurement: dict[str, Any], path: str) -> float | None:
    load = measurement["load"]
    if path == "memory":
        return float(measurement["memory"]["resident"]) / 1e6 or None
    if path == "cpu/event":
        return measurement["cpu"] / load["events"] / 1000 if load["events"] else None
    value = load["first_byte_ms"].get(path)
    return None if value is None else float(value)


def figures(result: dict[str, Any]) -> list[Figure]:
    """The charts of a comparison; a chart without a point is left out."""
    measurements = result["measurements"]
    names = [name for name in ORDER if any(item["contender"] == name for item in measurements)]
    sizes = sorted(
        {int(item["workload"].split("-")[1]) for item in measurements if item["workload"].startswith("scale-")}
    )
    made = [
        Figure(
            "cpu-by-streams",
            "CPU per streamed chunk against open streams (8,000 chunks a second in total)",
            "microseconds",
            "line",
            tuple(f"{size:,}" for size in sizes),
            {name: [_median(measurements, name, f"scale-{size}", "cpu/event") for size in sizes] for name in names},
        ),
        Figure(
            "memory-by-streams",
            "Resident memory against open streams",
            "megabytes",
            "line",
            tuple(f"{size:,}" for size in sizes),
            {name: [_median(measurements, name, f"scale-{size}", "memory") for size in sizes] for name in names},
        ),
        Figure(
            "first-byte",
            "Time to the first byte, 200 streams of a chunk each 10 ms",
            "milliseconds, logarithmic",
            "line",
            PERCENTILES,
            {name: [_median(measurements, name, "starts-200", quantile) for quantile in PERCENTILES] for name in names},
            logarithmic=True,
        ),
    ]
    made += [_bars(row, names) for row in result["rows"] if row["values"]]
    return [
        figure for figure in made if any(value is not None for values in figure.series.values() for value in values)
    ]


def _bars(row: dict[str, Any], names: list[str]) -> Figure:
    shown = [name for name in names if row["values"].get(name) and name != "direct"]
    name = "-".join(re.findall("[a-z0-9]+", row["name"].lower()))
    return Figure(name, row["name"], row["unit"], "bars", tuple(shown), {item: [row["values"][item]] for item in shown})
