"""The short form of the chaos: some faults, one after the other, under real traffic."""

from __future__ import annotations

from benchmarks.chaos.run import chaos
from benchmarks.chaos.schedule import EVERYBODY, STRIKES
from benchmarks.soak.traffic import BUSY

SOME = ("529", "store-killed", "disk", "worker")


def test_every_kind_of_fault_is_in_the_schedule() -> None:
    assert set(SOME) <= set(STRIKES)
    assert {strike.unhurt <= EVERYBODY for strike in STRIKES.values()} == {True}


def test_faults_lose_and_double_nothing() -> None:
    found = chaos(SOME, 3.0, users=3)
    for phase in found.phases:
        print(phase.name, phase.requests, phase.errors)
    assert found.balance.good, found.balance
    assert found.balance.whole > 3
    assert (found.deaths, found.killed, found.exit_code) == (1, 1, 0)
    errors = {phase.name: set(phase.errors) for phase in found.phases}
    assert errors["before"] <= {BUSY}
    killed = errors["store-killed"] | errors["after store-killed"]  # a slow machine sends little while it is away
    assert any("metering_unavailable" in name for name in killed)
