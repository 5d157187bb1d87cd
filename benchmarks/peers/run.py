"""The rounds: each contender once a round, alone on the machine, from its start to its kill."""

from __future__ import annotations

import os
import platform
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.compare import accounting, rows
from benchmarks.compare.contenders import Contender, LiteLLM, Nginx, Unavailable, Upstreams, answered
from benchmarks.compare.gateway import Gateway
from benchmarks.compare.measure import Measurement, Workload, memory, store_memory
from benchmarks.compare.versions import processor
from benchmarks.peers.contender import READY_SECONDS, PeerGateway, given
from benchmarks.peers.kill import Killed, kept_after_kill

LITELLM = "LITELLM"
_SETTLE = 1.0  # seconds between the first answer and the look at an idle process
_REST = 20.0  # seconds that a contender may take to end what a workload left behind
_ENDLESS = 10_000_000

OPEN = Workload("peers-open", callers=1000, ramp=2.0, warmup=3.5, seconds=1.0, chunks=_ENDLESS, pace=1000)
EVENTS = Workload("peers-events", callers=200, ramp=2.0, warmup=4.0, seconds=5.0, chunks=100)
SHORT = replace(rows.SHORT, name="peers-short", seconds=3.0)
BUSY = replace(rows.SHORT, name="peers-busy", callers=64, seconds=3.0)
ONE = replace(rows.SHORT, name="peers-one", callers=1, seconds=2.0)
SMALL, LARGE = (replace(rows.body(kib), name=f"peers-body-{kib}k") for kib in rows.BODIES)
WORKLOADS = (ONE, SHORT, BUSY, SMALL, LARGE, EVENTS)  # what leaves the most behind comes last

Make = Callable[[Path], Contender]
Once = Callable[[Workload, Contender, int], Measurement]


@dataclass(slots=True)
class PeerRow:
    """A line of the table: of each contender the values, by round.

    Attributes:
        ratio: Whether a value is compared with nginx's in the same round.
    """

    name: str
    unit: str
    ratio: bool = False
    values: dict[str, dict[int, float]] = field(default_factory=dict)

    def put(self, contender: str, number: int, value: float) -> None:
        self.values.setdefault(contender, {})[number] = value

    def as_dict(self) -> dict[str, Any]:
        values = {name: [rounds[number] for number in sorted(rounds)] for name, rounds in self.values.items()}
        ratios = {name: self._ratios(rounds) for name, rounds in self.values.items()} if self.ratio else {}
        return {"name": self.name, "unit": self.unit, "values": values, "ratios": ratios}

    def _ratios(self, rounds: Mapping[int, float]) -> list[float]:
        base = self.values.get("nginx", {})
        return [rounds[number] / base[number] for number in sorted(rounds) if base.get(number)]


def lines(measurements: Sequence[Measurement]) -> list[PeerRow]:
    """What the measurements of `OPEN` and `WORKLOADS` say; nothing of a contender that answered nothing."""

    def line(name: str, unit: str, workload: Workload, value: rows.Value, *, ratio: bool = False) -> PeerRow:
        return PeerRow(name, unit, ratio, rows.by_round(measurements, workload.name, value))

    low = rows.by_round(measurements, SMALL.name, rows.per_request)
    body = PeerRow("CPU per MB of request body, 64 KB to 4 MB", "us", ratio=True)
    for name, rounds in rows.by_round(measurements, LARGE.name, rows.per_request).items():
        for number, high in rounds.items():
            if number in low.get(name, {}):
                body.put(name, number, rows.per_megabyte(low[name][number], high))
    one = rows.by_round(measurements, ONE.name, lambda m: float(m.load["whole_ms"].get("p50", float("nan"))))
    direct = one.pop("direct", {})
    added = PeerRow("added for one caller, p50", "ms")
    for name, rounds in one.items():
        for number, value in rounds.items():
            if number in direct:
                added.put(name, number, value - direct[number])
    return [
        line(
            "CPU per streamed event, 200 streams of 100 events, their requests included",
            "us",
            EVENTS,
            rows.per_event,
            ratio=True,
        ),
        line("CPU per short JSON request, 32 callers", "us", SHORT, rows.per_request, ratio=True),
        line("requests a second, 64 callers", "requests/s", BUSY, _throughput),
        line("time to first byte p50, 200 streams", "ms", EVENTS, _streamed(rows.quantile("p50"))),
        line("time to first byte p99, 200 streams", "ms", EVENTS, _streamed(rows.quantile("p99"))),
        added,
        body,
        line("memory with 1,000 streams", "MB", OPEN, _streamed(_megabytes)),
    ]


