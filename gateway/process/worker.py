"""One worker process: inherits the listening sockets and the metrics memory, serves, drains, exits.

``python -m gateway.process.worker`` is started by the supervisor alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from gateway.config import Config
from gateway.config.load import load
from gateway.hardening.process import harden
from gateway.process.app import Worker, make_instruments, make_log
from gateway.telemetry import quiet
from gateway.telemetry.log import Event, Log

READY = b"+"


def run_loop(main: Coroutine[Any, Any, int]) -> int:
    """Run on uvloop where it exists, else on asyncio's own loop."""
    try:
        import uvloop  # noqa: PLC0415 - absent on some platforms
    except ImportError:
        return asyncio.run(main)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


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
    on_ready: Callable[[Worker], Coroutine[Any, Any, None]],
) -> int:
    """Serve until SIGTERM or SIGINT, then drain. The process's exit code: 1 if something is unsettled."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    instruments = make_instruments(config)
    instruments.registry.bind(metrics, row)
    instruments.note_hardening()
    log.close_over(config.providers)
    worker = await Worker.start(config, sockets, instruments, log)
    settle_memory()
    try:
        await on_ready(worker)
        log.info(Event.WORKER_STARTED, worker=row)
        await stop.wait()
        settled = await worker.drain()
    finally:
        await worker.close()
    return 0 if settled else 1


def main(arguments: Sequence[str]) -> int:
    """Arguments: configuration, row, metrics descriptor, ready descriptor, socket descriptors."""
    path, row, metrics, ready, *descriptors = arguments
    config = load(Path(path))
    harden(config)
    log = make_log(config)
    quiet.install(log)
    sockets = [socket.socket(fileno=int(descriptor)) for descriptor in descriptors]

    async def announce(_worker: Worker) -> None:
        with contextlib.suppress(OSError):
            os.write(int(ready), READY)
            os.close(int(ready))

    return run_loop(serve(config, sockets, int(metrics), int(row), log=log, on_ready=announce))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
