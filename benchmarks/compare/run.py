"""The comparison from start to finish: contenders up, rounds, table, results as JSON."""

from __future__ import annotations

import json
import os
import platform
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.compare import accounting, rows
from benchmarks.compare.contenders import Contender, LiteLLM, Nginx, PlainAiohttp, Unavailable, Upstreams
from benchmarks.compare.gateway import Gateway
from benchmarks.compare.measure import Measurement, Workload, measure, memory, own_processes
from benchmarks.compare.rows import Row, by_round, fill, per_event, per_request, quantile
from benchmarks.compare.share import NoShares, shares
from benchmarks.compare.table import print_table
from benchmarks.load.run import raise_file_limit
from benchmarks.peers import run as peers
from benchmarks.peers.table import markdown
from benchmarks.simulator import SimulatorProcess, make_certificates

BUSY_LIMIT = 0.15  # processors that others may keep busy
SPARE_CORES = 6  # two workers, their store, the simulator, the load generator, and one for the rest
WORKER_SHARE = 0.2
PEERS = "peers"
PARTS = ("memory", "streams", "tls", "translated", "short", "scale", "body", "start", "workers", PEERS)


class Loaded(Exception):
    """Somebody else is using the machine: the numbers would not mean anything."""


@dataclass(slots=True)
class Comparison:
    """State of one comparison."""

    console: Console
    folder: Path
    rounds: int
    parts: frozenset[str]
    patience: float  # seconds a measurement may wait for a quiet machine
    plain: SimulatorProcess
    tls: SimulatorProcess
    upstreams: Upstreams
    contenders: list[Contender] = field(default_factory=list)
    measurements: list[Measurement] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    table: list[Row] = field(default_factory=list)
    idle: dict[str, accounting.Memory] = field(default_factory=dict)

    def named(self, *names: str) -> list[Contender]:
        return [contender for contender in self.contenders if contender.name in names]

    def play(self, workload: Workload, contenders: Sequence[Contender], rounds: int | None = None) -> None:
        """Every contender once a round; who begins moves on by one each round."""
        for number in range(rounds or self.rounds):
            shift = number % max(1, len(contenders))
            for contender in [*contenders[shift:], *contenders[:shift]]:
                self.measurements.append(self.once(workload, contender, number))

    def once(self, workload: Workload, contender: Contender, number: int) -> Measurement:
        """One measurement; repeated while strangers disturb it, as far as there is patience."""
        simulator = self.tls if workload.tls else self.plain
        deadline = time.monotonic() + self.patience
        while True:
            while time.monotonic() < deadline and accounting.foreign_load(0.3) > BUSY_LIMIT:
                time.sleep(0.5)
            result = measure(contender, workload, simulator, number)
            self._say(result)
            if result.foreign <= BUSY_LIMIT or time.monotonic() >= deadline:
                return result

    def _say(self, result: Measurement) -> None:
        errors = ", ".join(f"{count} x {kind}" for kind, count in result.load["errors"].items())
        unit = f"{per_event(result):8.2f} us/chunk" if result.events else f"{per_request(result):8.1f} us/request"
        store = f", store {result.store_cpu / max(1, result.cpu):.0%}" if result.store_cpu else ""
        trouble = f", {errors}" if errors else ""
        trouble += f", others busy {result.foreign:.2f}" if result.foreign > BUSY_LIMIT else ""
        self.console.print(f"  {result.workload:16} {result.contender:9}{unit}{store}{trouble}", highlight=False)

    def start(self, stack: ExitStack, only: Sequence[str]) -> None:
        """Start the contenders of every part but the peers, which run until the stack is closed."""
        for kind in (Contender, Nginx, PlainAiohttp, LiteLLM, Gateway):
            if only and kind.name not in only:
                continue
            contender = kind(self.folder, self.upstreams)
            stack.callback(contender.stop)
            try:
                contender.start()
            except Unavailable as reason:
                contender.stop()
                self.skipped[kind.name] = str(reason)
                self.console.print(f"[bold red]SKIPPED {kind.name}:[/] {reason}")
                continue
            self.contenders.append(contender)
        for contender in self.contenders:
            self.idle[contender.name] = memory(contender)

    # --- parts, in the order of the table

    def streams(self) -> None:
        self.play(rows.STREAMS, self.named("nginx", "aiohttp", "litellm", "gateway"))
        row = Row("CPU per streamed chunk, 200 streams", "us", limit=1.4, goal=1.25)
        self.table.append(fill(row, by_round(self.measurements, rows.STREAMS.name, per_event)))

    def first_byte(self) -> None:
        self.play(rows.STARTS, self.named("direct"), rounds=1)  # shown, and compared with nobody
        self.play(rows.STARTS, self.named("nginx", "litellm", "gateway"))
        row = Row("the same with answers of 200 chunks, their requests included", "us", limit=None)
        self.table.append(fill(row, by_round(self.measurements, rows.STARTS.name, per_event)))
        for name, limit in (("p50", 1.5), ("p99", 2.5)):
            row = Row(f"time to first byte {name}, 200 streams", "ms", limit=limit)
            self.table.append(fill(row, by_round(self.measurements, rows.STARTS.name, quantile(name))))

    def streams_tls(self) -> None:
        self.play(rows.STREAMS_TLS, self.named("nginx", "gateway"))
        row = Row("the same, TLS to the provider", "us", limit=1.6, goal=1.4)
        self.table.append(fill(row, by_round(self.measurements, rows.STREAMS_TLS.name, per_event)))

    def translated(self) -> None:
        """The same stream, asked for in Chat Completions of a provider that speaks Messages."""
        row = Row("CPU per streamed chunk, translated, over the native path", "us", limit=2.5)
        native = self.named("gateway")
        if native:
            other = Gateway(self.folder, self.upstreams, name="translated", translated=True)
            try:
                other.start()
                self.play(rows.STREAMS, [*native, other])
            finally:
                other.stop()
        table = by_round(self.measurements, rows.STREAMS.name, per_event)
        self.table.append(fill(row, table, subject="translated", base="gateway"))

    def short(self) -> None:
        self.play(rows.SHORT, self.contenders)
        row = Row("CPU per short JSON request, 32 connections", "us", limit=8)
        shares = [m.store_cpu / m.cpu for m in self.measurements if m.workload == rows.SHORT.name and m.store_cpu]
        row.note = f"the embedded store is {sum(shares) / len(shares):.0%} of it" if shares else ""
        self.table.append(fill(row, by_round(self.measurements, rows.SHORT.name, per_request)))

    def scale(self) -> None:
        """The ratio at each number of streams, relative to the ratio at 200."""
        tables = {}
        for callers in rows.SCALE:
            workload = rows.scaled(callers)
            self.play(workload, self.named("nginx", "gateway"), rounds=2)
            tables[callers] = by_round(self.measurements, workload.name, per_event)
        at_200 = fill(Row("", "", limit=0), tables[200]).figure
        for callers in rows.SCALE:
            row = Row(f"CPU per chunk, {callers:,} streams, 8,000 chunks/s", "us", limit=1.2)
            fill(row, tables[callers])
            row.note = f"ratio to nginx {row.figure:.2f}, judged against that at 200" if row.figure else ""
            row.ratios = [ratio / at_200 for ratio in row.ratios] if at_200 else []
            self.table.append(row)

    def memory(self) -> None:
        """Resident memory beyond the idle process, for each of 3,000 open streams to a provider over TLS."""
        row = Row("resident memory per open stream, 3,000 streams, TLS", "KiB", limit=24, ratio=False)
        for contender in self.named("nginx", "gateway"):
            measure(contender, rows.WARM_UP_TLS, self.tls, 0)
            before = memory(contender)
            result = self.once(rows.MEMORY, contender, 0)
            self.measurements.append(result)
            streams = result.load["open_at_end"]
            row.values[contender.name] = (result.memory.resident - before.resident) / max(1, streams) / 1024
        self.table.append(row)

    def growth(self) -> None:
        """What short requests over kept TLS connections leave behind: nothing, once a process is warm."""
        row = Row("memory left by a short request, TLS", "B", limit=400, ratio=False)
        for contender in self.named("nginx", "gateway"):
            measure(contender, rows.GROWTH, self.tls, 0)
            before = memory(contender)
            result = self.once(rows.GROWTH, contender, 0)
            row.values[contender.name] = (memory(contender).proportional - before.proportional) / result.requests
        self.table.append(row)

    def resident_idle(self) -> None:
        row = Row("resident memory idle, one worker", "MB", limit=60, ratio=False)
        row.values = {name: used.proportional / 1e6 for name, used in self.idle.items() if name != "direct"}
        row.note = "proportional set size of all its processes but the store"
        self.table.append(row)

    def body(self) -> None:
        """CPU of each further megabyte: the slope between the smallest and the largest body."""
        small, large = rows.BODIES
        for kib in rows.BODIES:
            self.play(rows.body(kib), self.named("nginx", "gateway"), rounds=2)
        low = by_round(self.measurements, rows.body(small).name, per_request)
        high = by_round(self.measurements, rows.body(large).name, per_request)
        slope = {
            name: {number: rows.per_megabyte(values[number], high[name][number]) for number in values}
            for name, values in low.items()
            if name in high
        }
        row = Row("CPU added per MB of request body, 64 KB to 4 MB", "us", limit=1.5)
        self.table.append(fill(row, slope))

    def start_time(self) -> None:
        """From the start of the command to the first answered request; the session exists before."""
        row = Row("start to first answered request", "s", limit=1.0, ratio=False)
        taken = []
        for number in range(3):
            gateway = Gateway(self.folder, self.upstreams, name=f"start-{number}")
            gateway.prepare()
            began = time.monotonic()
            gateway.launch()
            try:
                taken.append(gateway.answered(30.0) - began)
            finally:
                gateway.stop()
        row.values["gateway"] = sorted(taken)[len(taken) // 2]
        self.table.append(row)

    def workers(self) -> None:
        """Requests a second of two workers over those of one, at more load than either can take.

        With few processors each worker gets a small share of one, so that the rest of the machine is to spare.
        """
        row = Row("two workers over one", "requests/s", limit=1.8, at_least=True)
        cores = os.cpu_count() or 1
        workload = Workload("workers", scenario="short", callers=128, warmup=0.5, seconds=1.5, chunks=8, pace=0, size=0)
        pair = [Gateway(self.folder, self.upstreams, workers=count, name=f"workers-{count}") for count in (1, 2)]
        with ExitStack() as stack:
            for gateway in pair:
                gateway.start()
                stack.callback(gateway.stop)
            try:
                if cores < SPARE_CORES:
                    own = [pid for gateway in pair for pid in own_processes(gateway)]
                    stack.enter_context(shares(own, WORKER_SHARE))
                    row.note = f"each worker has {WORKER_SHARE:.0%} of a processor, for here are {cores}"
                self.play(workload, pair)
            except NoShares as error:
                row.note = f"needs {SPARE_CORES} processors, here are {cores}; {error}"
        table = by_round(self.measurements, workload.name, lambda m: float(m.load["requests_per_second"]))
        fill(row, table, subject="workers-2", base="workers-1")
        self.table.append(row)

    def all_parts(self) -> None:
        """Every part that was asked for."""
        steps = {
            "memory": (self.memory, self.growth, self.resident_idle),  # first: later parts leave memory behind
            "streams": (self.streams, self.first_byte),
            "tls": (self.streams_tls,),
            "translated": (self.translated,),
            "short": (self.short,),
            "scale": (self.scale,),
            "body": (self.body,),
            "start": (self.start_time,),
            "workers": (self.workers,),
        }
        for part, methods in steps.items():
            if part in self.parts:
                self.console.print(f"[bold]{part}[/]")
                for method in methods:
                    method()


def compare(
    *,
    rounds: int = 3,
    parts: Sequence[str] = PARTS,
    only: Sequence[str] = (),
    force: bool = False,
    patience: float = 0.0,
    out: Path | None = None,
) -> dict[str, Any]:
    """Run the comparison, print its table, return everything that was measured.

    Raises:
        Loaded: Others keep more than `BUSY_LIMIT` processors busy and ``force`` is off.
        RuntimeError: The system lacks the accounting, or a load run failed.
    """
    if not accounting.supported():
        raise RuntimeError("the comparison needs Linux's /proc with scheduler statistics")
    raise_file_limit()
    console = Console(highlight=False)
    console.width = max(console.width, 150)
    busy = accounting.foreign_load()
    if busy > BUSY_LIMIT and not force and not patience:
        raise Loaded(f"others keep {busy:.2f} processors busy; stop them, or use --patience or --force")
    began = time.monotonic()
    beside: dict[str, Any] | None = None
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True)))
        certificates = make_certificates(folder / "tls")
        plain = stack.enter_context(SimulatorProcess())
        tls = stack.enter_context(SimulatorProcess(tls=certificates))
        upstreams = Upstreams(plain.url, tls.url, certificates.ca_file)
        comparison = Comparison(console, folder, rounds, frozenset(parts), patience, plain, tls, upstreams)
        if comparison.parts - {PEERS}:
            with ExitStack() as running:
                comparison.start(running, only)
                comparison.all_parts()
        if PEERS in parts and peers.any_given(os.environ):
            console.print(f"[bold]{PEERS}[/]")
            beside = peers.run(console, folder / PEERS, upstreams, comparison.once, rounds=rounds, only=only)
            beside["busy"] = round(busy, 3) if busy > BUSY_LIMIT else 0.0
    if comparison.table:
        print_table(console, comparison.table, [contender.name for contender in comparison.contenders])
    if beside is not None:
        console.print(markdown(beside), markup=False, soft_wrap=True)
    result = {
        "kind": "comparison",
        "machine": {"cpus": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()},
        "seconds": round(time.monotonic() - began, 1),
        "busy_before": round(busy, 3),
        "forced": force and busy > BUSY_LIMIT,
        "rounds": rounds,
        "skipped": comparison.skipped,
        "rows": [row.as_dict() for row in comparison.table],
        "measurements": [measurement.as_dict() for measurement in comparison.measurements],
        "peers": beside,
    }
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(result, indent=1) + "\n")
    return result