def _throughput(measurement: Measurement) -> float:
    return float(measurement.load["requests_per_second"]) or float("nan")


def _streamed(value: rows.Value) -> rows.Value:
    """Nothing of a contender that sent no event: its errors have first bytes, too."""
    return lambda measurement: value(measurement) if measurement.events else float("nan")


def _megabytes(measurement: Measurement) -> float:
    return (measurement.memory + measurement.store_memory).proportional / 1e6


@dataclass(slots=True)
class Rounds:
    """State of a run.

    Attributes:
        once: Takes one measurement.
        try_kill: Kills a contender and says what its records lack.
        killed: Of each contender and round, what the kill showed; ``None`` where it keeps no records.
        unread: Why the kill of a contender showed nothing.
    """

    console: Console
    folder: Path
    once: Once
    try_kill: Callable[[Contender], Killed | None] = kept_after_kill
    measurements: list[Measurement] = field(default_factory=list)
    idle: PeerRow = field(default_factory=lambda: PeerRow("memory idle", "MB"))
    starts: PeerRow = field(default_factory=lambda: PeerRow("start to first answer", "s"))
    killed: dict[str, list[dict[str, int] | None]] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    commands: dict[str, str] = field(default_factory=dict)
    errors: dict[str, dict[str, int]] = field(default_factory=dict)

    def play(self, makers: Mapping[str, Make], rounds: int) -> None:
        """Every contender once a round; who begins moves on by one each round."""
        names = list(makers)
        for number in range(rounds):
            shift = number % max(1, len(names))
            for name in [*names[shift:], *names[:shift]]:
                if name in self.skipped:
                    continue
                try:
                    self._visit(name, makers[name], number)
                except Unavailable as reason:
                    self.skipped[name] = str(reason)
                    self.console.print(f"[bold red]SKIPPED {name}:[/] {reason}", highlight=False)

    def _visit(self, name: str, make: Make, number: int) -> None:
        """Three processes, one after the other, so that none carries what another measurement left behind."""
        with _ending(make(self.folder / f"{number}-memory")) as contender:
            self._start(contender, number)
            if contender.roots:
                self._memory(contender, number)
        with _ending(make(self.folder / f"{number}-load")) as contender:
            contender.start()
            for workload in WORKLOADS if contender.roots else (ONE,):
                _rest(contender)
                self._measure(workload, contender, number)
        known = self.killed.setdefault(name, [])
        with _ending(make(self.folder / f"{number}-killed")) as contender:
            try:
                seen = self.try_kill(contender)
            except Unavailable as reason:
                self.unread[name] = str(reason)
                return
        known.append(None if seen is None else seen.as_dict())
        if seen is not None:
            text = f"{seen.lost:,} of {len(seen.answered):,} answered requests are not in its records"
            self.console.print(f"  {'killed':16} {name:9} {text}", highlight=False)
            self._note(name, {"refused before the kill": seen.refused})

    def _start(self, contender: Contender, number: int) -> None:
        contender.prepare()
        began = time.monotonic()
        contender.start()
        self.starts.put(contender.name, number, answered(contender.routes[False], READY_SECONDS) - began)
        self.versions.setdefault(contender.name, contender.version())
        self.commands.setdefault(contender.name, _shown(contender))

    def _memory(self, contender: Contender, number: int) -> None:
        time.sleep(_SETTLE)
        used = memory(contender) + store_memory(contender)
        self.idle.put(contender.name, number, used.proportional / 1e6)
        self._measure(OPEN, contender, number)

    def _measure(self, workload: Workload, contender: Contender, number: int) -> None:
        measurement = self.once(workload, contender, number)
        self.measurements.append(measurement)
        self._note(contender.name, measurement.load["errors"])

    def _note(self, name: str, errors: Mapping[str, int]) -> None:
        counted = self.errors.setdefault(name, {})
        for error, count in errors.items():
            if count:
                counted[error] = counted.get(error, 0) + count

    def as_dict(self) -> dict[str, Any]:
        *first, streams = lines(self.measurements)
        table = [*first, self.idle, streams, self.starts]
        for line in table:
            line.values.pop("direct", None)
        return {
            "contenders": [name for name in self.killed if name not in {"direct", *self.skipped}],
            "lines": [line.as_dict() for line in table],
            "killed": self.killed,
            "unread": self.unread,
            "versions": self.versions,
            "commands": self.commands,
            "skipped": self.skipped,
            "errors": {name: errors for name, errors in self.errors.items() if errors},
            "measurements": [measurement.as_dict() for measurement in self.measurements],
        }


