"""Mixed traffic for some time: whether anything grows, fails, is lost or charged twice."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.load.tally import Tally
from benchmarks.soak.books import Balance, balance
from benchmarks.soak.slope import SETTLED, Point, Trend
from benchmarks.soak.stand import CHATTING, TYPING, SoakStand
from benchmarks.soak.traffic import Traffic, errors_of
from benchmarks.soak.watch import LIMITS, REQUEST, Watch, kinds
from gateway.accounts.opening import opened
from gateway.config.load import load

USERS = 8
MOST_NEW_KEYS = 8  # of any kind but `REQUEST`, from the first third to the end: no account is added


@dataclass(frozen=True, slots=True)
class Soaked:
    """What was found.

    Attributes:
        seconds: For which traffic ran.
        tallies: By kind of request.
        series: Points of each figure: seconds, value.
        trends: Of the figures that have a limit.
        new_keys: Keys of the store that were added after the first third, by kind.
        error_lines: Of the gateway's log.
        exit_code: Of the gateway, after its drain.
    """

    seconds: float
    tallies: Mapping[str, Tally]
    series: Mapping[str, list[Point]]
    trends: Mapping[str, Trend]
    new_keys: Mapping[str, int]
    balance: Balance
    error_lines: int
    exit_code: int

    @property
    def errors(self) -> dict[str, dict[str, int]]:
        """Errors that nobody provoked, by kind of request."""
        return {what: found for what, tally in self.tallies.items() if (found := errors_of(what, tally.errors))}

    @property
    def faults(self) -> list[str]:
        """What does not hold."""
        found = [f"{name} rises" for name, one in self.trends.items() if not one.good]
        found += [f"{what}: {errors}" for what, errors in self.errors.items()]
        found += [
            f"keys {form} grow by {count}"
            for form, count in self.new_keys.items()
            if form != REQUEST and count > MOST_NEW_KEYS
        ]
        if not self.balance.good:
            found.append(f"the ledger does not balance: {self.balance}")
        if self.error_lines:
            found.append(f"{self.error_lines} lines of errors in the log")
        if self.exit_code:
            found.append(f"the gateway ended with {self.exit_code}")
        return found


def soak(seconds: float, users: int = USERS) -> Soaked:
    """Run it."""
    names = [f"user{number}" for number in range(users)]
    with tempfile.TemporaryDirectory(prefix="soak-") as folder, SoakStand(Path(folder), names) as stand:
        return asyncio.run(_soak(stand, seconds))


async def _soak(stand: SoakStand, seconds: float) -> Soaked:
    tallies: dict[str, Tally] = {}
    traffic = Traffic(
        stand.port,
        list(stand.tokens.values()),
        typing=TYPING,
        chatting=CHATTING,
        tally=lambda what: tallies.setdefault(what, Tally()),
    )
    pids = list(stand.pids.values())
    async with opened(load(stand.file)) as at:
        watch = Watch(stand, at, pids)
        before: Counter[str] = Counter()

        async def count_keys() -> None:
            await asyncio.sleep(seconds * SETTLED)
            before.update(await kinds(at))

        async def watched() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(count_keys())
                await watch.run(seconds)

        await traffic.run(watched())
        found = await balance(at, pids, traffic.seen)
        after = await kinds(at)
        code = await asyncio.to_thread(stand.stop)
    new = {form: count - before[form] for form, count in sorted(after.items()) if count != before[form]}
    return Soaked(seconds, tallies, watch.series, watch.trends(), new, found, stand.errors(), code)


def run(*, seconds: float, out: Path | None) -> bool:
    """Run the soak and print it; whether everything held."""
    found = soak(seconds)
    print(f"{'requests':<14}{'sent':>9}{'whole':>9}{'left':>8}{'errors':>8}{'first p50':>12}{'p99':>11}")
    for what, tally in sorted(found.tallies.items()):
        errors = sum(found.errors.get(what, {}).values())
        first = tally.first.summary()
        print(
            f"{what:<14}{tally.sent:>9}{tally.completed:>9}{tally.aborted:>8}{errors:>8}"
            f"{first.get('p50', 0.0):>9.1f} ms{first.get('p99', 0.0):>8.1f} ms"
        )
    print(f"\n{'figure':<14}{'median':>10}{'rise':>10}{'limit':>10}")
    for name, one in found.trends.items():
        unit = LIMITS[name].unit
        shown = "MiB" if unit > 1 else ""
        print(f"{name:<14}{one.median / unit:>10.1f}{one.rise / unit:>10.2f}{one.most / unit:>10.2f} {shown}")
    print(f"\nkeys since the first third: {', '.join(f'{form} {count:+}' for form, count in found.new_keys.items())}")
    print(f"ledger: {found.balance}")
    for fault in found.faults:
        print(f"FAILS  {fault}")
    print("holds" if not found.faults else "does not hold", flush=True)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(_as_json(found), indent=2) + "\n")
    return not found.faults


def _as_json(found: Soaked) -> dict[str, Any]:
    return {
        "good": not found.faults,
        "faults": found.faults,
        "seconds": found.seconds,
        "requests": {what: tally.result(found.seconds) for what, tally in found.tallies.items()},
        "trends": {name: {**asdict(one), "good": one.good} for name, one in found.trends.items()},
        "new_keys": dict(found.new_keys),
        "balance": found.balance.as_dict(),
        "error_lines": found.error_lines,
        "exit": found.exit_code,
        "series": found.series,
    }
