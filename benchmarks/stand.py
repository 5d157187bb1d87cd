"""A gateway with its own store, as a process, for campaigns that load it: one account a user."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from benchmarks import processes
from benchmarks.compare.accounting import tree
from gateway import variables
from gateway.accounts.opening import opened
from gateway.auth import sessions
from gateway.config.load import load

CREDITS = 10**12
START_SECONDS = 90.0
WORKER = b"gateway.process.worker"


class GatewayStand:
    """Use as a context manager.

    Attributes:
        file: The gateway's configuration.
        port: Of the running gateway.
        internal: The address of its internal listener.
        tokens: The users', by name.
        pids: The ids of their accounts.
    """

    def __init__(self, folder: Path, users: Iterable[str]) -> None:
        self.folder = folder
        self.file = folder / "gateway.toml"
        self.port = 0
        self.internal = ""
        self.tokens: dict[str, str] = {}
        self.pids: dict[str, str] = {}
        self._users = tuple(users)
        self._gateway: subprocess.Popen[bytes] | None = None

    def config(self) -> str:
        """The gateway's configuration, once everything that it names runs."""
        raise NotImplementedError

    def program(self) -> list[str]:
        """What stands before the gateway's arguments."""
        return variables.python("gateway")

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self) -> None:
        self.file.write_text(self.config())
        asyncio.run(self._sign_in())
        command = [*self.program(), "serve", "--config", str(self.file)]
        with self.log.open("ab") as log:
            gateway = self._gateway = processes.start(command, stdout=log, stderr=log, env=variables.for_child())
        deadline = time.monotonic() + START_SECONDS
        while not self.port:
            if gateway.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(self.log.read_text()[-2_000:])
            time.sleep(0.05)
            self._look_for_ports()

    async def _sign_in(self) -> None:
        async with opened(load(self.file)) as at:
            for user in self._users:
                pid = await at.accounts.pid_of(user, create=True)
                assert pid is not None
                await at.ledger.grant(pid, CREDITS, "g")
                self.pids[user] = pid
                issued = await sessions.create(at.store.client, at.key, pid=pid, tier="default")
                self.tokens[user] = issued.access_token

    def _look_for_ports(self) -> None:
        for line in self.log.read_text().splitlines():
            if '"event":"started"' in line:
                found = json.loads(line)
                self.internal = f"http://127.0.0.1:{found['internal_port']}"
                self.port = found["port"]

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> int:
        """Drain the gateway; its exit code, 0 if it does not run."""
        gateway, self._gateway = self._gateway, None
        if gateway is None:
            return 0
        gateway.terminate()
        return gateway.wait(60)

    @property
    def pid(self) -> int:
        """The process that was started: with several workers, their supervisor."""
        assert self._gateway is not None
        return self._gateway.pid

    def workers(self) -> list[int]:
        """Process ids of the workers."""
        return [pid for pid in tree(self.pid) if WORKER in _command_of(pid)]

    @property
    def log(self) -> Path:
        return self.folder / "gateway.log"

    def events(self, name: str) -> int:
        """How often the gateway logged an event."""
        return self.log.read_text().count(f'"event":"{name}"')

    def errors(self) -> int:
        """Lines of errors that the gateway wrote."""
        return sum('"level":"error"' in line for line in self.log.read_text().splitlines())


def _command_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it ended just now
        return b""
