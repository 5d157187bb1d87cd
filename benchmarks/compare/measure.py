"""One measurement: a contender under a workload, from the moment the load is steady until it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks import processes
from benchmarks.compare import accounting
from benchmarks.compare.accounting import Memory
from benchmarks.compare.contenders import Contender
from benchmarks.simulator import SimulatorProcess

REST_SECONDS, REST_STEP, REST_LOAD = 30.0, 0.2, 0.05
STORES = frozenset(("valkey-server", "redis-server"))


@dataclass(frozen=True, slots=True)
class Workload:
    """What is asked of every contender alike. Times are seconds, ``pace`` milliseconds."""

    name: str
    scenario: str = "streams"
    callers: int = 200
    seconds: float = 3.0
    warmup: float = 1.0
    ramp: float = 0.0
    chunks: int = 200
    pace: float = 10.0
    size: int = 300
    prompt_bytes: int = 200
    tls: bool = False

    @property
    def arguments(self) -> list[str]:
        return [
            self.scenario,
            *("--callers", str(self.callers)),
            *("--seconds", str(self.seconds)),
            *("--warmup", str(self.warmup)),
            *("--ramp", str(self.ramp)),
            *("--prompt-bytes", str(self.prompt_bytes)),
            "--marks",
        ]


@dataclass(slots=True)
class Measurement:
    """What one contender did in one window. CPU in nanoseconds, memory in bytes.

    Attributes:
        cpu: Of the whole process tree, the store included.
        store_cpu: Of that, what a store in the tree used.
        memory: Of the tree without a store, when the window opened.
        store_memory: Of a store in the tree, at that moment.
        foreign: Processors kept busy by strangers during the window.
        load: The load generator's result.
    """

    contender: str
    workload: str
    round: int
    cpu: int = 0
    store_cpu: int = 0
    memory: Memory = field(default_factory=lambda: Memory(0, 0))
    store_memory: Memory = field(default_factory=lambda: Memory(0, 0))
    foreign: float = 0.0
    load: dict[str, Any] = field(default_factory=dict)

    @property
    def events(self) -> int:
        return int(self.load["events"])

    @property
    def requests(self) -> int:
        return int(self.load["completed"])

    def per(self, count: int) -> float:
        """CPU microseconds for each of ``count`` things; not a number when there were none."""
        return self.cpu / count / 1000 if count else float("nan")

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def _cpu(contender: Contender) -> dict[int, int]:
    return {pid: cpu for root in contender.roots for pid, cpu in accounting.cpu_by_process(root).items()}


def _processes(contender: Contender) -> list[int]:
    return [pid for root in contender.roots for pid in accounting.tree(root)]


def own_processes(contender: Contender) -> list[int]:
    """A contender's processes, without a store that it started."""
    return [pid for pid in _processes(contender) if accounting.name_of(pid) not in STORES]


def memory(contender: Contender) -> Memory:
    """Memory of a contender's own processes."""
    return sum(map(accounting.memory_of, own_processes(contender)), Memory(0, 0))


def store_memory(contender: Contender) -> Memory:
    """Memory of a store that a contender started."""
    stores = (pid for pid in _processes(contender) if accounting.name_of(pid) in STORES)
    return sum(map(accounting.memory_of, stores), Memory(0, 0))


def measure(contender: Contender, workload: Workload, simulator: SimulatorProcess, number: int) -> Measurement:
    """Run a workload against a contender. Raises RuntimeError when the load generator fails."""
    _await_rest(contender)
    simulator.set_defaults(chunks=workload.chunks, pace=workload.pace, size=workload.size, faults="")
    simulator.reset()
    route = contender.routes[workload.tls]
    command = [sys.executable, "-m", "benchmarks", "load", *workload.arguments]
    command += ["--url", route.url, "--token", route.token, "--model", route.model]
    if route.ca_file:
        command += ["--ca-file", route.ca_file]
    for header in route.headers:
        command += ["--header", header]
    result = Measurement(contender.name, workload.name, number)
    with processes.start(command, stdout=subprocess.PIPE, text=True) as load:
        assert load.stdout is not None
        load.stdout.readline()
        before, machine = _cpu(contender), _machine()
        result.memory, result.store_memory = memory(contender), store_memory(contender)
        load.stdout.readline()
        after, machine_after = _cpu(contender), _machine()
        text = load.stdout.read()
    simulator.set_defaults(chunks=None, pace=None, size=None)  # who asks next, asks for an answer that ends
    if load.returncode:
        raise RuntimeError(f"the load generator failed on {contender.name} under {workload.name}")
    result.load = json.loads(text)
    for pid, cpu in after.items():
        used = cpu - before.get(pid, 0)
        result.cpu += used
        if accounting.name_of(pid) in STORES:
            result.store_cpu += used
    busy, ours = (later - earlier for later, earlier in zip(machine_after, machine, strict=True))
    result.foreign = max(0.0, (busy - ours) / (result.load["seconds"] * 1e9))
    return result


def _await_rest(contender: Contender) -> None:
    """Wait until nothing is left to do of the measurement before: thousands of streams that were left are settled."""
    deadline = time.monotonic() + REST_SECONDS
    before = sum(_cpu(contender).values())
    while time.monotonic() < deadline:
        time.sleep(REST_STEP)
        after = sum(_cpu(contender).values())
        if after - before < REST_LOAD * REST_STEP * 1e9:
            return
        before = after


def _machine() -> tuple[int, int]:
    """Busy time of the machine, and that of our own processes (everything below this one)."""
    return accounting.machine_busy_ns(), sum(accounting.cpu_by_process(os.getpid()).values())
