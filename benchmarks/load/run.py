"""One load run: warm-up, measured window, result, with a live progress line.

With ``marks`` the run prints a JSON line when the window opens and when it closes, so that whoever
started it can read other processes' CPU clocks at those moments.
"""

from __future__ import annotations

import asyncio
import json
import platform
import resource
import sys
from dataclasses import dataclass
from functools import partial
from time import perf_counter, process_time
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from benchmarks.load.payloads import Payload, payload
from benchmarks.load.scenarios import AbortStorm, Arrivals, Callers, Developers, Scenario, SlowReaders, Target, settle
from benchmarks.load.tally import Tally

SCENARIOS = ("streams", "short", "embeddings", "aborts", "slow", "ide")


@dataclass(frozen=True, slots=True)
class Options:
    """A run. Times are seconds.

    Attributes:
        scenario: One of `SCENARIOS`.
        dialects: Callers take turns among these.
        callers: Closed loop: how many at once; open loop: the most connections; ``ide``: developers.
        rate: Requests a second; ``None`` is the closed loop.
        token: One, or several separated by commas: callers take turns among them, as users would.
        model: The model's name; ``ide`` may give three, separated by commas.
        headers: ``Name: value``, sent with every request.
    """

    url: str
    token: str = "none"  # noqa: S105 - a direct run against the simulator needs none
    scenario: str = "streams"
    dialects: tuple[str, ...] = ("openai",)
    model: str = "bench"
    callers: int = 200
    rate: float | None = None
    warmup: float = 1.0
    seconds: float = 10.0
    ramp: float = 0.0
    drain: float = 0.0
    patience: float = 30.0  # for callers that cannot connect, after the warm-up
    prompt_bytes: int = 200
    ca_file: str | None = None
    headers: tuple[str, ...] = ()
    marks: bool = False
    progress: bool = True


def _payloads(options: Options) -> list[Payload]:
    kind = {"short": "short", "embeddings": "embedding"}.get(options.scenario, "stream")
    tokens = options.token.split(",")
    make = partial(payload, url=options.url, token=tokens[0], headers=options.headers)
    if options.scenario == "ide":
        models = (options.model.split(",") * 3)[:3] if "," not in options.model else options.model.split(",")
        sizes = (2_000, 8_000, 96_000)
        return [
            make("stream", dialect=options.dialects[0], model=model, prompt_bytes=size)
            for model, size in zip(models, sizes, strict=True)
        ]
    return [
        make(kind, dialect=dialect, token=token, model=options.model, prompt_bytes=options.prompt_bytes)
        for token in tokens
        for dialect in options.dialects
    ]


def _scenario(options: Options, tally: Tally) -> Scenario:
    base = (Target.of(options.url, options.ca_file), tally, _payloads(options))
    if options.scenario == "ide":
        return Developers(*base, count=options.callers)
    if options.scenario == "aborts":
        return AbortStorm(*base, count=options.callers, ramp=options.ramp)
    if options.scenario == "slow":
        return SlowReaders(*base, count=options.callers, ramp=options.ramp)
    if options.rate is not None:
        return Arrivals(*base, rate=options.rate, most=options.callers)
    return Callers(*base, count=options.callers, ramp=options.ramp)


async def _progress(options: Options, tally: Tally, scenario: Scenario) -> None:
    console = Console(stderr=True)
    if not (options.progress and console.is_terminal):
        await asyncio.Event().wait()
    before, then = (0, 0), perf_counter()
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        while True:
            await asyncio.sleep(0.25)
            now = perf_counter()
            requests = max(0, tally.completed - before[0]) / (now - then)
            events = max(0, tally.events - before[1]) / (now - then)
            before, then = (tally.completed, tally.events), now
            open_now = sum(client.busy for client in scenario.clients)
            errors = sum(tally.errors.values())
            line = f"{options.scenario}: {open_now} open, {requests:,.0f} requests/s, {events:,.0f} events/s"
            live.update(Text(f"{line}, {tally.aborted:,} aborted, {errors:,} errors"))


def mark(options: Options, phase: str) -> None:
    """Tell the parent which phase begins."""
    if options.marks:
        print(json.dumps({"phase": phase}), flush=True)


async def run(options: Options) -> dict[str, Any]:
    """Generate the load and return the result of the measured window."""
    tally = Tally()
    scenario = _scenario(options, tally)
    loop = asyncio.get_running_loop()
    progress = loop.create_task(_progress(options, tally, scenario))
    starting = loop.create_task(scenario.start())
    try:
        await asyncio.sleep(max(options.warmup, options.ramp))
        until = perf_counter() + options.patience  # measured all the same then, with its errors
        await asyncio.wait({starting}, timeout=options.patience)
        # A busy machine has not begun all of them yet.
        while perf_counter() < until and not all(client.answered for client in scenario.clients):  # noqa: ASYNC110 - they do not tell
            await asyncio.sleep(0.1)
        tally.restart()
        mark(options, "measuring")
        began, cpu = perf_counter(), process_time()
        await asyncio.sleep(options.seconds)
        elapsed, used = perf_counter() - began, process_time() - cpu
        mark(options, "measured")
        result = tally.result(elapsed)
        open_at_end = sum(client.busy for client in scenario.clients)
        scenario.running = False
        if options.drain:
            await settle(scenario, options.drain)
    finally:
        progress.cancel()
        starting.cancel()
        scenario.stop()
        await asyncio.sleep(0.05)  # so that the closes reach the peers
    return {
        "scenario": options.scenario,
        "dialects": list(options.dialects),
        "callers": options.callers,
        "rate": options.rate,
        "open_at_end": open_at_end,
        "own_cpu": round(used / elapsed, 4),
        "python": platform.python_version(),
    } | result


def raise_file_limit() -> None:
    """As many sockets as the system allows this process."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def run_blocking(options: Options) -> dict[str, Any]:
    """`run` on uvloop where it exists."""
    raise_file_limit()
    if sys.platform == "win32":
        return asyncio.run(run(options))
    import uvloop  # noqa: PLC0415 - exists on some platforms only

    return uvloop.run(run(options))
