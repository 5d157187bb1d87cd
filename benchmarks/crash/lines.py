"""The failure table (design 4.4), a function a line. Each leaves its stand at rest and says what to compare."""

from __future__ import annotations

import asyncio
import random
import shutil
import signal
import subprocess
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.crash.faults import POINTS, Plan
from benchmarks.crash.load import Seen, send
from benchmarks.crash.stand import Account, Stand, StoreServer, until
from metering import keys
from metering.clock import DAY_MS, DAY_SECONDS, now_ms
from metering.ledger import records
from metering.spool import frames
from metering.usage import COUNTS, UsageRecord

Line = Callable[[Stand, Sequence[Account]], Awaitable[tuple[list[Seen], dict[str, Any]]]]


class Skipped(Exception):
    """This machine can't provoke the fault; the text says why."""


async def client_disconnects(stand: Stand, accounts: Sequence[Account]) -> tuple[list[Seen], dict[str, Any]]:
    return await send(stand.url, accounts, models=("paced", "late"), abort=lambda: random.random() < 0.6), {}


async def provider_fails_before(stand: Stand, accounts: Sequence[Account]) -> tuple[list[Seen], dict[str, Any]]:
    return await send(stand.url, accounts, models=("unavailable", "refuse", "reset-before")), {}


async def provider_fails_midway(stand: Stand, accounts: Sequence[Account]) -> tuple[list[Seen], dict[str, Any]]:
    return await send(stand.url, accounts, models=("reset-mid", "close-mid", "cut-event", "error-mid")), {}


async def killed_at_a_point(stand: Stand, accounts: Sequence[Account]) -> tuple[list[Seen], dict[str, Any]]:
    """The plan of the stand says where each worker dies, now and then."""
    seen = await send(stand.url, accounts, models=("short", "short", "paced"), callers=8)
    return seen, {"deaths": stand.deaths()}


async def killed_at_any_time(stand: Stand, accounts: Sequence[Account]) -> tuple[list[Seen], dict[str, Any]]:
    sending = asyncio.ensure_future(  # noqa: TID251 - awaited below
        send(stand.url, accounts, models=("short", "paced", "late"), pause=0.3)
    )
    while not sending.done():
        await asyncio.sleep(random.uniform(0.1, 0.6))
        stand.signal_a_worker()
    return await sending, {"deaths": stand.deaths()}


async def killed_whole(stand: Stand, accounts: Sequence[Account]) -> tuple[list[Seen], dict[str, Any]]:
    """Supervisor and workers at once, in the midst; another gateway starts on the same folder."""
    half = len(accounts) // 2
    sending = asyncio.ensure_future(  # noqa: TID251 - awaited below
        send(stand.url, accounts[:half], models=("short", "paced", "slow"))
    )
    await asyncio.sleep(0.5)
    await asyncio.to_thread(stand.stop, signal.SIGKILL)
    seen = await sending
    await asyncio.to_thread(stand.start)
    return seen + await send(stand.url, accounts[half:], models=("short", "paced")), {}


async def store_away_at_reserve(stand: Stand, accounts: Sequence[Account]) -> tuple[list[Seen], dict[str, Any]]:
    """First silent, then gone; requests that already stream must not notice."""
    third = len(accounts) // 3
    slow = asyncio.ensure_future(  # noqa: TID251 - awaited below
        send(stand.url, accounts[:third], models=("slow",), callers=third)
    )
    await asyncio.to_thread(stand.sim.wait, requests=third)
    with stand.store.paused():
        refused = await send(stand.url, accounts[third : 2 * third], models=("short",))
    stand.store.end()
    refused += await send(stand.url, accounts[2 * third :], models=("short",))
    stand.store.start()
    streams = await slow
    waits = sorted(one.seconds for one in refused if one.status == 503)
    return streams + refused, {
        "refused": len(waits),
        "slowest_refusal_ms": round(waits[-1] * 1000) if waits else 0,
        "streams_cut": sum(not one.whole for one in streams),
    }


async def store_away_at_settle(stand: Stand, accounts: Sequence[Account]) -> tuple[list[Seen], dict[str, Any]]:
    sending = asyncio.ensure_future(  # noqa: TID251 - awaited below
        send(stand.url, accounts, models=("slow",), callers=len(accounts))
    )
    await asyncio.to_thread(stand.sim.wait, requests=len(accounts))
    with stand.store.paused():
        seen = await sending
    stand.store.end()
    await asyncio.to_thread(stand.stop, signal.SIGKILL)  # and nobody is left who remembers it in memory
    stand.store.start()
    await asyncio.to_thread(stand.start)
    return seen, {}


async def store_loses_the_last_second(stand: Stand, accounts: Sequence[Account]) -> tuple[list[Seen], dict[str, Any]]:
    """A replica that had stopped following a second before takes the primary's place."""
    primary = stand.store
    replica = StoreServer(stand.folder / "replica", f"replicaof 127.0.0.1 {primary.port}")
    await asyncio.to_thread(until, lambda: b"master_link_status:up" in _text(replica.call("INFO", "replication")))
    sending = asyncio.ensure_future(  # noqa: TID251 - awaited below
        send(stand.url, accounts, models=("short", "paced"), pause=0.2, callers=8)
    )
    await asyncio.sleep(0.8)
    replica.call("REPLICAOF", "NO", "ONE")
    before = await asyncio.to_thread(primary.call, "DBSIZE")
    await asyncio.sleep(1.0)
    lost = await asyncio.to_thread(primary.call, "DBSIZE") - before
    primary.end()
    replica.call("CONFIG", "SET", "port", primary.port)
    replica.port = primary.port
    stand.store = replica
    return await sending, {"keys_lost_by_the_store": lost}


