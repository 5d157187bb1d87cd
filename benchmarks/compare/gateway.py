"""This gateway as a contender: its own configuration, its embedded store, some dozens of paid-up users.

Everything is on: authentication, limits, reserve, settle, usage scan. It is run as its users run it,
through its command line.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from benchmarks.compare.contenders import Contender, Route, Unavailable, Upstreams, answered
from benchmarks.ports import free_port
from gateway.accounts.opening import opened
from gateway.auth import sessions
from gateway.config.load import load
from metering.reading.reader import read_usage
from metering.usage import MICRO_CREDITS

_CREDITS = 1_000_000_000  # of each user
_USERS = 40
_STATEMENT = 'retention_days = 0\ntraining = false\nregion = "local"\n'
_PRICE = "price = { input = 1, output = 2, cache_read = 0.1, cache_write = 1.25 }\n"


class Gateway(Contender):
    """``codegrex-gateway serve`` with a number of workers."""

    name = "gateway"
    recovery_seconds = 100.0  # what a killed process left is settled when its lease of 60 seconds has ended

    def __init__(
        self,
        folder: Path,
        upstreams: Upstreams,
        *,
        workers: int = 1,
        name: str = "gateway",
        translated: bool = False,
    ) -> None:
        """``translated``: what is not asked for over TLS is translated into another dialect than the load's."""
        self.name = name
        super().__init__(folder, upstreams)
        self.workers = workers
        self.kind = "anthropic" if translated else "openai"
        self.port = 0
        self.config = self.folder / "gateway.toml"
        self.token = ""

    @staticmethod
    def command() -> str:
        """The gateway's own command, beside this Python or on the path. Raises `Unavailable`."""
        found = shutil.which("codegrex-gateway", path=str(Path(sys.executable).parent)) or shutil.which(
            "codegrex-gateway"
        )
        if found is None:
            raise Unavailable("codegrex-gateway is not installed")
        return found

    def prepare(self) -> None:
        """Write the configuration and create the session. Raises `Unavailable`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        lines = [
            f'[server]\nhost = "127.0.0.1"\nport = {self.port}\nworkers = {self.workers}\n',
            f'data_dir = "{self.folder}/data"\nmax_body_bytes = 67108864\n',
            "max_connections_per_address = 16384\n",  # all of the load comes from one
            f'[internal]\nport = {free_port()}\n[store]\nurl = "embedded:"\n[log]\nlevel = "warning"\n',
        ]
        for name, url in (("plain", self.upstreams.plain), ("secure", self.upstreams.tls)):
            kind = self.kind if name == "plain" else "openai"
            lines.append(f'[providers.{name}]\nkind = "{kind}"\nbase_url = "{url.replace("localhost", "127.0.0.1")}"\n')
            lines.append(f'api_keys = ["bench-key"]\n{_STATEMENT}')
            if name == "secure":
                lines.append(f'ca_file = "{self.upstreams.ca_file}"\n')
        for model, provider in (("bench", "plain"), ("bench-tls", "secure")):
            target = f'[{{ provider = "{provider}", model = "bench" }}]'
            lines.append(f'[[models]]\nname = "{model}"\ntargets = {target}\nmax_output = 100000\n{_PRICE}')
        self.config.write_text("".join(lines))
        self.token = ",".join(asyncio.run(self._sessions()))

    async def _sessions(self) -> list[str]:
        """One session for each of the users, made as the command line makes them."""
        tokens = []
        async with opened(load(self.config)) as at:
            for number in range(_USERS):
                pid = await at.accounts.pid_of(f"bench-{number}", create=True)
                assert pid is not None
                await at.ledger.grant(pid, _CREDITS * MICRO_CREDITS, "bench")
                issued = await sessions.create(at.store.client, at.key, pid=pid, tier="default")
                tokens.append(issued.access_token)
        return tokens

    def start(self) -> None:
        if not self.token:
            self.prepare()
        self.launch()
        self.wait_for(self.port)
        url = f"http://127.0.0.1:{self.port}"
        self.routes = {False: Route(url, self.token, "bench"), True: Route(url, self.token, "bench-tls")}
        self.answered(20.0)

    def launch(self) -> None:
        self.spawn([self.command(), "serve", "--config", str(self.config)], os.environ)

    def answered(self, seconds: float) -> float:
        """Try until a request is answered; returns when that was (monotonic). Raises `Unavailable`."""
        return answered(Route(f"http://127.0.0.1:{self.port}", self.token), seconds)

    def identity(self, headers: Mapping[str, str], input_tokens: int) -> str:  # noqa: ARG002 - an estimate has others
        return headers["x-request-id"]

    def kept(self) -> Mapping[str, bool] | None:
        """The requests in the ledger."""
        return asyncio.run(self._kept())

    async def _kept(self) -> dict[str, bool]:
        found: dict[str, tuple[int, bool]] = {}  # of each request's records, the one that counts
        async with opened(load(self.config)) as at:
            async for record in read_usage(at.store):
                this = (record.rev, record.basis == "reported")
                found[record.rid] = max(found.get(record.rid, this), this)
        return {rid: reported for rid, (_, reported) in found.items()}

    def version(self) -> str:
        """Its version, and the commit where it runs from a checkout."""
        command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
        try:
            commit = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
        except OSError:  # no git here
            commit = ""
        return f"{version('codegrex-gateway')} {commit}".strip()
