"""Faults on a schedule while users go on: what they feel, how long, and whether the ledger balances at the end."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.chaos.schedule import EVERYBODY, STRIKES
from benchmarks.chaos.stand import LEASE_MS, SPARED, ChaosStand
from benchmarks.load.tally import Samples, Tally
from benchmarks.soak.books import Balance, balance
from benchmarks.soak.stand import CHATTING, TYPING
from benchmarks.soak.traffic import Traffic, errors_of
from gateway.accounts.opening import opened
from gateway.config.load import load

USERS = 6
STRUCK = 0.5  # of a phase; in the rest of it everything is well again


@dataclass(slots=True)
class Phase:
    """One part of the schedule: requests that began in it, and errors that came in it, whenever their request began.

    Attributes:
        began: Seconds after the start.
        unhurt: The kinds of requests that must not fail in it.
        failed: Errors by kind of request.
    """

    name: str
    began: float
    unhurt: frozenset[str]
    tallies: dict[str, Tally] = field(default_factory=dict)
    failed: dict[str, Counter[str]] = field(default_factory=dict)

    def tally(self, what: str) -> Tally:
        if what not in self.tallies:
            self.tallies[what] = Tally(errors=self.failed.setdefault(what, Counter()))
        return self.tallies[what]

    def follow(self, earlier: Phase) -> None:
        """From now on errors of what began in an earlier phase come in this one."""
        for what, tally in earlier.tallies.items():
            tally.errors = self.failed.setdefault(what, Counter())

    @property
    def requests(self) -> int:
        return sum(tally.sent for tally in self.tallies.values())

    @property
    def errors(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for what, errors in self.failed.items():
            found.update(errors_of(what, errors))
        return found

    @property
    def broken(self) -> dict[str, dict[str, int]]:
        """Errors of those that must not fail, by kind of request."""
        return {
            what: found
            for what, errors in self.failed.items()
            if what in self.unhurt and (found := errors_of(what, errors))
        }

    @property
    def first(self) -> dict[str, float]:
        """Times to the first byte, in milliseconds."""
        every = Samples()
        for tally in self.tallies.values():
            every.values.extend(tally.first.values)
        return every.summary()


@dataclass(frozen=True, slots=True)
class Suffered:
    """What was found. ``deaths`` are workers that died, of which ``killed`` were killed on purpose."""

    phases: Sequence[Phase]
    balance: Balance
    deaths: int
    killed: int
    exit_code: int

    @property
    def faults(self) -> list[str]:
        """What does not hold."""
        found = [
            f"{phase.name}: {what} fail: {errors}" for phase in self.phases for what, errors in phase.broken.items()
        ]
        if not self.balance.good:
            found.append(f"the ledger does not balance: {self.balance}")
        if self.deaths != self.killed:
            found.append(f"{self.deaths} workers died, and {self.killed} were killed")
        if self.exit_code:
            found.append(f"the gateway ended with {self.exit_code}")
        return found


def chaos(names: Sequence[str], seconds: float, users: int = USERS) -> Suffered:
    """Let these faults strike, one after the other; the last phase has none."""
    people = [f"user{number}" for number in range(users)]
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder, ChaosStand(Path(folder), people) as stand:
        return asyncio.run(_chaos(stand, names, seconds))


async def _chaos(stand: ChaosStand, names: Sequence[str], seconds: float) -> Suffered:
    slot = seconds / (len(names) + 2)
    phases = [Phase("before", 0.0, EVERYBODY)]

    def now(what: str) -> Tally:
        return phases[-1].tally(what)

    traffic = Traffic(
        stand.port,
        list(stand.tokens.values()),
        typing=TYPING,
        chatting=(*CHATTING, *SPARED),
        tally=now,
    )
    loop = asyncio.get_running_loop()
    began = loop.time()

    def enter(name: str, unhurt: frozenset[str]) -> None:
        phase = Phase(name, loop.time() - began, unhurt)
        for earlier in phases:
            phase.follow(earlier)
        phases.append(phase)

    async def strike() -> None:
        await asyncio.sleep(slot)
        for name in names:
            one = STRIKES[name]
            enter(name, one.unhurt)
            async with one.act(stand):
                await asyncio.sleep(slot * STRUCK)
            enter(f"after {name}", one.unhurt)  # what was broken may be felt until it is found to be well
            await asyncio.sleep(slot * (1 - STRUCK))
        enter("at the end", EVERYBODY)
        await asyncio.sleep(slot)

    await traffic.run(strike())
    pids = list(stand.pids.values())
    async with opened(load(stand.file)) as at:
        found = await balance(at, pids, traffic.seen, rest=LEASE_MS / 1_000)
        code = await asyncio.to_thread(stand.stop)
    return Suffered(phases, found, stand.events("worker_died"), names.count("worker"), code)


def run(names: Sequence[str], *, seconds: float, out: Path | None) -> bool:
    """Run the schedule and print it; whether everything held."""
    chosen = list(names or STRIKES)
    for line in _plan(chosen, seconds):
        print(line, flush=True)
    found = chaos(chosen, seconds)
    print(f"\n{'phase':<22}{'at':>7}{'requests':>10}{'errors':>8}{'first p50':>12}{'p99':>11}")
    for phase in found.phases:
        errors, first = phase.errors, phase.first
        print(
            f"{phase.name:<22}{phase.began:>5.1f} s{phase.requests:>10}{errors.total():>8}"
            f"{first.get('p50', 0.0):>9.1f} ms{first.get('p99', 0.0):>8.1f} ms   {dict(errors) or ''}"
        )
    print(f"ledger: {found.balance}")
    for fault in found.faults:
        print(f"FAILS  {fault}")
    print("holds" if not found.faults else "does not hold", flush=True)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(_as_json(found, seconds), indent=2) + "\n")
    return not found.faults


def _plan(names: Sequence[str], seconds: float) -> Iterator[str]:
    slot = seconds / (len(names) + 2)
    for number, name in enumerate(names, 1):
        begin = slot * number
        yield f"{begin:>6.1f} s to {begin + slot * STRUCK:>6.1f} s  {name:<15}{STRIKES[name].text}"


def _as_json(found: Suffered, seconds: float) -> dict[str, Any]:
    return {
        "good": not found.faults,
        "faults": found.faults,
        "seconds": seconds,
        "phases": [
            {
                "name": phase.name,
                "began": round(phase.began, 2),
                "requests": phase.requests,
                "errors": dict(phase.errors),
                "broken": phase.broken,
                "first_byte_ms": phase.first,
            }
            for phase in found.phases
        ],
        "balance": found.balance.as_dict(),
        "deaths": found.deaths,
        "exit": found.exit_code,
    }