async def too_old(stand: Stand, accounts: Sequence[Account]) -> tuple[list[Seen], dict[str, Any]]:
    """A settlement of 35 days ago turns up in a dead worker's spool: it goes to the dead letters."""
    account, now = accounts[0], now_ms()
    old = _record(account.pid, "req_old", now - 35 * DAY_MS)
    (stand.spool / "0000000000000-dead-000001.log").write_bytes(frames.frame(frames.SETTLED, records.encode(old)))
    stream = f"{keys.tag(keys.partition(account.pid))}dead"
    await asyncio.to_thread(until, lambda: stand.store.call("XLEN", stream))
    return [], {"dead_letters": stand.store.call("XLEN", stream)}


async def the_same_twice(stand: Stand, accounts: Sequence[Account]) -> tuple[list[Seen], dict[str, Any]]:
    """Every file of the spool is found again, three times over, and replayed."""
    seen = await send(stand.url, accounts, models=("short", "paced"))
    await asyncio.sleep(0.5)
    copied = 0
    for path in list(stand.spool.glob("*.log")):
        for number in range(3):
            shutil.copyfile(path, path.with_name(f"{number}-{path.name}"))
            copied += 1
    await asyncio.sleep(3 * stand.plan.lease_ms / 1_000)
    return seen, {"spool_files_replayed": copied}


async def disk_full(stand: Stand, accounts: Sequence[Account]) -> tuple[list[Seen], dict[str, Any]]:
    """The spool's disk has no byte left: new requests are refused, what runs is settled once there is room."""
    sixth = len(accounts) // 6
    running = asyncio.ensure_future(  # noqa: TID251 - awaited below
        send(stand.url, accounts[:sixth], models=("slow",), callers=sixth)
    )
    await asyncio.to_thread(stand.sim.wait, requests=sixth)
    ballast = stand.spool / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(256))
    # The first of these still fit into the last pages of the open files.
    refused = await send(stand.url, accounts[sixth : 5 * sixth], models=("short",))
    first = await running
    ballast.unlink()
    await asyncio.sleep(1.2)
    after = await send(stand.url, accounts[5 * sixth :], models=("short",))
    return first + refused + after, {
        "refused": sum(one.status == 503 for one in refused),
        "streams_cut": sum(not one.whole for one in first),
        "refused_after": sum(one.status != 200 for one in after),
    }


async def clock_steps(stand: Stand, accounts: Sequence[Account]) -> tuple[list[Seen], dict[str, Any]]:
    """The workers' wall clock jumps in the midst of requests; credit and leases go by the store's."""
    sending = asyncio.ensure_future(  # noqa: TID251 - awaited below
        send(stand.url, accounts, models=("short", "paced"), pause=0.3)
    )
    for _ in range(4):
        await asyncio.sleep(0.2)
        stand.signal_workers(signal.SIGUSR1)
    return await sending, {}


LINES: dict[str, tuple[str, Line, Plan]] = {
    "client": ("client disconnects", client_disconnects, Plan()),
    "before": ("provider fails before the first byte", provider_fails_before, Plan()),
    "midway": ("provider fails mid-stream", provider_fails_midway, Plan()),
    **{
        f"killed-{point}": (f"worker killed: {point}", killed_at_a_point, Plan(point=point, chance=0.06))
        for point in POINTS
    },
    "killed-any": ("workers killed at any time", killed_at_any_time, Plan()),
    "killed-whole": ("gateway killed whole, started again", killed_whole, Plan()),
    "reserve": ("store away at reserve: paused, then killed", store_away_at_reserve, Plan()),
    "settle": ("store away at settle, then both killed", store_away_at_settle, Plan()),
    "failover": ("store fails over, loses a second", store_loses_the_last_second, Plan()),
    "old": ("a settlement older than 34 days", too_old, Plan()),
    "twice": ("the same settlement again and again", the_same_twice, Plan()),
    "disk": ("disk full for the spool", disk_full, Plan()),
    "clock": ("clock stepped by 40 days", clock_steps, Plan(step_seconds=10 * DAY_SECONDS)),
    "back": ("clock stepped back by 4 hours", clock_steps, Plan(step_seconds=-3_600)),
}


def small_disk(folder: Path) -> Path:
    """A file system of a megabyte. Raises `Skipped` where that needs rights that we lack."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        raise Skipped("mounting a small file system needs root")
    return folder


def _record(pid: str, rid: str, started_ms: int) -> UsageRecord:
    return UsageRecord(
        rid=rid,
        rev=1,
        pid=pid,
        provider="sim",
        model="short",
        variant="standard",
        started_ms=started_ms,
        settled_ms=started_ms,
        cost=1,
        charge=1,
        basis="reported",
        outcome="completed",
        price_version="configured",
        **dict.fromkeys(COUNTS, 1),
    )


def _text(reply: Any) -> bytes:
    """A section of INFO whether redis-py parsed it or not."""
    if isinstance(reply, dict):
        return "\n".join(f"{key}:{value}" for key, value in reply.items()).encode()
    return bytes(reply)
