"""Counters, gauges and histograms that are right across workers, in Prometheus' text format.

All values are 64-bit integers in one shared memory block: a row per worker, a column per series.
A worker writes its own row only, so no lock is needed; whoever renders sums the columns. A worker
that is replaced goes on in the row of the dead one, so that counters never fall.

Labels are closed enumerations known at start (operations, providers, codes): never a user, an
account, a model name of a client or any other text of a request.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

CELL = 8
OTHER = "other"


@dataclass(frozen=True, slots=True)
class _Family:
    name: str
    kind: str
    help: str
    labels: tuple[str, ...]
    series: tuple[tuple[tuple[str, ...], int], ...]  # label values -> column
    buckets: tuple[int, ...] = ()  # microseconds
    scale: int = 1


class Counter:
    """A counter with labels; `inc` by the tuple of label values."""

    __slots__ = ("_columns", "_registry", "_width")

    def __init__(self, registry: Registry, columns: dict[tuple[str, ...], int], width: int) -> None:
        self._registry = registry
        self._columns = columns
        self._width = width

    def inc(self, *values: str, by: int = 1) -> None:
        column = self._columns.get(values)
        if column is None:  # a value outside the closed list is counted, never shown
            column = self._columns[(OTHER,) * self._width]
        self._registry.cells[column] += by

    def column(self, *values: str) -> int:
        """The cell of a series, for gauges that are set."""
        return self._columns[values]

    def add(self, by: int) -> None:
        """For a series without labels."""
        self._registry.cells[self._columns[()]] += by


class Histogram:
    """A histogram of durations. Buckets are upper bounds in seconds."""

    __slots__ = ("_bounds", "_column", "_registry")

    def __init__(self, registry: Registry, column: int, bounds: tuple[int, ...]) -> None:
        self._registry = registry
        self._column = column
        self._bounds = bounds

    def observe(self, seconds: float) -> None:
        micros = int(seconds * 1_000_000)
        cells, column = self._registry.cells, self._column
        for index, bound in enumerate(self._bounds):
            if micros <= bound:
                cells[column + index] += 1
                break
        else:
            cells[column + len(self._bounds)] += 1
        cells[column + len(self._bounds) + 1] += micros


class Registry:
    """Declares series, then `bind`s to shared memory. Declare in the same order in every process."""

    def __init__(self) -> None:
        self._families: list[_Family] = []
        self._width = 0
        self._block: memoryview | None = None
        self._rows = 1
        self.cells: memoryview | list[int] = []

    def _claim(self, count: int) -> int:
        column, self._width = self._width, self._width + count
        return column

    def counter(self, name: str, text: str, kind: str = "counter", **labels: Sequence[str]) -> Counter:
        """Declare a counter (or a gauge) with a closed list of values for each label."""
        values = [tuple(dict.fromkeys((*allowed, OTHER))) for allowed in labels.values()]
        columns = {combination: self._claim(1) for combination in product(*values)}
        self._families.append(_Family(name, kind, text, tuple(labels), tuple(columns.items())))
        return Counter(self, columns, len(labels))

    def gauge(self, name: str, text: str, **labels: Sequence[str]) -> Counter:
        """Declare a gauge; the sum over the workers is shown."""
        return self.counter(name, text, kind="gauge", **labels)

    def histogram(self, name: str, text: str, buckets: Sequence[float]) -> Histogram:
        bounds = tuple(int(bound * 1_000_000) for bound in buckets)
        column = self._claim(len(bounds) + 2)
        self._families.append(_Family(name, "histogram", text, (), (((), column),), bounds))
        return Histogram(self, column, bounds)

    def create(self, rows: int) -> int:
        """Make shared memory for ``rows`` workers; returns its inheritable descriptor."""
        descriptor = os.memfd_create("metrics", 0)
        os.ftruncate(descriptor, max(1, rows * self._width) * CELL)
        os.set_inheritable(descriptor, True)
        return descriptor

    def bind(self, descriptor: int, row: int | None) -> None:
        """Attach to shared memory; ``row`` is this process's own, or ``None`` to read only."""
        size = os.fstat(descriptor).st_size
        self._block = memoryview(mmap.mmap(descriptor, size)).cast("q")
        self._rows = size // CELL // max(1, self._width)
        if row is not None:
            self.cells = self._block[row * self._width : (row + 1) * self._width]
            for family in self._families:
                if family.kind == "gauge":
                    for _values, column in family.series:
                        self.cells[column] = 0

    @property
    def rows(self) -> int:
        """How many workers there are."""
        return self._rows

    def total(self, column: int) -> int:
        """The sum of a column over all workers."""
        assert self._block is not None
        return sum(self._block[row * self._width + column] for row in range(self._rows))

    def render(self) -> bytes:
        """The exposition text (Prometheus text format 0.0.4) over all workers."""
        lines: list[str] = []
        for family in self._families:
            lines.append(f"# HELP {family.name} {family.help}")
            lines.append(f"# TYPE {family.name} {family.kind}")
            for values, column in family.series:
                if family.kind == "histogram":
                    lines.extend(self._histogram_lines(family, column))
                    continue
                value = self.total(column)
                if OTHER in values and not value:
                    continue
                labels = ",".join(f'{k}="{v}"' for k, v in zip(family.labels, values, strict=True))
                lines.append(f"{family.name}{{{labels}}} {value}" if labels else f"{family.name} {value}")
        return ("\n".join(lines) + "\n").encode()

    def _histogram_lines(self, family: _Family, column: int) -> list[str]:
        lines, total = [], 0
        for index, bound in enumerate(family.buckets):
            total += self.total(column + index)
            lines.append(f'{family.name}_bucket{{le="{bound / 1_000_000:g}"}} {total}')
        total += self.total(column + len(family.buckets))
        lines.append(f'{family.name}_bucket{{le="+Inf"}} {total}')
        lines.append(f"{family.name}_sum {self.total(column + len(family.buckets) + 1) / 1_000_000:.6f}")
        lines.append(f"{family.name}_count {total}")
        return lines
