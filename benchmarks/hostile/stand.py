"""What the soak runs on: a provider simulator and a gateway of two workers with its own store, one account a user."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

from benchmarks import processes
from benchmarks.compare.accounting import memory_of, name_of, tree
from benchmarks.compare.measure import STORES
from benchmarks.simulator import SimulatorProcess
from gateway.accounts.opening import opened
from gateway.auth import sessions
from gateway.config.load import load

CREDITS = 10**12
START_SECONDS = 90.0
HONEST = "m@chunks-20@pace-20ms@in-100@mark-{user}"
"""The provider's name of an honest user's model: every answer has the user's name in every event."""
MODELS = {  # for the hostile: the client's name -> the provider, and its name with the simulator's controls
    "short": ("openai", "m"),
    "long": ("openai", "m@chunks-2000@size-1000@pace-10ms"),  # faster than providers are, slower than the simulator
    "big": ("openai", "m@fault-big@kib-400"),
    "claude": ("anthropic", "claude"),
}
_STATED = 'retention_days = 0\ntraining = false\nregion = "local"\n'
_PRICE = "price = { input = 1, output = 4, cache_read = 0.1, cache_write = 1.25 }"


class HostileStand:
    """Use as a context manager; ``tokens`` are the users', by name."""

    def __init__(self, folder: Path, honest: list[str], hostile: list[str]) -> None:
        self.folder = folder
        self.sim = SimulatorProcess()
        self.port = 0
        self.tokens: dict[str, str] = {}
        self._honest = honest
        self._hostile = hostile
        self._config = folder / "gateway.toml"
        self._gateway: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.sim.start()
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self) -> None:
        models = {**MODELS, **{user: ("openai", HONEST.format(user=user)) for user in self._honest}}
        lines = [
            '[server]\nhost = "127.0.0.1"\nport = 0\nworkers = 2\ndrain_timeout = 1\n',
            f'data_dir = "{self.folder}/data"\n',
            '[internal]\nport = 0\n[policy]\nsecrets = "restore"\n',
            *(
                f'[providers.{kind}]\nkind = "{kind}"\nbase_url = "{self.sim.url}"\napi_keys = ["k"]\n{_STATED}'
                for kind in ("openai", "anthropic")
            ),
            *(
                f'[[models]]\nname = "{name}"\ntargets = [{{ provider = "{kind}", model = "{target}" }}]\n{_PRICE}\n'
                for name, (kind, target) in models.items()
            ),
        ]
        self._config.write_text("".join(lines))
        self.tokens = asyncio.run(self._sessions())
        command = [sys.executable, "-m", "gateway", "serve", "--config", str(self._config)]
        with self.log.open("ab") as log:
            gateway = self._gateway = processes.start(command, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while not self.port:
            if gateway.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(self.log.read_text()[-2_000:])
            time.sleep(0.05)
            self.port = self._listening()

    async def _sessions(self) -> dict[str, str]:
        tokens = {}
        async with opened(load(self._config)) as at:
            for user in (*self._honest, *self._hostile):
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
        self.sim.stop()

    @property
    def log(self) -> Path:
        return self.folder / "gateway.log"

    def errors(self) -> int:
        """Lines of errors that the gateway wrote."""
        return sum('"level":"error"' in line for line in self.log.read_text().splitlines())

    def held(self) -> tuple[int, int]:
        """Bytes of memory and descriptors of the gateway's processes now, without its store."""
        memory = descriptors = 0
        assert self._gateway is not None
        for pid in tree(self._gateway.pid):
            if name_of(pid) not in STORES:
                memory += memory_of(pid).resident
                with suppress(OSError):  # it ended just now
                    descriptors += sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
        return memory, descriptors
