"""The layers under the comparison's own workloads, each in ratio to nginx within a round."""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.compare import rows
from benchmarks.compare.contenders import Contender, Nginx, Upstreams
from benchmarks.compare.gateway import Gateway
from benchmarks.compare.measure import Measurement, Workload, measure
from benchmarks.floor.server import LAYERS
from benchmarks.load.run import raise_file_limit
from benchmarks.simulator import SimulatorProcess, make_certificates


class Layer(Gateway):
    """A layer, set up like the gateway: the same configuration, store and accounts."""

    def __init__(self, folder: Path, upstreams: Upstreams, layer: str) -> None:
        super().__init__(folder, upstreams, name=layer)

    def launch(self) -> None:
        self.spawn([sys.executable, "-m", "benchmarks.floor.server", str(self.config), self.name], os.environ)


@dataclass(frozen=True, slots=True)
class Column:
    """One figure: ``value`` gets a contender's measurements of one round, one for each of its question's workloads."""

    name: str
    unit: str
    value: Callable[[Sequence[Measurement]], float]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of which layers, and the figures that come of it."""

    workloads: tuple[Workload, ...]
    layers: tuple[str, ...]
    columns: tuple[Column, ...]


_FORWARDING = ("splice", "forward")
QUESTIONS = {
    "short": Question(
        (rows.SHORT,), ("splice", "answer", "forward", "ledger"),
        (Column("short JSON request", "us", lambda found: rows.per_request(found[0])),),
    ),
    "streams": Question(
        (rows.STREAMS,), (*_FORWARDING, "search"),
        (Column("chunk, 200 streams", "us", lambda found: rows.per_event(found[0])),),
    ),
    "few": Question(
        (rows.scaled(10),), (*_FORWARDING, "search"),
        (Column("chunk, 10 streams", "us", lambda found: rows.per_event(found[0])),),
    ),
    "starts": Question(
        (rows.STARTS,), (*_FORWARDING, "ledger"),
        (
            Column("first byte p50", "ms", lambda found: rows.quantile("p50")(found[0])),
            Column("first byte p99", "ms", lambda found: rows.quantile("p99")(found[0])),
        ),
    ),
    "body": Question(
        tuple(map(rows.body, rows.BODIES)), (*_FORWARDING, "answer", "split"),
        (Column("MB of body", "us", lambda found: rows.per_megabyte(*map(rows.per_request, found))),),
    ),
}  # fmt: skip
"""By the name of ``--part``."""


@dataclass(slots=True)
class Answer:
    """The figures of one column: contender -> one per round."""

    column: Column
    figures: dict[str, list[float]] = field(default_factory=dict)

    def median(self, name: str) -> float:
        return statistics.median(self.figures[name])

    def ratio(self, name: str) -> float:
        """To nginx, paired within a round."""
        pairs = zip(self.figures[name], self.figures["nginx"], strict=True)
        return statistics.median(mine / theirs for mine, theirs in pairs)

    def as_dict(self) -> dict[str, Any]:
        ratios = {name: self.ratio(name) for name in self.figures}
        return {"name": self.column.name, "unit": self.column.unit, "figures": self.figures, "ratios": ratios}


def floor(parts: Sequence[str], *, rounds: int, out: Path | None) -> list[Answer]:
    """Measure, print the table and write the figures.

    Raises:
        Unavailable: nginx is not installed, or a layer did not start.
        RuntimeError: A load run failed.
    """
    raise_file_limit()
    console = Console(highlight=False)
    console.width = max(console.width, 150)
    answers = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="floor-", ignore_cleanup_errors=True)))
        certificates = make_certificates(folder / "tls")
        simulator = stack.enter_context(SimulatorProcess())
        upstreams = Upstreams(simulator.url, simulator.url, certificates.ca_file)
        running: dict[str, Contender] = {}
        for part in parts:
            question = QUESTIONS[part]
            asked = [Answer(column) for column in question.columns]
            for name in ("nginx", *question.layers, "gateway"):
                if name not in running:
                    running[name] = contender = _contender(name, folder, upstreams)
                    stack.callback(contender.stop)
                    contender.start()
            for number in range(rounds):
                for name in ("nginx", *question.layers, "gateway"):
                    found = [measure(running[name], workload, simulator, number) for workload in question.workloads]
                    for answer in asked:
                        column, value = answer.column, answer.column.value(found)
                        answer.figures.setdefault(name, []).append(value)
                        console.print(f"  {column.name:20} {name:8} {value:9.2f} {column.unit}")
            answers += asked
    console.print(_table(answers))
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(
            json.dumps({"kind": "floor", "answers": [answer.as_dict() for answer in answers]}, indent=1) + "\n"
        )
    return answers


def _contender(name: str, folder: Path, upstreams: Upstreams) -> Contender:
    if name == "nginx":
        return Nginx(folder, upstreams)
    return Gateway(folder, upstreams) if name == "gateway" else Layer(folder, upstreams, name)


def _table(answers: Sequence[Answer]) -> Table:
    table = Table(title="each layer, and its ratio to nginx in the same round (medians)")
    table.add_column("layer")
    for answer in answers:
        table.add_column(f"{answer.column.name}, {answer.column.unit}", justify="right")
    for name in ("nginx", *LAYERS, "gateway"):
        cells = [
            f"{answer.median(name):.3g} ({answer.ratio(name):.2f} x)" if name in answer.figures else ""
            for answer in answers
        ]
        if any(cells):
            table.add_row(name, *cells)
    return table
