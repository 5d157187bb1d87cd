"""The privacy report: one row a guarantee, one row a sink, as a table, as JSON and as a page.

`Collector` is a pytest plugin that hears what the tests said about themselves with ``record_property``:
``paths`` (names of what was tried), ``sinks`` (bytes searched of each), ``hits`` and ``controls``
(a leak's name, its sink and whether it was caught). `judge` makes rows of that.
"""

from __future__ import annotations

import importlib.util
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.privacy.guarantees import GUARANTEES, Guarantee

HELD, BROKEN, UNPROVEN, ABSENT = "held", "BROKEN", "NOT PROVEN", "not built"


@dataclass
class Outcome:
    """What became of one test."""

    node: str
    passed: bool
    skipped: str = ""
    failure: str = ""
    said: dict[str, Any] = field(default_factory=dict)


@dataclass(eq=False)  # pytest keeps its plugins in sets
class Collector:
    """The outcomes of a run by node id."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)  # files that could not be collected

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.broken.append(report.nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and report.passed:
            return
        one = Outcome(report.nodeid, report.passed, said=dict(report.user_properties))
        if report.skipped:
            one.skipped = report.longrepr[2] if isinstance(report.longrepr, tuple) else "skipped"
        elif report.failed:
            one.failure = report.nodeid if report.when == "call" else f"{report.nodeid} ({report.when})"
        before = self.outcomes.get(report.nodeid)
        if before is None or before.passed:  # a tear-down that failed counts
            self.outcomes[report.nodeid] = one


@dataclass(frozen=True)
class Row:
    guarantee: str
    paths: int
    tried: tuple[str, ...]
    sinks: tuple[str, ...]
    hits: tuple[str, ...]
    control: str
    controls: int  # deliberate faults tried
    caught: int
    failed: tuple[str, ...]
    skipped: tuple[str, ...]
    state: str


@dataclass(frozen=True)
class Sink:
    name: str
    searched: int  # bytes, over all scenarios
    hits: int
    controls: tuple[str, ...]
    caught: tuple[str, ...]


@dataclass(frozen=True)
class Verdict:
    rows: tuple[Row, ...]
    sinks: tuple[Sink, ...]

    @property
    def good(self) -> bool:
        return self.good_as_far_as_tried and all(row.state != UNPROVEN for row in self.rows)

    @property
    def good_as_far_as_tried(self) -> bool:
        """As `good`, but a row whose tests say why they can't run here may be not proven."""
        rows = all(row.state in {HELD, ABSENT} or (row.state == UNPROVEN and row.skipped) for row in self.rows)
        return rows and all(not sink.hits and len(sink.caught) == len(sink.controls) for sink in self.sinks)


def judge(collector: Collector) -> Verdict:
    outcomes = list(collector.outcomes.values())
    return Verdict(tuple(_row(one, outcomes, collector.broken) for one in GUARANTEES), tuple(_sinks(outcomes)))


def _row(guarantee: Guarantee, outcomes: list[Outcome], uncollected: list[str]) -> Row:
    if guarantee.needs and not _exists(guarantee.needs):
        return Row(guarantee.name, 0, (), (), (), f"{guarantee.needs} is not in this build", 0, 0, (), (), ABSENT)
    ours = [one for one in outcomes if one.node.startswith(guarantee.tests)]
    controls = [one for one in outcomes if any(part in one.node for part in guarantee.controls)]
    stated = [control for one in controls for control in one.said.get("controls", ())]
    tried = tuple(dict.fromkeys(path for one in ours for path in one.said.get("paths", ())))
    sinks = guarantee.sinks or tuple(sorted({sink for one in ours for sink in one.said.get("sinks", ())}))
    hits = tuple(hit for one in ours for hit in one.said.get("hits", ()))
    failed = tuple(one.failure for one in {id(o): o for o in ours + controls}.values() if one.failure)
    failed += tuple(name for name in uncollected if guarantee.tests and name.startswith(guarantee.tests))
    count = len(stated) or len(controls)
    caught = sum(control["caught"] for control in stated) if stated else sum(one.passed for one in controls)
    ran = [one for one in ours if one.passed]
    state = BROKEN if hits or failed else HELD if ran and caught == count > 0 else UNPROVEN
    skipped = tuple(sorted({one.skipped for one in ours + controls if one.skipped}))
    paths = len(tried) or len(ran)
    return Row(guarantee.name, paths, tried, sinks, hits, guarantee.control, count, caught, failed, skipped, state)


def _sinks(outcomes: list[Outcome]) -> list[Sink]:
    searched: Counter[str] = Counter()
    hits: Counter[str] = Counter()
    controls: dict[str, list[dict[str, Any]]] = {}
    for one in outcomes:
        searched.update(one.said.get("sinks", {}))
        hits.update(hit.split(":")[0] for hit in one.said.get("hits", ()))
        for control in one.said.get("controls", ()):
            controls.setdefault(control["sink"], []).append(control)
    return [
        Sink(
            name,
            searched[name],
            hits[name],
            tuple(control["leak"] for control in controls.get(name, ())),
            tuple(control["leak"] for control in controls.get(name, ()) if control["caught"]),
        )
        for name in sorted({*searched, *hits, *controls})
    ]


def _exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
