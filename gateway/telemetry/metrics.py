"""Counters, gauges and histograms over all workers, in Prometheus' text format.

All values are 64-bit integers in one shared memory block: a row per worker, a column per series.
A worker writes only its own row, so no lock is needed; rendering sums the columns. A new worker continues the
row of the one that it replaces, so that counters never fall; the gauges of a dead one are set to 0 (`forget`).

Labels are closed enumerations known at start (operations, providers, codes): never a user, an
account, a model name of a client or any other text of a request.

The block begins with what its creator knew of the labels, so that every process of a gateway has the same columns, also
one that starts later and finds another configuration.
"""

from __future__ import annotations

import mmap
import os
import sys
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
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
    divisor: int = 0  # what is shown is the value divided by this, if it is not 0
    sparse: bool = False  # a series that was never counted is not shown
    reading: Reading | None = None


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

    def put(self, values: Mapping[str, int]) -> None:
        """Set a gauge with one label: what is not in ``values`` is 0; what is outside the closed list is summed."""
        sums = dict.fromkeys(self._columns.values(), 0)
        for label, value in values.items():
            sums[self._columns.get((label,), self._columns[OTHER,])] += value
        for column, value in sums.items():
            self._registry.cells[column] = value

    def add(self, by: int) -> None:
        """For a series without labels."""
        self._registry.cells[self._columns[()]] += by


class Histogram:
    """A histogram of durations. Buckets are upper bounds in seconds."""

    __slots__ = ("_bounds", "_columns", "_registry", "_width")

    def __init__(
        self, registry: Registry, columns: dict[tuple[str, ...], int], bounds: tuple[int, ...], width: int
    ) -> None:
        self._registry = registry
        self._columns = columns
        self._bounds = bounds
        self._width = width

    def observe(self, seconds: float, *values: str) -> None:
        column = self._columns.get(values)
        if column is None:
            column = self._columns[(OTHER,) * self._width]
        micros = max(0, int(seconds * 1_000_000))
        cells = self._registry.cells
        cells[column + bisect_left(self._bounds, micros)] += 1
        cells[column + len(self._bounds) + 1] += micros


