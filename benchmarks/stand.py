"""A gateway with its own store, as a process, for campaigns that load it: one account a user."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from benchmarks import processes
from gateway import variables
from gateway.accounts.opening import opened
from gateway.auth import sessions
from gateway.config.load import load

CREDITS = 10**12
START_SECONDS = 90.0


class GatewayStand:
    """Use as a context manager.

    Attributes:
        port: Of the running gateway.
        tokens: The users', by name.
    """

    def __init__(self, folder: Path, users: Iterable[str]) -> None:
        self.folder = folder
        self.port = 0
        self.tokens: dict[str, str] = {}
        self._users = tuple(users)
        self._config = folder / "gateway.toml"
        self._gateway: subprocess.Popen[bytes] | None = None

    def config(self) -> str:
        """The gateway's configuration, once everything that it names runs."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self) -> None:
        self._config.write_text(self.config())
        self.tokens = asyncio.run(self._sessions())
        command = [*variables.python("gateway"), "serve", "--config", str(self._config)]
        with self.log.open("ab") as log:
            gateway = self._gateway = processes.start(command, stdout=log, stderr=log, env=variables.for_child())
        deadline = time.monotonic() + START_SECONDS
        while not self.port:
            if gateway.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(self.log.read_text()[-2_000:])
            time.sleep(0.05)
            self.port = self._listening()

    async def _sessions(self) -> dict[str, str]:
        tokens = {}
        async with opened(load(self._config)) as at:
            for user in self._users:
                pid = await at.accounts.pid_of(user, create=True)
                assert pid is not None
                await at.ledger.grant(pid, CREDITS, "g")
                tokens[user] = (await sessions.create(at.store.client, at.key, pid=pid, tier="default")).access_token
        return tokens

    def _listening(self) -> int:
        for line in self.log.read_text().splitlines():
            if '"event":"started"' in line:
                return int(line.partition('"port":')[2].partition(",")[0].rstrip("}"))
        return 0

    def __exit__(self, *_: object) -> None:
        if self._gateway is not None:
            self._gateway.terminate()
            self._gateway.wait(60)

    @property
    def log(self) -> Path:
        return self.folder / "gateway.log"

    def errors(self) -> int:
        """Lines of errors that the gateway wrote."""
        return sum('"level":"error"' in line for line in self.log.read_text().splitlines())