@contextmanager
def _ending(contender: Contender) -> Iterator[Contender]:
    try:
        yield contender
    finally:
        contender.stop()


def _rest(contender: Contender) -> None:
    """Wait until a contender does next to nothing."""
    deadline = time.monotonic() + _REST
    used, idle = _cpu(contender), False
    while not idle and time.monotonic() < deadline:
        time.sleep(0.2)
        before, used = used, _cpu(contender)
        idle = used - before < 0.02e9  # a tenth of one processor


def _cpu(contender: Contender) -> int:
    return sum(cpu for root in contender.roots for cpu in accounting.cpu_by_process(root).values())


def _shown(contender: Contender) -> str:
    """A contender's command line, with names in place of the folders and ports that only this run has."""
    words = [word.replace(str(contender.folder), "FOLDER") for word in contender.command_line]
    return re.sub(r"\b\d{4,5}\b", "PORT", " ".join(Path(word).name if word.startswith("/") else word for word in words))


def makers(upstreams: Upstreams, environment: Mapping[str, str], only: Sequence[str] = ()) -> dict[str, Make]:
    """How each contender is made: direct traffic, nginx, the gateway, and the peers whose paths are given.

    ``only``: names; a product's name stands for all its forms. Direct traffic is what others are compared with.
    """
    found: dict[str, Make] = {kind.name: partial(kind, upstreams=upstreams) for kind in (Contender, Nginx, Gateway)}
    for kind, program in given(environment):
        found[kind.name] = partial(PeerGateway, upstreams=upstreams, kind=kind, program=program)
    if environment.get(LITELLM):
        found[LiteLLM.name] = partial(LiteLLM, upstreams=upstreams)
    wanted = {Contender.name, *only}
    return {name: make for name, make in found.items() if not only or {name, name.partition("+")[0]} & wanted}


def any_given(environment: Mapping[str, str]) -> bool:
    """Whether the environment names another gateway."""
    return bool(given(environment) or environment.get(LITELLM))


def run(
    console: Console, folder: Path, upstreams: Upstreams, once: Once, *, rounds: int, only: Sequence[str] = ()
) -> dict[str, Any]:
    """Measure, and return everything that was measured, with the machine, the versions and the commands."""
    state = Rounds(console, folder, once)
    state.play(makers(upstreams, os.environ, only), rounds)
    return {
        "machine": {
            "cpus": os.cpu_count(),
            "processor": processor(),
            "system": platform.platform(),
            "python": platform.python_version(),
        },
        "when": time.strftime("%Y-%m-%d", time.gmtime()),
        "rounds": rounds,
        "command": " ".join(["python -m benchmarks", *sys.argv[1:]]),
        "variables": sorted({kind.variable for kind, _ in given(os.environ)} | ({LITELLM} & set(os.environ))),
    } | state.as_dict()
