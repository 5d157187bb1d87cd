"""Owns the listening sockets, starts the workers, serves the internal listener, and drains.

Rules:

1. The supervisor binds the listening sockets once, and workers inherit them: a worker that dies or drains loses no
   queued connection (closing an SO_REUSEPORT listener resets the connections that are queued on it).
2. A worker that dies is replaced, in the same metrics row, with a growing back-off if it dies at once.
3. SIGTERM drains every worker and exits 0 when all have settled; a second signal ends them (`Stopping`), in every
   state. A worker that does not end in time is killed: the spool has what is unsettled.
4. A worker whose supervisor has died drains and ends, so that a new supervisor finds the port and the store free.
5. Only one gateway can use a data directory: the supervisor holds its lock, which the kernel releases when the process
   ends in any way. Workers (rule 4) and commands do not hold it.
6. A single worker needs no supervisor: it serves in this process, together with the internal listener.
7. SIGUSR2 replaces the workers, one after the other: a new one serves before the old one hands over, so that there is
   always one that accepts. Old ones end in the background; each has its row of the metrics until then.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from pathlib import Path

from gateway import variables
from gateway.accounts.opening import open_configured
from gateway.catalog import published
from gateway.config import Config, ConfigError, HardeningMode
from gateway.hardening.process import harden
from gateway.http.certificate import expires_or_unknown
from gateway.internal.listener import InternalListener
from gateway.process.app import BACKLOG, Worker, make_instruments, make_log
from gateway.process.reloading import Reloader, note, start_reload
from gateway.process.service_manager import ServiceManager
from gateway.process.stopping import Stopping
from gateway.process.worker import raise_file_limit, run_loop, serve
from gateway.telemetry import quiet
from gateway.telemetry.instruments import Instruments
from gateway.telemetry.log import Event, Log
from metering.accounts.audit import Actor
from metering.background import end
from metering.store.store import Store

WORKER = "gateway.process.worker"
LOCK = "gateway.lock"  # in the data directory
START_SECONDS = 90.0  # a long append-only file of the embedded store is loaded first
STUCK_SECONDS = 60.0  # beyond the drain's own bounds, after which a worker hangs
WATCH_SECONDS = 0.05
CHECK_SECONDS = 1.0
RELOAD_SECONDS = 30.0  # for all workers to have read the file
ROWS = 2  # of the metrics, for each worker: one that is replaced still runs
ALIKE = frozenset({"identity", "store", "server.data_dir"})  # settings that workers beside each other must share
SPOOL_FULL = "spool: full in every worker"
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
            (f"server.port: {host}:{port} cannot be used ({reason}); choose another port, or stop the program on it",)
        ) from None
    return sockets


@contextlib.contextmanager
def sole_use(data_dir: Path) -> Iterator[None]:
    """Be the only gateway on a data directory, which is created if it is missing.

    Raises:
        ConfigError: Another one runs on it, or the directory cannot be used.
    """
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(data_dir / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        fix = "fix its permissions or choose another folder"
        raise ConfigError((f"server.data_dir: {data_dir} cannot be used ({error.strerror}); {fix}",)) from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fix = "end that gateway, or choose another folder for this one"
            raise ConfigError((f"server.data_dir: another gateway runs on {data_dir}; {fix}",)) from None
        yield
    finally:
        os.close(lock)


async def start_internal(
    reloader: Reloader, instruments: Instruments, missing: Callable[[], Awaitable[list[str]]], log: Log
) -> InternalListener:
    """Serve health, metrics and the API for services."""
    config = reloader.config
    sockets = bind(config.internal.host, config.internal.port)
    if config.server.tls_cert is not None:
        instruments.certificate_expires.read = partial(expires_or_unknown, config.server.tls_cert)
    return await InternalListener.start(
        lambda: reloader.config, sockets, instruments, missing, log=log, reload=reloader.reload
    )


async def store_faults(store: Store) -> list[str]:
    """Why the store cannot be used."""
    try:
        return [f"store: {fault}" for fault in await asyncio.wait_for(store.check(), CHECK_SECONDS)]
    except Exception:  # noqa: BLE001 - whatever it is, the store does not answer
        return ["store: does not answer"]


async def worker_faults(worker: Worker) -> list[str]:
    """Why one worker cannot serve."""
    faults = ["draining"] if worker.services.shares.running.draining else []
    if worker.services.books.spool.full:
        faults.append(SPOOL_FULL)
    return faults + await store_faults(worker.store)


async def _run_single(
    config: Config,
    sockets: list[socket.socket],
    on_started: Callable[[int, int], None],
    log: Log,
    *,
    reloads: bool,
) -> int:
    descriptor = make_instruments(config).create(1)
    listeners: list[InternalListener] = []

    async def announce(worker: Worker, reloader: Reloader) -> None:
        signals = worker.services.signals
        signals.instruments.workers.read = signals.instruments.workers_running.read = lambda: 1
        listener = await start_internal(reloader, signals.instruments, lambda: worker_faults(worker), signals.log)
        listeners.append(listener)
        _announce(signals.log, sockets, listener.port, 1, on_started)

    try:
        return await serve(config, sockets, descriptor, 0, log=log, on_ready=announce, reloads=reloads)
    finally:
        for listener in listeners:
            await listener.close()


def _announce(
    log: Log, sockets: list[socket.socket], internal: int, workers: int, on_started: Callable[[int, int], None]
) -> None:
    port = int(sockets[0].getsockname()[1])
    log.info(Event.STARTED, port=port, internal_port=internal, workers=workers)
    on_started(port, internal)


def _check_alike(differing: Iterable[str]) -> None:
    """Raises `ConfigError` if a setting differs in the file that workers beside each other must share."""
    fix = "old and new workers must share it; set it back, or stop the gateway and start it"
    faults = tuple(f"{name}: the running gateway has another value; {fix}" for name in differing if name in ALIKE)
    if faults:
        raise ConfigError(faults)


class _Role(Enum):
    """What a worker is to its gateway: JOINING -> PRESENT -> LEFT."""

    JOINING = "joining"  # it starts, and another one still has its place
    PRESENT = "present"  # it is to run: if it dies, it is replaced
    LEFT = "left"  # another one has its place; it ends after its running requests


@dataclass(slots=True)
class _Child:
    row: int
    process: subprocess.Popen[bytes]
    started: float = field(default_factory=time.monotonic)
    served: bool = False
    role: _Role = _Role.PRESENT
    left: float = 0.0  # when it was replaced

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
        self._metrics = self._instruments.create(ROWS * workers)
        self._instruments.registry.bind(self._metrics, None)
        self._instruments.workers.read = lambda: workers
        self._instruments.workers_running.read = lambda: sum(child.runs for child in self._present())
        self._instruments.worker_deaths.read = lambda: self._deaths
        self._log = log
        self._children: dict[int, _Child] = {}
        self._stopping = Stopping(on_again=lambda: self._signal(signal.SIGKILL))
        self._reloader = Reloader(config, log, self._reload_workers, noted=self._note_reload)
        self._reloads = 0
        self._restarting = False
        self._lifeline, self._alive = os.pipe()  # the workers have the first end, nobody else the second (`Stopping`)
        self._deaths = self._quick_deaths = 0
        self._store: Store | None = None  # see `_opened_store`

    async def _start(self, row: int, role: _Role = _Role.PRESENT) -> None:
        """Start one worker and wait until it serves. Raises `ConfigError` if it does not: then it is gone."""
        reader, writer = os.pipe()
        descriptors = [sock.fileno() for sock in self._sockets]
        handed = (self._metrics, writer, self._lifeline, *descriptors)
        arguments = (str(self._path), str(row), *map(str, handed))
        command, environment = variables.python(WORKER, *arguments), variables.for_child()
        if self._config.hardening.mode is HardeningMode.OFF:
            command, environment = [sys.executable, "-m", WORKER, *arguments], variables.for_debugging()
        process = subprocess.Popen(command, pass_fds=handed, env=environment)  # noqa: S603, ASYNC220 - as above
        os.close(writer)
        child = self._children[row] = _Child(row, process, role=role)
        reloads = self._reloads
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
            if reloads != self._reloads:  # it may have read the file before
                process.send_signal(signal.SIGHUP)
        except TimeoutError:
            child.process.kill()
            raise ConfigError(("server.workers: a worker did not start in time; its log says why",)) from None
        finally:
            loop.remove_reader(reader)
            os.close(reader)

    def _present(self) -> list[_Child]:
        """The workers that are to run."""
        return [child for child in self._children.values() if child.role is _Role.PRESENT]

    async def _start_all(self) -> bool:
        try:
            async with asyncio.TaskGroup() as group:
                for row in range(self._workers):
                    group.create_task(self._start(row))
        except* ConfigError as errors:
            raise errors.exceptions[0] from None
        return True

    async def run(self, on_started: Callable[[int, int], None]) -> int:
        asyncio.get_running_loop().set_exception_handler(quiet.loop_handler(self._log))
        listener = None
        begun: set[asyncio.Task[None]] = set()
        try:
            if await self._stopping.or_stop(self._start_all()):
                self._stopping.on_hang_up = partial(start_reload, self._reloader, begun)
                self._stopping.on_restart = partial(self._start_restart, begun)
                listener = await start_internal(self._reloader, self._instruments, self._missing, self._log)
                _announce(self._log, self._sockets, listener.port, self._workers, on_started)
                await self._stopping.or_stop(self._watch())
        finally:
            for task in tuple(begun):
                await end(task)
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

    async def _reload_workers(self, _config: Config) -> int:
        """Have each worker read the file; returns how many use it now."""
        reloads, total = self._instruments.reloads, self._instruments.registry.total
        applied, refused = reloads.column("applied"), reloads.column("refused")
        before, sum_before = total(applied), total(applied) + total(refused)
        self._reloads += 1
        asked = [child for child in self._present() if child.served and child.runs]
        for child in asked:
            child.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + RELOAD_SECONDS
        while total(applied) + total(refused) - sum_before < len(asked) and all(child.runs for child in asked):
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(WATCH_SECONDS)
        return total(applied) - before

    async def _note_reload(self, actor: str) -> None:
        await note(await self._opened_store(), actor)

    async def _opened_store(self) -> Store:
        """The store, for readiness and the audit stream; opened when it is first asked for."""
        if self._store is None:
            self._store = await asyncio.wait_for(open_configured(self._config), CHECK_SECONDS)
        return self._store

    def _start_restart(self, tasks: set[asyncio.Task[None]]) -> None:
        """Replace the workers because of a signal, unless that is under way; ``tasks`` keeps what runs."""
        if self._restarting:
            return
        self._restarting = True
        task = asyncio.get_running_loop().create_task(self._restart())
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def _restart(self) -> None:
        """Replace the workers, one after the other, each by one that has read the file as it is now.

        If the file has a fault, or a new worker does not serve, the workers that are not replaced yet stay.
        """
        try:
            reloaded = await self._reloader.reload(Actor.CLI)
            _check_alike(reloaded.needs_restart)
            rows = [child.row for child in self._present()]
            self._log.info(Event.RESTARTING, workers=len(rows))
            for row in rows:
                await self._join(await self._free_row())
                old = self._children[row]  # one that died meanwhile has a successor there
                old.role, old.left = _Role.LEFT, time.monotonic()
                if old.runs:
                    old.process.send_signal(signal.SIGUSR2)
            self._log.info(Event.RESTARTED, workers=len(rows))
        except ConfigError as error:
            quiet.tell(error)
            self._log.error(Event.RESTART_REFUSED, count=len(error.faults))
        except Exception as error:  # noqa: BLE001 - whatever it is, the old workers stay
            self._log.failure(Event.RESTART_REFUSED, error)
        finally:
            self._restarting = False

    async def _join(self, row: int) -> None:
        """Start one more worker. Raises `ConfigError` if it does not serve: then it is gone."""
        try:
            await self._start(row, _Role.JOINING)
        except BaseException:
            child = self._children.pop(row, None)
            if child is not None and child.runs:
                child.process.kill()
                child.process.wait()
            self._instruments.registry.forget(row)
            raise
        self._children[row].role = _Role.PRESENT

    async def _free_row(self) -> int:
        """A row of the metrics that nobody uses. If workers of an earlier restart have all, wait for one to end."""
        while True:
            free = set(range(ROWS * self._workers)) - set(self._children)
            if free:
                return min(free)
            await asyncio.sleep(WATCH_SECONDS)

    def _look_after_left(self, child: _Child) -> None:
        """Forget a worker that was replaced and has ended; end one that hangs."""
        if child.runs:
            if time.monotonic() - child.left > self._config.server.drain_timeout + STUCK_SECONDS:
                child.process.kill()
            return
        if child.process.returncode:
            self._log.warning(Event.WORKER_LEFT, worker=child.row, status=child.process.returncode)
        del self._children[child.row]
        self._instruments.registry.forget(child.row)

    async def _watch(self) -> None:
        """Replace workers that die."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            for row, child in list(self._children.items()):
                if child.role is _Role.LEFT:
                    self._look_after_left(child)
                if child.runs or child.role is not _Role.PRESENT:
                    continue
                self._log.error(Event.WORKER_DIED, worker=row, status=child.process.returncode)
                self._deaths += 1
                self._instruments.registry.forget(row)
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
            sock.close()  # the workers close theirs, so that no connection queues unanswered
        deadline = time.monotonic() + self._config.server.drain_timeout + STUCK_SECONDS
        while any(child.runs for child in self._children.values()):
            if time.monotonic() > deadline:
                self._signal(signal.SIGKILL)
            await asyncio.sleep(WATCH_SECONDS)
        return 0 if all(child.settled for child in self._children.values()) else 1

    async def _missing(self) -> list[str]:
        faults = ["draining"] if self._stopping.asked.is_set() else []
        if not any(child.runs for child in self._present()):
            faults.append("workers: none runs")
        instruments = self._instruments
        if instruments.registry.total(instruments.spool_full.column()) >= max(self._workers, len(self._children)):
            faults.append(SPOOL_FULL)
        try:
            store = await self._opened_store()
        except Exception:  # noqa: BLE001 - whatever it is, the store does not answer
            return [*faults, "store: does not answer"]
        return faults + await store_faults(store)


