"""Faults inside a gateway's own process: death at a named point, a clock that steps, shorter leases.

A gateway knows nothing of them. The campaign starts one through `benchmarks.launch`, which calls `install`: a served
process can't get here by configuration or environment.
"""

from __future__ import annotations

import functools
import inspect
import os
import random
import signal
import time
from collections.abc import Callable
from typing import Any

import msgspec

from benchmarks.launch import injection


class Plan(msgspec.Struct, frozen=True):
    """What is to go wrong in each worker.

    Attributes:
        point: Where to die (`POINTS`), or empty.
        chance: Of dying each time that the point is passed.
        lease_ms: Lease of a request; touches, reaper and replay keep their proportions to it.
        step_seconds: By how much SIGUSR1 moves the wall clock.
    """

    point: str = ""
    chance: float = 0.0
    lease_ms: int = 1_500
    step_seconds: int = 0

    @property
    def injection(self) -> str:
        """How `benchmarks.launch` puts it into a gateway."""
        return injection(__file__, msgspec.json.encode(self).decode())


# Module, class, method, and whether death comes before or after it: every step from accept to acknowledgement.
POINTS: dict[str, tuple[str, str, str, bool]] = {
    "accepted": ("gateway.inference.exchange", "Exchange", "run", True),
    "admitted": ("gateway.inference.meter", "Meter", "reserve", True),
    "reserving": ("metering.ledger.ledger", "Ledger", "reserve", True),
    "reserved": ("metering.ledger.ledger", "Ledger", "reserve", False),
    "noting": ("metering.spool.spool", "Spool", "intent", True),
    "noted": ("metering.spool.spool", "Spool", "intent", False),
    "sending": ("gateway.upstream.connection", "Connection", "send", True),
    "sent": ("gateway.upstream.connection", "Connection", "send", False),
    "answered": ("gateway.inference.relay", "Relay", "on_head", True),
    "streaming": ("gateway.inference.exchange", "Exchange", "_stream", True),
    "ended": ("gateway.inference.relay", "Relay", "on_end", True),
    "settling": ("gateway.inference.meter", "Meter", "settle", True),
    "submitting": ("metering.settlement.settler", "Settler", "submit", True),
    "submitted": ("metering.settlement.settler", "Settler", "submit", False),
    "written": ("metering.spool.spool", "Spool", "_flush", False),
    "carrying": ("metering.ledger.ledger", "Ledger", "settle_each", True),
    "carried": ("metering.ledger.ledger", "Ledger", "settle_each", False),
    "acknowledged": ("metering.spool.spool", "Spool", "acknowledged", False),
}


def install(text: str) -> None:
    """Put a plan (its JSON) into this process."""
    plan = msgspec.json.decode(text, type=Plan)
    _hasten(plan.lease_ms)
    if plan.point:
        module, owner, method, before = POINTS[plan.point]
        _wrap(_found(module, owner), method, functools.partial(_die, plan.chance), before=before)
    if plan.step_seconds:
        _clock(plan.step_seconds)


def _found(module: str, name: str) -> Any:
    return getattr(__import__(module, fromlist=[name]), name)


def _hasten(lease_ms: int) -> None:
    leases: Any = __import__("gateway.inference.leases", fromlist=["LEASE_MS"])
    leases.LEASE_MS = lease_ms  # before `gateway.inference.meter` and `gateway.process.app` take it
    seconds = lease_ms / 1_000
    leases.Leases.__init__.__kwdefaults__.update(every=seconds / 4, turn=seconds / 20)
    for module, owner, interval in (
        ("metering.settlement.reaper", "Reaper", seconds / 6),
        ("metering.spool.replay", "Replay", seconds / 6),
        ("metering.store.epoch", "Epoch", seconds / 6),
    ):
        _found(module, owner).__init__.__kwdefaults__["interval"] = interval


def _die(chance: float) -> None:
    if random.random() < chance:
        os.kill(os.getpid(), signal.SIGKILL)


def _wrap(owner: Any, name: str, fault: Callable[[], None], *, before: bool) -> None:
    original = getattr(owner, name)
    if inspect.iscoroutinefunction(original):

        @functools.wraps(original)
        async def awaited(*arguments: Any, **named: Any) -> Any:
            if before:
                fault()
            result = await original(*arguments, **named)
            if not before:
                fault()
            return result

        setattr(owner, name, awaited)
        return

    @functools.wraps(original)
    def called(*arguments: Any, **named: Any) -> Any:
        if before:
            fault()
        result = original(*arguments, **named)
        if not before:
            fault()
        return result

    setattr(owner, name, called)


def _clock(seconds: int) -> None:
    """SIGUSR1 steps the wall clock of this process; the monotonic one goes on, as on a real machine."""
    stepped = 0
    wall, wall_ns = time.time, time.time_ns

    def step(_number: int, _frame: object) -> None:
        nonlocal stepped
        stepped += seconds

    signal.signal(signal.SIGUSR1, step)
    time.time = lambda: wall() + stepped
    time.time_ns = lambda: wall_ns() + stepped * 1_000_000_000
