"""Honest users alone, then beside the hostile ones; what holds, and what does not."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from benchmarks import processes
from benchmarks.compare.accounting import cpu_by_process, machine_busy_ns
from benchmarks.hostile.attacks import KINDS
from benchmarks.hostile.honest import Felt, HonestUser
from benchmarks.hostile.stand import HostileStand

HONEST_USERS = 10
MOST_SLOWER = 3.0  # p99 beside hostile users, over p99 alone
ALONE = 0.25  # of the time
SETTLING = 0.1  # of the time, before memory and descriptors are compared
MEMORY_GROWTH = (1.1, 16 << 20)  # from the first third to the last one: a factor, and bytes
DESCRIPTOR_GROWTH = (1.1, 30)


def run(kinds: Sequence[str], *, seconds: float, out: Path | None) -> bool:
    """Run the soak with these kinds of hostile users (all where empty) and print it; whether everything held."""
    chosen = list(kinds or KINDS)
    rows, answered = soak(chosen, seconds)
    for kind, statuses in answered.items():
        print(f"{kind:<14}" + "  ".join(f"{name} x {count}" for name, count in sorted(statuses.items())))
    for row in rows:
        print(f"{'holds' if row['good'] else 'FAILS':<7}{row['what']:<34}{row['found']}", flush=True)
    good = all(row["good"] for row in rows)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        found = {"good": good, "seconds": seconds, "kinds": chosen, "rows": rows, "answered": answered}
        out.write_text(json.dumps(found, indent=2) + "\n")
    return good


def soak(kinds: Sequence[str], seconds: float) -> tuple[list[dict[str, Any]], dict[str, dict[str, int]]]:
    """What was to hold and whether it did, and by kind of hostile user how often each answer came."""
    honest = [f"honest{number}" for number in range(HONEST_USERS)]
    with (
        tempfile.TemporaryDirectory(prefix="hostile-") as folder,
        HostileStand(Path(folder), honest, list(kinds)) as stand,
    ):
        users = [HonestUser(stand, name) for name in honest]
        direct = [HonestUser(stand, name, directly=True) for name in honest[:2]]
        alone = asyncio.run(_phase(users, direct, max(2.0, seconds * ALONE)))[0]
        together, held, answered = _together(stand, users, direct, kinds, seconds)
        errors = stand.errors()
    return _rows(alone, together, held, errors), answered


def _together(
    stand: HostileStand,
    users: Sequence[HonestUser],
    direct: Sequence[HonestUser],
    kinds: Sequence[str],
    seconds: float,
) -> tuple[Felt, list[tuple[int, int]], dict[str, Any]]:
    # What attacks is nice to the gateway: its users have processors of their own.
    command = ["nice", "-n", "10", sys.executable, "-m", "benchmarks.hostile.attacks"]
    told = {"port": stand.port, "tokens": {kind: stand.tokens[kind] for kind in kinds}, "seconds": seconds}
    with processes.start(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as attackers:
        assert attackers.stdin is not None
        assert attackers.stdout is not None
        attackers.stdin.write(json.dumps(told).encode())
        attackers.stdin.close()
        attackers.stdout.readline()  # they are ready
        felt, held = asyncio.run(_phase(users, direct, seconds, stand))
        answered = json.loads(attackers.stdout.read() or b"{}")
    return felt, held, answered


async def _phase(
    users: Sequence[HonestUser], direct: Sequence[HonestUser], seconds: float, stand: HostileStand | None = None
) -> tuple[Felt, list[tuple[int, int]]]:
    """What the honest users feel in so many seconds, and what the gateway holds in them, twice a second."""
    felt, beside, held = Felt(), Felt(), []
    began, busy, own = perf_counter(), machine_busy_ns(), _own_ns()
    async with asyncio.TaskGroup() as group:
        for user in users:
            group.create_task(user.run(felt, began + seconds))
        for user in direct:
            group.create_task(user.run(beside, began + seconds))
        while perf_counter() < began + seconds:
            await asyncio.sleep(0.5)
            if stand is not None and perf_counter() > began + seconds * SETTLING:
                held.append(await asyncio.to_thread(stand.held))
    felt.direct, felt.errors = beside.first, felt.errors + beside.errors
    used = machine_busy_ns() - busy - (_own_ns() - own)
    felt.foreign = max(0.0, used / 1e9 / (perf_counter() - began))
    return felt, held


def _own_ns() -> int:
    """CPU time of this process and of all that it started and that still runs."""
    return sum(cpu_by_process(os.getpid()).values())


def _rows(alone: Felt, together: Felt, held: Sequence[tuple[int, int]], errors: int) -> list[dict[str, Any]]:
    rows = []

    def row(what: str, found: str, *, good: bool) -> None:
        rows.append({"what": what, "found": found, "good": good})

    for name, before, after in (
        ("first byte", alone.first, together.first),
        ("whole answer", alone.whole, together.whole),
    ):
        one, two = before.summary().get("p99", 0.0), after.summary().get("p99", float("inf"))
        ratio = two / one if one else float("inf")
        text = f"{one:.0f} ms alone, {two:.0f} ms together: x {ratio:.2f}"
        row(f"honest p99, {name}", text, good=ratio <= MOST_SLOWER)
    one, two = (felt.direct.summary().get("p99", 0.0) for felt in (alone, together))
    row("first byte without the gateway", f"{one:.0f} ms alone, {two:.0f} ms together", good=True)
    # Nobody's times hold on a machine that strangers use: not judged, but told.
    row("processors that strangers used", f"{alone.foreign:.1f} alone, {together.foreign:.1f} together", good=True)
    answers = f" in {len(together.whole.values)} answers"
    row(
        "honest errors",
        f"{dict(alone.errors + together.errors) or 0}{answers}",
        good=not (alone.errors or together.errors),
    )
    row("wrong bytes", f"{together.wrong}{answers}", good=not (alone.wrong or together.wrong))
    row("lines of errors in the log", str(errors), good=not errors)
    third = max(1, len(held) // 3)
    for name, index, (factor, more), unit in (
        ("memory", 0, MEMORY_GROWTH, 1 << 20),
        ("descriptors", 1, DESCRIPTOR_GROWTH, 1),
    ):
        first = median(one[index] for one in held[:third])
        last = median(one[index] for one in held[-third:])
        text = f"{first / unit:.0f} in the first third, {last / unit:.0f} in the last"
        row(name + (" in MiB" if unit > 1 else ""), text, good=last <= first * factor + more)
    return rows
