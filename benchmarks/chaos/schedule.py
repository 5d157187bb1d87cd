"""The faults, in the order in which they strike, and whom each may hurt."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from benchmarks.chaos.stand import ChaosStand

EVERYBODY = frozenset({"typing", "chat", "spared chat", "count", "list", "abort"})
WITH_ANOTHER_TARGET = frozenset({"spared chat", "list"})
NOBODY: frozenset[str] = frozenset()
STORE_DELAY = 0.03  # seconds each way: a reserve then takes a quarter of what it may
PROVIDER_FIRST = "300"  # milliseconds before the provider answers
RESET_SECONDS = 0.25

Act = Callable[[ChaosStand], AbstractAsyncContextManager[None]]


@dataclass(frozen=True, slots=True)
class Strike:
    """One fault. ``act`` lets it begin and end; ``unhurt`` are the kinds of requests that must not fail of it."""

    text: str
    act: Act
    unhurt: frozenset[str]


@asynccontextmanager
async def _provider(stand: ChaosStand, **controls: str) -> AsyncIterator[None]:
    await asyncio.to_thread(stand.provider.set_defaults, **controls)
    try:
        yield
    finally:
        await asyncio.to_thread(stand.provider.set_defaults, **dict.fromkeys(controls))


@asynccontextmanager
async def _provider_closed(stand: ChaosStand) -> AsyncIterator[None]:
    """Answers under way are cut, which nobody is spared."""
    stand.to_provider.closed = True
    stand.to_provider.reset()
    try:
        yield
    finally:
        stand.to_provider.closed = False


@asynccontextmanager
async def _slow_provider(stand: ChaosStand) -> AsyncIterator[None]:
    stand.to_provider.delay = 0.1
    try:
        yield
    finally:
        stand.to_provider.delay = 0.0


@asynccontextmanager
async def _store_paused(stand: ChaosStand) -> AsyncIterator[None]:
    with stand.store.paused():
        yield


@asynccontextmanager
async def _store_killed(stand: ChaosStand) -> AsyncIterator[None]:
    stand.store.end()
    try:
        yield
    finally:
        await asyncio.to_thread(stand.store.start)


@asynccontextmanager
async def _slow_store(stand: ChaosStand) -> AsyncIterator[None]:
    stand.to_store.delay = STORE_DELAY
    try:
        yield
    finally:
        stand.to_store.delay = 0.0


@asynccontextmanager
async def _resets(stand: ChaosStand, link: str) -> AsyncIterator[None]:
    async def again() -> None:
        while True:
            getattr(stand, link).reset()
            await asyncio.sleep(RESET_SECONDS)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(again())
        yield
        task.cancel()


@asynccontextmanager
async def _disk_full(stand: ChaosStand) -> AsyncIterator[None]:
    stand.limit_files(1)
    try:
        yield
    finally:
        stand.limit_files(None)


@asynccontextmanager
async def _worker_killed(stand: ChaosStand) -> AsyncIterator[None]:
    os.kill(random.choice(stand.workers()), signal.SIGKILL)
    yield


@asynccontextmanager
async def _signalled(stand: ChaosStand, number: signal.Signals) -> AsyncIterator[None]:
    os.kill(stand.pid, number)
    yield


STRIKES: dict[str, Strike] = {
    "refuse": Strike("the provider takes no connection", _provider_closed, NOBODY),
    "hang": Strike("the provider never answers", partial(_provider, faults="hang_headers"), WITH_ANOTHER_TARGET),
    "reset": Strike(
        "the provider resets instead of an answer", partial(_provider, faults="reset_before"), WITH_ANOTHER_TARGET
    ),
    "429": Strike("the provider limits the rate", partial(_provider, faults="429", retry="1"), WITH_ANOTHER_TARGET),
    "529": Strike("the provider is overloaded", partial(_provider, faults="529"), WITH_ANOTHER_TARGET),
    "inside": Strike("the provider fails inside a 200", partial(_provider, faults="error_early"), WITH_ANOTHER_TARGET),
    "cut": Strike("the provider resets in the middle of an answer", partial(_provider, faults="reset_mid"), NOBODY),
    "slow": Strike("each piece from the provider takes 100 ms more", _slow_provider, EVERYBODY),
    "network": Strike("connections to the provider are reset", partial(_resets, link="to_provider"), NOBODY),
    "store-slow": Strike("each piece to and from the store takes 30 ms more", _slow_store, EVERYBODY),
    "store-network": Strike("connections to the store are reset", partial(_resets, link="to_store"), NOBODY),
    "store-paused": Strike("the store answers nothing", _store_paused, NOBODY),
    "store-killed": Strike("the store is killed, and started again", _store_killed, NOBODY),
    "disk": Strike("the spool's disk takes no byte", _disk_full, NOBODY),
    "worker": Strike("a worker is killed", _worker_killed, NOBODY),
    "reload": Strike("SIGHUP: the configuration is read again", partial(_signalled, number=signal.SIGHUP), EVERYBODY),
    "restart": Strike(
        "SIGUSR2: new workers replace the old ones", partial(_signalled, number=signal.SIGUSR2), EVERYBODY
    ),
}
"""By name, in the order of the schedule."""
