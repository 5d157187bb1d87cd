"""What a line of the table runs on: a store, a provider simulator, a gateway of two workers, one account a request.

Each request has an account of its own and a prompt of its own length, so that the provider's bill and the ledger's
record of every single request are found and compared.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import redis

from benchmarks import launch, processes
from benchmarks.compare.accounting import tree
from benchmarks.crash.faults import Plan
from benchmarks.ports import free_port
from benchmarks.simulator import SimulatorProcess
from gateway import variables
from gateway.accounts.opening import opened
from gateway.auth import sessions
from gateway.config.load import load
from metering.store.embedded import server_binary

CREDITS = 10**12
PATIENCE = 30.0
MODELS = {  # the client's name -> the provider's, with the simulator's controls
    "short": "m",
    "paced": "m@chunks-20@pace-10ms",
    "slow": "m@chunks-100@pace-20ms",
    "late": "m@first-200ms",
    "unavailable": "m@fault-503",
    "refuse": "m@fault-refuse",
    "reset-before": "m@fault-reset_before",
    "reset-mid": "m@chunks-12@fault-reset_mid@at-5",
    "close-mid": "m@chunks-12@fault-close_mid@at-5",
    "cut-event": "m@chunks-12@fault-cut_event@at-5",
    "error-mid": "m@chunks-12@fault-error_mid@at-5",
}
_STATED = 'retention_days = 0\ntraining = false\nregion = "local"\n'
_PRICE = "price = { input = 1, output = 4, cache_read = 0.1, cache_write = 1.25 }"


@dataclass(frozen=True, slots=True)
class Account:
    """Who sends one request."""

    number: int
    pid: str
    token: str


class StoreServer:
    """A Valkey server on a free port, with an append-only file that is fsynced at each write."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.options = options
        folder.mkdir(parents=True)
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        lines = (f"port {self.port}", "bind 127.0.0.1", f"dir {self.folder}", 'save ""', "appendonly yes")
        (self.folder / "server.conf").write_text("\n".join([*lines, "appendfsync always", *self.options]) + "\n")
        with (self.folder / "server.out").open("ab") as output:
            command = [server_binary(), self.folder / "server.conf"]
            self._process = processes.start(command, stdout=output, stderr=output)
        until(lambda: self.call("PING"))

    def call(self, *command: str | int) -> Any:
        with redis.Redis(host="127.0.0.1", port=self.port, socket_timeout=5) as client:
            return client.execute_command(*command)

    def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.wait(PATIENCE)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """In its midst it keeps its connections and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)


def until(condition: Any, seconds: float = PATIENCE) -> Any:
    """Wait until ``condition`` gives something true. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if found := condition():
                return found
        except (OSError, redis.RedisError):
            pass
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds} s in vain")
        time.sleep(0.01)


class Stand:
    """Use as a context manager; `accounts` are made anew for each line."""

    def __init__(self, folder: Path, plan: Plan, *, disk: Callable[[Path], Path] | None = None) -> None:
        self.folder = folder
        self.plan = plan
        self.store = StoreServer(folder / "store")
        self.sim = SimulatorProcess()
        self.config = folder / "gateway.toml"
        self.url = ""
        self._disk = disk
        self._gateway: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.sim.start()
        port, internal = free_port(), free_port()
        self.url = f"http://127.0.0.1:{port}"
        data = self.folder / "data"
        data.mkdir()
        models = "".join(
            f'[[models]]\nname = "{name}"\ntargets = [{{ provider = "sim", model = "{target}" }}]\n{_PRICE}\n'
            for name, target in MODELS.items()
        )
        self.config.write_text(
            f'[server]\nhost = "127.0.0.1"\nport = {port}\ndata_dir = "{data}"\ndrain_timeout = 20\n'
            f'[internal]\nport = {internal}\n[store]\nurl = "redis://127.0.0.1:{self.store.port}/0"\n'
            f'[providers.sim]\nkind = "openai"\nbase_url = "{self.sim.url}"\napi_keys = ["k"]\n{_STATED}{models}'
        )
        try:
            if self._disk is not None:
                self._disk(self.spool)
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(subprocess.TimeoutExpired):
            self.stop()
        self.sim.stop()
        self.store.end()

    @property
    def spool(self) -> Path:
        return self.folder / "data" / "spool"

    def start(self, plan: Plan | None = None) -> None:
        """Start the gateway and wait until it serves."""
        program = launch.command((plan or self.plan).injection)
        command = [*program, "serve", "--config", str(self.config), "--workers", "2"]
        before = self._started()
        with (self.folder / "gateway.log").open("ab") as log:
            self._gateway = processes.start(command, stdout=log, stderr=log, env=variables.for_child())
        gateway = self._gateway
        until(lambda: gateway.poll() is not None or self._started() > before)
        if gateway.poll() is not None:
            raise RuntimeError((self.folder / "gateway.log").read_text()[-2_000:])

    def _started(self) -> int:
        log = self.folder / "gateway.log"
        return log.read_text().count('"event":"started"') if log.exists() else 0

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Drain the gateway; its exit code."""
        process, self._gateway = self._gateway, None
        if process is None:
            return 0
        workers = self.workers(process.pid)
        process.send_signal(number)
        code = process.wait(60)
        if number is signal.SIGKILL:
            for pid in workers:
                _signal(pid, number)
        return code

    def workers(self, supervisor: int = 0) -> list[int]:
        """Process ids of the workers."""
        root = supervisor or (self._gateway.pid if self._gateway is not None else 0)
        return [pid for pid in tree(root) if pid != root]

    def signal_a_worker(self, number: signal.Signals = signal.SIGKILL) -> None:
        if workers := self.workers():
            _signal(random.choice(workers), number)

    def signal_workers(self, number: signal.Signals) -> None:
        for pid in self.workers():
            _signal(pid, number)

    def deaths(self) -> int:
        """Workers that died since the begin."""
        return (self.folder / "gateway.log").read_text().count('"event":"worker_died"')

    async def accounts(self, count: int) -> list[Account]:
        """Accounts with plenty of credit, one for each request."""
        made: list[Account] = []
        async with opened(load(self.config)) as at:
            for number in range(count):
                pid = await at.accounts.pid_of(f"u{number}-{time.time_ns()}", create=True)
                assert pid is not None
                await at.ledger.grant(pid, CREDITS, "g")
                issued = await sessions.create(at.store.client, at.key, pid=pid, tier="default")
                made.append(Account(number, pid, issued.access_token))
        return made


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
