"""Owns the listening sockets, starts the workers, serves the internal listener, and drains.

Rules:

1. The listening sockets are bound here once and inherited: a worker that dies or drains takes no
   queued connection with it (a closed SO_REUSEPORT listener resets what is queued on it).
2. A worker that dies is replaced, in the same metrics row, with a growing pause where it dies at once.
3. SIGTERM drains every worker and exits 0 when all have settled; a second one ends them (`Stopping`). It holds in every
   state. A worker that does not end in its time is killed: the spool has what it owes.
4. A worker that loses its supervisor drains and ends: a new supervisor finds the port and the store free.
5. One worker needs no supervisor: it serves in this process, with the internal listener beside it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from gateway.accounts.opening import open_configured
from gateway.catalog import published
from gateway.config import Config, ConfigError
from gateway.hardening.process import harden
from gateway.internal.listener import InternalListener
from gateway.process.app import BACKLOG, Worker, make_instruments, make_log
from gateway.process.stopping import Stopping
from gateway.process.worker import raise_file_limit, run_loop, serve
from gateway.telemetry import quiet
from gateway.telemetry.instruments import Instruments
from gateway.telemetry.log import Event, Log
from metering.store.store import Store

START_SECONDS = 90.0  # a long append-only file of the embedded store is loaded first
STUCK_SECONDS = 60.0  # beyond the drain's own bounds, after which a worker hangs
WATCH_SECONDS = 0.05
CHECK_SECONDS = 1.0
QUICK_DEATH_SECONDS = 2.0
LONGEST_PAUSE_SECONDS = 10.0


def bind(host: str, port: int) -> list[socket.socket]:
    """Listening sockets for a host name or address, all on one port.

    Raises:
        ConfigError: The address can't be bound.
    """
    sockets: list[socket.socket] = []
    try:
        for family, kind, proto, _name, address in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            sock = socket.socket(family, kind, proto)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            chosen = port or (sockets[0].getsockname()[1] if sockets else 0)
            sock.bind((address[0], chosen, *address[2:]))
            sock.listen(BACKLOG)
            sock.setblocking(False)
            sock.set_inheritable(True)
            sockets.append(sock)
    except OSError as error:
        for sock in sockets:
            sock.close()
        reason = os.strerror(error.errno) if error.errno else "unknown address"
        raise ConfigError(
            (f"server.port: {host}:{port} can't be listened on ({reason}); choose another or end what uses it",)
        ) from None
    return sockets


async def start_internal(
    config: Config, instruments: Instruments, missing: Callable[[], Awaitable[list[str]]], log: Log
) -> InternalListener:
    """Serve health, metrics and the API for services."""
    sockets = bind(config.internal.host, config.internal.port)
    return await InternalListener.start(config, sockets, instruments, missing, log)


async def store_faults(store: Store) -> list[str]:
    """What keeps the store from being used."""
    try:
        return [f"store: {fault}" for fault in await asyncio.wait_for(store.check(), CHECK_SECONDS)]
    except Exception:  # noqa: BLE001 - whatever it is, the store does not answer
        return ["store: does not answer"]


async def worker_faults(worker: Worker) -> list[str]:
    """What keeps one worker from serving."""
    faults = ["draining"] if worker.services.draining else []
    return faults + await store_faults(worker.services.store)


async def _run_single(
    config: Config, sockets: list[socket.socket], on_started: Callable[[int, int], None] | None, log: Log
) -> int:
    instruments = make_instruments(config)
    descriptor = instruments.registry.create(1)
    listeners: list[InternalListener] = []

    async def announce(worker: Worker) -> None:
        services = worker.services
        listener = await start_internal(config, services.instruments, lambda: worker_faults(worker), services.log)
        listeners.append(listener)
        _announce(services.log, sockets, listener.port, 1, on_started)

    try:
        return await serve(config, sockets, descriptor, 0, log=log, on_ready=announce)
    finally:
        for listener in listeners:
            await listener.close()


def _announce(
    log: Log, sockets: list[socket.socket], internal: int, workers: int, on_started: Callable[[int, int], None] | None
) -> None:
    port = int(sockets[0].getsockname()[1])
    log.info(Event.STARTED, port=port, internal_port=internal, workers=workers)
    if on_started is not None:
        on_started(port, internal)


@dataclass(slots=True)
class _Child:
    row: int
    process: subprocess.Popen[bytes]
    started: float = field(default_factory=time.monotonic)
    served: bool = False

    @property
    def runs(self) -> bool:
        return self.process.poll() is None

    @property
    def settled(self) -> bool:
        """Whether it ended and left nothing to settle."""
        return self.process.returncode == 0 or not self.served


class Supervisor:
    """Starts, watches and drains the workers. Make it in the running loop."""

    def __init__(self, path: Path, config: Config, sockets: list[socket.socket], workers: int, log: Log) -> None:
        self._path = path
        self._config = config
        self._sockets = sockets
        self._workers = workers
        self._instruments = make_instruments(config)
        self._metrics = self._instruments.registry.create(workers)
        self._instruments.registry.bind(self._metrics, None)
        self._log = log
        self._children: dict[int, _Child] = {}
        self._stopping = Stopping(on_again=lambda: self._signal(signal.SIGKILL))
        self._lifeline, self._alive = os.pipe()  # the workers have the first end, nobody else the second (`Stopping`)
        self._quick_deaths = 0
        self._store: Store | None = None  # only for readiness; opened when it is first asked for

    async def _start(self, row: int) -> None:
        """Start one worker and wait until it serves. Raises `ConfigError` if it does not: then it is gone."""
        reader, writer = os.pipe()
        descriptors = [sock.fileno() for sock in self._sockets]
        handed = (self._metrics, writer, self._lifeline, *descriptors)
        command = [sys.executable, "-m", "gateway.process.worker", str(self._path), str(row), *map(str, handed)]
        process = subprocess.Popen(command, pass_fds=handed)  # noqa: S603, ASYNC220 - our module; a fork does not wait
        os.close(writer)
        child = self._children[row] = _Child(row, process)
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[bytes] = loop.create_future()

        def readable() -> None:
            if not ready.done():
                ready.set_result(os.read(reader, 1))

        loop.add_reader(reader, readable)
        try:
            async with asyncio.timeout(START_SECONDS):
                if not await ready:
                    raise ConfigError(("server.workers: a worker did not start; its log says why",))
            child.served = True
        except TimeoutError:
            child.process.kill()
            raise ConfigError(("server.workers: a worker did not start in time; its log says why",)) from None
        finally:
            loop.remove_reader(reader)
            os.close(reader)

    async def _start_all(self) -> bool:
        try:
            async with asyncio.TaskGroup() as group:
                for row in range(self._workers):
                    group.create_task(self._start(row))
        except* ConfigError as errors:
            raise errors.exceptions[0] from None
        return True

    async def run(self, on_started: Callable[[int, int], None] | None) -> int:
        asyncio.get_running_loop().set_exception_handler(quiet.loop_handler(self._log))
        listener = None
        try:
            if await self._stopping.or_stop(self._start_all()):
                listener = await start_internal(self._config, self._instruments, self._missing, self._log)
                _announce(self._log, self._sockets, listener.port, self._workers, on_started)
                await self._stopping.or_stop(self._watch())
        finally:
            code = await self._drain()
            if listener is not None:
                await listener.close()
            if self._store is not None:
                await self._store.close()
        return code

    def _signal(self, number: int) -> None:
        for child in self._children.values():
            if child.runs:
                child.process.send_signal(number)

    async def _watch(self) -> None:
        """Replace workers that die."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            for row, child in list(self._children.items()):
                if child.runs:
                    continue
                self._log.error(Event.WORKER_DIED, worker=row, status=child.process.returncode)
                quick = time.monotonic() - child.started < QUICK_DEATH_SECONDS
                self._quick_deaths = self._quick_deaths + 1 if quick else 0
                if self._quick_deaths:
                    await asyncio.sleep(min(LONGEST_PAUSE_SECONDS, 0.1 * 2**self._quick_deaths))
                with contextlib.suppress(ConfigError):
                    await self._start(row)

    async def _drain(self) -> int:
        """Tell the workers to drain, and wait until all have ended: 0 if each has settled everything."""
        self._signal(signal.SIGTERM)
        for sock in self._sockets:
            sock.close()  # the workers close theirs: nobody queues where nobody answers
        deadline = time.monotonic() + self._config.server.drain_timeout + STUCK_SECONDS
        while any(child.runs for child in self._children.values()):
            if time.monotonic() > deadline:
                self._signal(signal.SIGKILL)
            await asyncio.sleep(WATCH_SECONDS)
        return 0 if all(child.settled for child in self._children.values()) else 1

    async def _missing(self) -> list[str]:
        faults = ["draining"] if self._stopping.asked.is_set() else []
        if not any(child.runs for child in self._children.values()):
            faults.append("workers: none runs")
        try:
            if self._store is None:
                self._store = await asyncio.wait_for(open_configured(self._config), CHECK_SECONDS)
        except Exception:  # noqa: BLE001 - whatever it is, the store does not answer
            return [*faults, "store: does not answer"]
        return faults + await store_faults(self._store)


def run(
    config_path: Path,
    config: Config,
    workers: int | None = None,
    on_started: Callable[[int, int], None] | None = None,
    *,
    log: Log | None = None,
) -> int:
    """Serve until SIGTERM. The exit code: 0 when everything was drained and settled.

    Args:
        config_path: Read again by each worker.
        config: What it says.
        workers: Processes; the configuration's number where ``None``.
        on_started: Called with the public and the internal port once requests are served.
        log: Where this process logs; the configuration's own where ``None``.

    Raises:
        ConfigError: The sockets can't be bound, the catalog can't be built, or no worker starts.
    """
    count = workers or config.server.workers
    config.server.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    published.prepare(config)
    raise_file_limit()  # workers inherit it
    sockets = bind(config.server.host, config.server.port)
    harden(config)
    log = log or make_log(config)
    quiet.install(log)
    if count == 1:
        return run_loop(_run_single(config, sockets, on_started, log))

    absolute = config_path.absolute()

    async def supervise() -> int:
        return await Supervisor(absolute, config, sockets, count, log).run(on_started)

    return asyncio.run(supervise())