def run(
    config_path: Path,
    config: Config,
    workers: int | None = None,
    on_started: Callable[[int, int], None] | None = None,
    *,
    log: Log | None = None,
    reloads: bool = True,
) -> int:
    """Serve until SIGTERM. The exit code: 0 when everything was drained and settled.

    Args:
        config_path: Read again by each worker.
        config: What it says.
        workers: Processes; the configuration's number where ``None``.
        on_started: Called with the public and the internal port once requests are served.
        log: Where this process logs; the configuration's own where ``None``.
        reloads: SIGHUP reloads the configuration; otherwise it means the same as SIGTERM, for one worker.

    Raises:
        ConfigError: The data directory can't be used, the sockets can't be bound, the catalog can't be built, or no
            worker starts.
    """
    with sole_use(config.server.data_dir):
        return _run(config_path, config, workers or config.server.workers, on_started, log, reloads=reloads)


def _run(
    config_path: Path,
    config: Config,
    count: int,
    on_started: Callable[[int, int], None] | None,
    log: Log | None,
    *,
    reloads: bool,
) -> int:
    published.prepare(config)
    raise_file_limit()  # workers inherit it
    sockets = bind(config.server.host, config.server.port)
    manager = ServiceManager()
    harden(config)
    log = log or make_log(config)
    quiet.install(log)

    def started(public: int, internal: int) -> None:
        manager.serves(public, count)
        if on_started is not None:
            on_started(public, internal)

    if count == 1:
        return run_loop(_run_single(config, sockets, started, log, reloads=reloads))

    absolute = config_path.absolute()

    async def supervise() -> int:
        return await Supervisor(absolute, config, sockets, count, log).run(started)

    return asyncio.run(supervise())
