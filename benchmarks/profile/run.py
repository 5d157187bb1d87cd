"""The profile command: simulator, gateway and load up; the profiler on the busiest worker; the table.

``py-spy`` shows Python functions (with ``--native`` C as well), ``perf`` the C functions and the
kernel's, ``callgrind`` counts instructions of a gateway that it runs fifty times slower.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import processes
from benchmarks.compare import accounting, rows
from benchmarks.compare.contenders import Unavailable, Upstreams
from benchmarks.compare.gateway import Gateway
from benchmarks.compare.measure import Workload, own_processes
from benchmarks.load.run import raise_file_limit
from benchmarks.profile.costs import Cost, from_callgrind, from_perf, from_stacks
from benchmarks.simulator import SimulatorProcess, make_certificates

WORKLOADS = {
    "streams": rows.STREAMS,
    "starts": rows.STARTS,
    "tls": rows.STREAMS_TLS,
    "short": rows.SHORT,
    "body": rows.body(1024),
}
TOOLS = ("py-spy", "perf", "callgrind")
_SETTLE_S = 3.0


def tool_path(name: str) -> str | None:
    """Where a profiler is installed; ``PY_SPY`` names another py-spy."""
    if name == "callgrind":
        return shutil.which("valgrind")
    if name == "py-spy":
        beside = shutil.which("py-spy", path=str(Path(sys.executable).parent))
        return os.environ.get("PY_SPY") or beside or shutil.which("py-spy")
    return shutil.which(name)


class _Instrumented(Gateway):
    """The gateway run by callgrind, its counts written when it ends."""

    def launch(self) -> None:
        valgrind = [str(tool_path("callgrind")), "--tool=callgrind", "--trace-children=yes", "--dump-instr=no"]
        out = f"--callgrind-out-file={self.folder}/callgrind.%p"
        self.spawn([*valgrind, out, sys.executable, self.command(), "serve", "--config", str(self.config)])

    def answered(self, seconds: float) -> float:
        return super().answered(max(seconds, 180.0))


def busiest(gateway: Gateway, seconds: float = 0.5) -> int:
    """The gateway's process that uses the most CPU just now, its store aside."""
    before = {pid: accounting.cpu_ns(pid) for pid in own_processes(gateway)}
    time.sleep(seconds)
    used = {pid: accounting.cpu_ns(pid) - before.get(pid, 0) for pid in own_processes(gateway)}
    return max(used, key=lambda pid: used[pid])


def profile(tool: str, workload_name: str, seconds: float, out: Path, *, native: bool = False) -> list[Cost]:
    """Profile and return the costs, dearest first; the raw output stays in ``out``.

    Raises:
        Unavailable: The tool or the gateway cannot be started.
    """
    if tool_path(tool) is None:
        raise Unavailable(f"{tool} is not installed")
    raise_file_limit()
    workload = WORKLOADS[workload_name]
    if tool == "callgrind":
        workload = replace(workload, callers=10, pace=50, chunks=100, ramp=0, warmup=3)
    out.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="profile-", ignore_cleanup_errors=True)))
        certificates = make_certificates(folder / "tls")
        plain = stack.enter_context(SimulatorProcess())
        tls = stack.enter_context(SimulatorProcess(tls=certificates))
        for simulator in (plain, tls):
            simulator.set_defaults(chunks=workload.chunks, pace=workload.pace, size=workload.size)
        kind = _Instrumented if tool == "callgrind" else Gateway
        gateway = kind(folder, Upstreams(plain.url, tls.url, certificates.ca_file))
        stack.callback(gateway.stop)
        gateway.start()
        load = _load(gateway, replace(workload, seconds=seconds + _SETTLE_S + workload.warmup))
        try:
            time.sleep(max(workload.warmup, workload.ramp) + 1.0)
            return _record(tool, gateway, load, seconds, out, native=native)
        finally:
            load.terminate()
            load.wait()


def _load(gateway: Gateway, workload: Workload) -> subprocess.Popen[bytes]:
    route = gateway.routes[workload.tls]
    command = [sys.executable, "-m", "benchmarks", "load", *workload.arguments, "--url", route.url]
    return processes.start([*command, "--token", route.token, "--model", route.model], stdout=subprocess.DEVNULL)


def _record(
    tool: str, gateway: Gateway, load: subprocess.Popen[bytes], seconds: float, out: Path, *, native: bool
) -> list[Cost]:
    path = tool_path(tool) or tool
    if tool == "callgrind":
        load.wait()
        gateway.stop()
        counts = max(gateway.folder.glob("callgrind.*"), key=lambda file: file.stat().st_size)
        text = _output(["callgrind_annotate", str(counts)])
        (out / "callgrind.txt").write_text(text)
        return from_callgrind(text)
    pid = str(busiest(gateway))
    if tool == "perf":
        data = str(out / "perf.data")
        _output([path, "record", "-F", "1999", "-g", "-o", data, "-p", pid, "--", "sleep", str(seconds)])
        text = _output(
            [path, "report", "-i", data, "--stdio", "--no-children", "-g", "none", "-F", "overhead,dso,symbol"]
        )
        (out / "perf.txt").write_text(text)
        return from_perf(text)
    stacks = out / "stacks.txt"
    command = [path, "record", "--pid", pid, "--duration", str(int(seconds)), "--rate", "500", "--format", "raw"]
    _output([*command, *(["--native"] if native else []), "-o", str(stacks)])
    return from_stacks(stacks.read_text())


def _output(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        raise Unavailable(f"{Path(command[0]).name} failed: {done.stderr[-600:]}")
    return done.stdout


def print_costs(console: Console, title: str, costs: Sequence[Cost], count: int = 10) -> None:
    """The dearest functions by their own share, then by their total one where it is known."""
    table = Table(title=f"{title}: the {count} most expensive functions by themselves")
    for name in ("own", "total", "function"):
        table.add_column(name, justify="left" if name == "function" else "right", overflow="fold")
    for cost in costs[:count]:
        total = "" if cost.total is None else f"{cost.total:.1%}"
        table.add_row(f"{cost.own:.1%}", total, cost.function)
    console.print(table)
    whole = [cost for cost in costs if cost.total is not None and cost.total < 0.98]
    if whole:
        with_callees = Table(title="with what they call")
        with_callees.add_column("total", justify="right")
        with_callees.add_column("function", overflow="fold")
        for cost in sorted(whole, key=lambda cost: -(cost.total or 0))[: 2 * count]:
            with_callees.add_row(f"{cost.total:.1%}", cost.function)
        console.print(with_callees)
