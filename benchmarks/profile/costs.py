"""From a profiler's output to the functions that cost the most.

A function's own share is the time in which it was the innermost frame; its total share is the time in
which it was anywhere on the stack, counted once however often it recurs.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

_LINE = re.compile(r":\d+\)$")
_PERF = re.compile(r"^\s*(\d+\.\d+)%\s+(\S+)\s+\[(.)\]\s+(.+?)\s*$")
_CALLGRIND = re.compile(r"^\s*([\d,]+)\s+\(\s*(\d+\.\d+)%\)\s+(.+?)\s*$")


@dataclass(frozen=True, slots=True)
class Cost:
    """Shares of the profiled time, from 0 to 1; ``total`` is ``None`` where the tool does not tell."""

    function: str
    own: float
    total: float | None = None


def from_stacks(text: str) -> list[Cost]:
    """From folded stacks (py-spy's raw format): frames separated by ``;``, a count at the end."""
    own: Counter[str] = Counter()
    total: Counter[str] = Counter()
    everything = 0
    for line in text.splitlines():
        stack, _, number = line.rpartition(" ")
        if not stack or not number.isdigit():
            continue
        count = int(number)
        frames = [_LINE.sub(")", frame) for frame in stack.split(";")]
        everything += count
        own[frames[-1]] += count
        for frame in set(frames):
            total[frame] += count
    if not everything:
        return []
    costs = [Cost(name, own[name] / everything, count / everything) for name, count in total.items()]
    return sorted(costs, key=lambda cost: (-cost.own, cost.function))


def from_perf(text: str) -> list[Cost]:
    """From ``perf report --stdio -F overhead,dso,symbol``; ``[k]`` marks the kernel's functions."""
    costs = []
    for line in text.splitlines():
        if found := _PERF.match(line):
            share, module, where, symbol = found.groups()
            name = f"{symbol} (kernel)" if where == "k" else f"{symbol} ({module})"
            costs.append(Cost(name, float(share) / 100))
    return sorted(costs, key=lambda cost: -cost.own)


def from_callgrind(text: str) -> list[Cost]:
    """From ``callgrind_annotate``: instructions instead of time."""
    costs = []
    for line in text.splitlines():
        found = _CALLGRIND.match(line)
        if found and "PROGRAM TOTALS" not in line:
            name = found[3].partition(" [")[0].rpartition("/")[2]
            costs.append(Cost(name, float(found[2]) / 100))
    return sorted(costs, key=lambda cost: -cost.own)
