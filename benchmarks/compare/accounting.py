"""What the operating system says about processes: CPU time, memory, and whether others use the machine.

Linux only, from ``/proc``. CPU is the scheduler's nanoseconds (``schedstat``) of every thread of a
process tree, which a short window needs: clock ticks are 10 ms.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def supported() -> bool:
    """Whether this system has the accounting that the comparison rests on."""
    return Path("/proc/self/schedstat").exists()


def tree(root: int) -> list[int]:
    """A process and its descendants, those alive now."""
    found, queue = [], [root]
    while queue:
        pid = queue.pop()
        found.append(pid)
        try:
            for task in (_PROC / str(pid) / "task").iterdir():
                queue.extend(int(child) for child in (task / "children").read_text().split())
        except OSError:
            continue
    return found


def alive(pid: int) -> bool:
    """Whether a process has not ended; one that waits for its parent has."""
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        return False


def name_of(pid: int) -> str:
    try:
        return (_PROC / str(pid) / "comm").read_text().strip()
    except OSError:
        return ""


def cpu_ns(pid: int) -> int:
    """CPU time of all threads of one process so far, in nanoseconds."""
    total = 0
    try:
        for task in (_PROC / str(pid) / "task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
    except OSError:
        pass
    return total


def cpu_by_process(root: int) -> dict[int, int]:
    """CPU time of each process of a tree."""
    return {pid: cpu_ns(pid) for pid in tree(root)}


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes. ``resident`` counts shared pages in full, ``proportional`` shares them out."""

    resident: int
    proportional: int

    def __add__(self, other: Memory) -> Memory:
        return Memory(self.resident + other.resident, self.proportional + other.proportional)


def memory_of(pid: int) -> Memory:
    """Memory of one process, zero if it is gone."""
    values = {}
    try:
        for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines()[1:]:
            key, _, rest = line.partition(":")
            values[key] = int(rest.split()[0]) * 1024
    except OSError:
        return Memory(0, 0)
    return Memory(values.get("Rss", 0), values.get("Pss", 0))


def machine_busy_ns() -> int:
    """CPU time that the whole machine has spent on anything but idling, all processors together."""
    fields = [int(value) for value in (_PROC / "stat").read_text().splitlines()[0].split()[1:9]]
    user, nice, system, _idle, _wait, irq, soft, steal = fields
    return (user + nice + system + irq + soft + steal) * _TICK_NS


def foreign_load(seconds: float = 1.0) -> float:
    """Processors kept busy by others, averaged over a while in which we do nothing."""
    before = machine_busy_ns()
    began = time.monotonic_ns()
    time.sleep(seconds)
    return (machine_busy_ns() - before) / (time.monotonic_ns() - began)