class Reading:
    """A value that only the process that renders knows. It is read at each scrape; unset, it is not shown."""

    __slots__ = ("read",)

    def __init__(self) -> None:
        self.read: Callable[[], float | None] = lambda: None


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
        columns = {combination: self._claim(1) for combination in _combinations(labels)}
        self._families.append(_Family(name, kind, text, tuple(labels), tuple(columns.items())))
        return Counter(self, columns, len(labels))

    def sparse_counter(
        self, name: str, text: str, labels: tuple[str, ...], combinations: Iterable[tuple[str, ...]]
    ) -> Counter:
        """Declare a counter with a closed list of combinations of label values, each shown once it has been counted."""
        known = dict.fromkeys((*combinations, (OTHER,) * len(labels)))
        columns = {combination: self._claim(1) for combination in known}
        self._families.append(_Family(name, "counter", text, labels, tuple(columns.items()), sparse=True))
        return Counter(self, columns, len(labels))

    def clock(self, name: str, text: str) -> Counter:
        """Declare a counter of time: kept in microseconds, shown in seconds."""
        column = self._claim(1)
        self._families.append(_Family(name, "counter", text, (), (((), column),), divisor=1_000_000))
        return Counter(self, {(): column}, 0)

    def gauge(self, name: str, text: str, **labels: Sequence[str]) -> Counter:
        """Declare a gauge; the sum over the workers is shown."""
        return self.counter(name, text, kind="gauge", **labels)

    def histogram(self, name: str, text: str, buckets: Sequence[float], **labels: Sequence[str]) -> Histogram:
        bounds = tuple(int(bound * 1_000_000) for bound in buckets)
        columns = {combination: self._claim(len(bounds) + 2) for combination in _combinations(labels)}
        self._families.append(_Family(name, "histogram", text, tuple(labels), tuple(columns.items()), bounds))
        return Histogram(self, columns, bounds, len(labels))

    def reading(self, name: str, text: str, kind: str = "gauge", **labels: str) -> Reading:
        """Declare a value of the process that renders; its labels are constant."""
        reading = Reading()
        series = ((tuple(labels.values()), 0),)
        self._families.append(_Family(name, kind, text, tuple(labels), series, reading=reading))
        return reading

    def create(self, rows: int, head: bytes = b"") -> int:
        """Make shared memory for ``rows`` workers, behind ``head``; returns its inheritable descriptor."""
        descriptor = os.memfd_create("metrics", 0)
        padded = head.ljust(-(-len(head) // CELL) * CELL)
        os.truncate(descriptor, CELL + len(padded) + max(1, rows * self._width) * CELL)
        os.pwrite(descriptor, len(padded).to_bytes(CELL, sys.byteorder) + padded, 0)
        os.set_inheritable(descriptor, True)
        return descriptor

    def bind(self, descriptor: int, row: int | None) -> None:
        """Attach to shared memory; ``row`` is this process's own, or ``None`` to read only."""
        size = os.fstat(descriptor).st_size
        begin = (CELL + _head_size(descriptor)) // CELL
        self._block = memoryview(mmap.mmap(descriptor, size)).cast("q")[begin:]
        self._rows = len(self._block) // max(1, self._width)
        if row is not None:
            self.cells = self._block[row * self._width : (row + 1) * self._width]
            self.forget(row)

    def forget(self, row: int) -> None:
        """Set the gauges of a row to 0: its worker begins, or has died."""
        assert self._block is not None
        for family in self._families:
            if family.kind == "gauge" and family.reading is None:
                for _values, column in family.series:
                    self._block[row * self._width + column] = 0

    def held_by(self, column: int) -> int:
        """In how many workers a gauge is not 0."""
        assert self._block is not None
        return sum(self._block[row * self._width + column] != 0 for row in range(self._rows))

    def layout(self) -> str:
        """A digest of every series and its column: processes with another one cannot share memory."""
        told = repr(
            [(one.name, one.kind, one.labels, one.series, one.buckets) for one in self._families if one.reading is None]
        )
        return blake2b(told.encode(), digest_size=16).hexdigest()

    def names(self) -> dict[str, tuple[str, ...]]:
        """Each metric and its labels."""
        return {family.name: family.labels for family in self._families}

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
                labels = [f'{name}="{value}"' for name, value in zip(family.labels, values, strict=True)]
                if family.kind == "histogram":
                    if not (OTHER in values and self._is_empty(family, column)):
                        lines.extend(self._histogram_lines(family, labels, column))
                    continue
                value: float | None = self.total(column) if family.reading is None else family.reading.read()
                if value is None or (not value and (family.sparse or OTHER in values)):
                    continue
                shown = f"{value / family.divisor:.6f}" if family.divisor else value
                lines.append(f"{family.name}{_braces(labels)} {shown}")
        return ("\n".join(lines) + "\n").encode()

    def _is_empty(self, family: _Family, column: int) -> bool:
        return not any(self.total(column + index) for index in range(len(family.buckets) + 1))

    def _histogram_lines(self, family: _Family, labels: list[str], column: int) -> list[str]:
        lines, total = [], 0
        for index, bound in enumerate((*(f"{bound / 1_000_000:g}" for bound in family.buckets), "+Inf")):
            total += self.total(column + index)
            le = f'le="{bound}"'
            lines.append(f"{family.name}_bucket{_braces([*labels, le])} {total}")
        micros = self.total(column + len(family.buckets) + 1)
        lines.append(f"{family.name}_sum{_braces(labels)} {micros / 1_000_000:.6f}")
        lines.append(f"{family.name}_count{_braces(labels)} {total}")
        return lines


def head_of(descriptor: int) -> bytes:
    """What the creator of a block wrote before it."""
    return os.pread(descriptor, _head_size(descriptor), CELL)


def _head_size(descriptor: int) -> int:
    return int.from_bytes(os.pread(descriptor, CELL, 0), sys.byteorder)


def _combinations(labels: dict[str, Sequence[str]]) -> Iterable[tuple[str, ...]]:
    return product(*(tuple(dict.fromkeys((*allowed, OTHER))) for allowed in labels.values()))


def _braces(labels: Sequence[str]) -> str:
    return f"{{{','.join(labels)}}}" if labels else ""
