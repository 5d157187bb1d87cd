"""What the gateway has at a moment: memory, descriptors, tasks, holds, keys of the store. Read twice a second."""

from __future__ import annotations

import asyncio
import re
import urllib.request
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

from benchmarks.compare.accounting import memory_of, name_of, tree
from benchmarks.compare.measure import STORES
from benchmarks.soak.books import holds
from benchmarks.soak.slope import Limit, Point, Trend, trend
from benchmarks.stand import GatewayStand
from gateway.accounts.opening import OpenedAccounts
from metering.keys import kind_of

EVERY_SECONDS = 0.5
LIMITS: Mapping[str, Limit] = {
    "memory": Limit(0.05, 8 << 20, unit=1 << 20),
    "descriptors": Limit(0.05, 8),
    "tasks": Limit(0.05, 8),
    "holds": Limit(0.05, 4),
    "other keys": Limit(0.05, 8),
}
"""What a series may rise by in the time that is judged, the last two thirds. Holds and tasks are requests in flight."""
REQUEST = "m:{p}:req:<rid>"  # one key of each request is kept, for 35 days
SCAN_SHARE = 50  # times the last scan of the keys took, before the next one: it is work for the store
_SCAN = 1_000
_TASKS = re.compile(r"^codegrex_tasks (\d+)$", re.MULTILINE)


class Watch:
    """Reads a gateway's figures; ``series`` has each one's points."""

    def __init__(self, stand: GatewayStand, at: OpenedAccounts[Any], pids: Sequence[str]) -> None:
        self.series: dict[str, list[Point]] = {name: [] for name in (*LIMITS, "store memory", "spool files")}
        self._stand = stand
        self._at = at
        self._pids = pids
        self._began = monotonic()
        self._scan_at = 0.0

    async def run(self, seconds: float) -> None:
        """Read until so many seconds have passed."""
        while (passed := monotonic() - self._began) < seconds:
            await self._read(passed)
            await asyncio.sleep(EVERY_SECONDS)

    async def _read(self, passed: float) -> None:
        found: dict[str, float] = await asyncio.to_thread(self._processes)
        found["tasks"] = await asyncio.to_thread(self._tasks)
        found["holds"] = await holds(self._at, self._pids)
        if (began := monotonic()) >= self._scan_at:
            found["other keys"] = sum(count for form, count in (await kinds(self._at)).items() if form != REQUEST)
            self._scan_at = began + SCAN_SHARE * (monotonic() - began)
        for name, value in found.items():
            self.series[name].append((passed, value))

    def _processes(self) -> dict[str, float]:
        memory = store = descriptors = spool = 0
        for pid in tree(self._stand.pid):
            resident = memory_of(pid).resident
            if name_of(pid) in STORES:
                store += resident
                continue
            memory += resident
            for target in _open_files(pid):
                # One file a minute is kept for 15 minutes; they are not descriptors that leak.
                spool += "/spool/" in target
                descriptors += "/spool/" not in target
        return {"memory": memory, "store memory": store, "descriptors": descriptors, "spool files": spool}

    def _tasks(self) -> int:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{self._stand.internal}/metrics", timeout=30) as page:
            found = _TASKS.search(page.read().decode())
        return int(found[1]) if found is not None else 0

    def trends(self) -> dict[str, Trend]:
        """What each series that has a limit did."""
        return {name: trend(self.series[name], limit) for name, limit in LIMITS.items()}


async def kinds(at: OpenedAccounts[Any]) -> Counter[str]:
    """How many keys of each kind the store has; the names are those of `metering.keys.KEPT`."""
    found: Counter[str] = Counter()
    async for name in at.store.client.scan_iter(count=_SCAN):
        if b":req:" in name:  # nearly all of them
            found[REQUEST] += 1
        else:
            kind = kind_of(name.decode())
            found[kind.form if kind is not None else "unknown"] += 1
    return found


def _open_files(pid: int) -> list[str]:
    found = []
    with suppress(OSError):  # it ended just now
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                found.append(str(entry.readlink()))
    return found
