"""One worker process: inherits the listening sockets and the metrics memory, serves, drains, exits.

Only the supervisor starts ``python -m gateway.process.worker``.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import resource
import socket
import sys
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from gateway import variables
from gateway.config import Config, ConfigError
from gateway.config.load import load
from gateway.hardening.process import harden
from gateway.process.app import Worker, make_log
from gateway.process.reloading import Reloader, note, start_reload
from gateway.process.stopping import Stopping
from gateway.telemetry import quiet
from gateway.telemetry.instruments import Instruments
from gateway.telemetry.log import Event, Log
from metering.background import end

READY = b"+"


def run_loop(main: Coroutine[Any, Any, int]) -> int:
    """Run on uvloop where it exists, else on asyncio's own loop."""
    try:
        import uvloop  # noqa: PLC0415 - absent on some platforms
    except ImportError:
        return asyncio.run(_with_its_tasks(main))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_with_its_tasks(main))


async def _with_its_tasks(main: Coroutine[Any, Any, int]) -> int:
    """The result of ``main``, after every task that it left has ended.

    The runner cancels each only once, and would wait for ever if a task ignores that (`metering.background.end`).
    """
    try:
        return await main
    finally:
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            await end(task)


def raise_file_limit() -> None:
    """As many sockets as the system allows this process: the usual soft limit is 1,024, two a stream."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def settle_memory() -> None:
    """What start-up built is never garbage: keep the collector from walking it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


async def serve(
    config: Config,
    sockets: Sequence[socket.socket],
    metrics: int,
    row: int,
    *,
    log: Log,
    on_ready: Callable[[Worker, Reloader], Coroutine[Any, Any, None]],
    parent: int | None = None,
    reloads: bool = True,
) -> int:
    """Serve until `Stopping` says so, then drain. The process's exit code: 1 if something is unsettled, or it did not
    start, which the log says, and standard error if an operator can fix it. ``reloads``: SIGHUP reloads the
    configuration, and does not end the process.
    """
    stopping = Stopping(parent)
    try:
        instruments = Instruments.inherited(metrics, row)
    except ConfigError as error:
        return _not_started(log, error)
    instruments.note_hardening()
    log.close_over(config.providers)
    try:
        worker = await stopping.or_stop(Worker.start(config, sockets, instruments, log))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is reported, and the process ends
        return _not_started(log, error)
    if worker is None:
        log.info(Event.STOPPED, worker=row)
        return 0
    reloader = Reloader(config, log, worker.use, noted=partial(note, worker.store) if parent is None else None)
    hang_ups: set[asyncio.Task[None]] = set()
    if reloads:
        stopping.on_hang_up = partial(start_reload, reloader, hang_ups)
    try:
        try:
            settle_memory()
            await on_ready(worker, reloader)
        except Exception as error:  # noqa: BLE001 - as above
            return _not_started(log, error)
        log.info(Event.WORKER_STARTED, worker=row)
        await stopping.asked.wait()
        settled = await worker.drain(stopping)
    finally:
        for task in tuple(hang_ups):
            await end(task)
        await worker.close()
    return 0 if settled else 1


def _not_started(log: Log, error: Exception) -> int:
    quiet.tell(error)
    log.failure(Event.START_FAILED, error)
    return 1


def main(arguments: Sequence[str]) -> int:
    """Arguments: configuration, row, descriptors: metrics, ready, the supervisor's pipe, sockets."""
    variables.narrow()
    path, row, metrics, ready, parent, *descriptors = arguments
    config = load(Path(path))
    harden(config)
    log = make_log(config)
    quiet.install(log)
    sockets = [socket.socket(fileno=int(descriptor)) for descriptor in descriptors]

    async def announce(_worker: Worker, _reloader: Reloader) -> None:
        with contextlib.suppress(OSError):
            os.write(int(ready), READY)
            os.close(int(ready))

    return run_loop(serve(config, sockets, int(metrics), int(row), log=log, on_ready=announce, parent=int(parent)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
