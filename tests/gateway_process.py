"""A gateway as its users have it: a real process, a real store, a real socket.

``GatewayProcess`` writes a configuration into a folder, makes sessions with the command line, starts
``codegrex-gateway serve`` and waits until it is ready; leaving the block drains it with SIGTERM.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import urllib.request
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import redis

from benchmarks import launch, processes
from gateway import variables
from gateway.auth.identity import identity_keys, load_key
from gateway.config.load import load
from metering.accounts.identity_map import Accounts
from metering.keys import kind_of
from metering.store.store import Store, open_store
from tests import fork_server

Result = TypeVar("Result")
PROGRAM = variables.python("gateway")
CLI = PROGRAM  # a test may replace it
PRICE = {
    "input": 1,
    "output": 4,
    "cache_read": "0.1",
    "cache_write": "1.25",
    "searches": 10_000,
    "fetches": 1_000,
    "code_runs": 1_000,
}
STATEMENT = {"retention_days": 0, "training": False, "region": "global"}


def provider(kind: str, url: str, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "base_url": url, "api_keys": ["provider-key"], **STATEMENT, **more}


def model(name: str, kind: str, target: str | None = None, **more: Any) -> dict[str, Any]:
    return {"name": name, "targets": [{"provider": kind, "model": target or name}], "price": PRICE, **more}


def toml(table: Mapping[str, Any]) -> str:
    """A configuration table as TOML (the part of it that configurations use)."""
    lines: list[str] = []
    _write(lines, table, ())
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float, Decimal)):
        return str(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(key)} = {_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    return json.dumps(str(value))


def _write(lines: list[str], table: Mapping[str, Any], path: tuple[str, ...]) -> None:
    for key, value in table.items():
        if isinstance(value, Mapping):
            continue
        if isinstance(value, list) and value and isinstance(value[0], Mapping):
            continue
        if path == () or not isinstance(value, Mapping):
            lines.append(f"{key} = {_value(value)}")
    for key, value in table.items():
        if isinstance(value, Mapping):
            if key == "price":
                lines.append(f"{key} = {_prices(value)}")
                continue
            lines.append(f"\n[{'.'.join((*path, json.dumps(key)))}]")
            _write(lines, value, (*path, json.dumps(key)))
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            if path == () and key == "models":
                for item in value:
                    lines.append(f"\n[[{key}]]")
                    for name, part in item.items():
                        lines.append(f"{name} = {_prices(part) if name == 'price' else _value(part)}")
            else:
                lines.append(f"{key} = {_value(value)}")


def _prices(prices: Mapping[str, Any]) -> str:
    return "{" + ", ".join(f"{key} = {_value(p) if isinstance(p, Mapping) else p}" for key, p in prices.items()) + "}"


def run_cli(*arguments: str, config: Path) -> Any:
    """Run a command with ``--json`` and return what it printed, parsed."""
    done = fork_server.run([*arguments, "--config", str(config), "--json"], variables.for_child())
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.strip()]


@dataclass
class GatewayProcess:
    """Use as a context manager. ``table`` is merged over a working default.

    ``prefix`` stands before the command, ``injected`` is put inside by `benchmarks.launch`, and ``environment`` is what
    the gateway gets beside what it honours. With one of these, or ``afresh``, an interpreter is started for it; else it
    is forked from one that has imported it (`fork_server`).
    """

    folder: Path
    providers: Mapping[str, Any]
    models: list[Mapping[str, Any]]
    more: Mapping[str, Any] = field(default_factory=dict)
    workers: int = 1
    prefix: Sequence[str] = ()
    injected: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    afresh: bool = False
    config: Path = field(init=False)
    url: str = field(init=False, default="")
    internal: str = field(init=False, default="")
    process: subprocess.Popen[bytes] | fork_server.Forked = field(init=False)

    def __post_init__(self) -> None:
        self.config = self.folder / "gateway.toml"
        server = {
            "host": "127.0.0.1",
            "port": 0,
            "data_dir": str(self.folder / "data"),
            # All tests of a folder are one account and one network.
            "unpaid_requests_per_minute": 1_000_000,
            "stranger_refusals_per_minute": 1_000_000,
            **self.more.get("server", {}),
        }
        table = {
            "server": server,
            "internal": {"port": 0},
            "providers": dict(self.providers),
            **{key: value for key, value in self.more.items() if key != "server"},
            "models": list(self.models),
        }
        self.config.write_text(toml(table))

    @property
    def log(self) -> Path:
        return self.folder / "gateway.log"

    @property
    def command(self) -> list[str]:
        program = launch.command(*self.injected) if self.injected else CLI
        return [*program, "serve", "--config", str(self.config), "--workers", str(self.workers)]

    def start(self) -> None:
        command = [*self.prefix, *self.command]
        forked = not self.afresh and not self.environment and command[: len(PROGRAM)] == PROGRAM
        with self.log.open("ab") as log, Path(os.devnull).open() as nothing:
            if forked:
                streams = [file.fileno() for file in (nothing, log, log)]
                serving = fork_server.server(fork_server.SERVING)
                self.process = serving.start(command[len(PROGRAM) :], streams, variables.for_child())
            else:
                environment = {**variables.for_child(), **self.environment}
                self.process = processes.start(command, stdout=log, stderr=log, env=environment)
        try:
            started = self._started()
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        self.url = f"http://127.0.0.1:{started['port']}"
        self.internal = f"http://127.0.0.1:{started['internal_port']}"

    def _started(self) -> dict[str, Any]:
        """The ``started`` line of this process; its log is the only thing that tells free ports."""
        import time

        deadline = time.monotonic() + 90
        seen = 0
        while time.monotonic() < deadline:
            lines = self.log.read_text().splitlines()
            for line in lines[seen:]:
                if '"event":"started"' in line:
                    found = json.loads(line)
                    if found.get("seen") is None and self._is_ours(lines, line):
                        return found
            if self.process.poll() is not None:
                raise AssertionError(self.log.read_text())
            time.sleep(0.01)
        raise AssertionError(self.log.read_text())

    def _is_ours(self, lines: list[str], line: str) -> bool:
        return (
            line == [one for one in lines if '"event":"started"' in one][-1]
            and lines.count(line) >= 1
            and (sum('"event":"started"' in one for one in lines) > self._starts)
        )

    _starts: int = field(init=False, default=0)

    def stop(self, number: int = signal.SIGTERM) -> int:
        undocumented: list[str] = []
        if self.process.poll() is None:
            undocumented = self.undocumented_keys()
            self.process.send_signal(number)
        try:
            code = self.process.wait(timeout=90)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        self._starts = self.log.read_text().count('"event":"started"')
        assert undocumented == [], "docs/privacy.md does not list these keys: metering.keys.KEPT"
        return code

    def undocumented_keys(self) -> list[str]:
        """The keys of the embedded store that `metering.keys.KEPT` does not list; none where it is not running."""
        folder = self.folder / "data" / "store"
        recorded = folder / "socket"
        path = recorded.read_text() if recorded.exists() else str(folder / "store.sock")
        if not Path(path).is_socket():
            return []
        with contextlib.suppress(redis.exceptions.ConnectionError), redis.Redis(unix_socket_path=path) as client:
            return [name.decode() for name in client.scan_iter(count=10_000) if kind_of(name.decode()) is None]
        return []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def on_store(self, act: Callable[[Store], Coroutine[Any, Any, Result]]) -> Result:
        """Do something with this gateway's store, as another process of its operator would."""

        async def run() -> Result:
            config = load(self.config)
            store = await open_store(config.store.url, data_dir=config.server.data_dir)
            try:
                return await act(store)
            finally:
                await store.close()

        return asyncio.run(run())

    def for_account(
        self, act: Callable[[Store, bytes, str], Coroutine[Any, Any, Result]], user: str = "user"
    ) -> Result:
        """Do something with the store, the identity key and a user's account, as the portal would."""

        async def work(store: Store) -> Result:
            key = load_key(load(self.config))
            pid = await Accounts(store, identity_keys(key)).pid_of(user)
            assert pid is not None
            return await act(store, key, pid)

        return self.on_store(work)

    def session(self, user: str = "user", credits_: int = 1000, **options: str) -> dict[str, Any]:
        """A new session: ``access_token``, ``expires_in``, ``pid``."""
        arguments = ["sessions", "create", "--user", user, "--credits", str(credits_)]
        for name, value in options.items():
            arguments += [f"--{name}", value]
        return run_cli(*arguments, config=self.config)[0]

    def metric(self, name: str) -> int:
        """The value of a series without labels."""
        with urllib.request.urlopen(f"{self.internal}/metrics", timeout=30) as page:
            found = re.search(rf"^{name} (\d+)$", page.read().decode(), re.MULTILINE)
        assert found is not None, name
        return int(found[1])

    def account(self, user: str = "user") -> dict[str, Any]:
        return run_cli("accounts", "show", "--user", user, config=self.config)[0]

    def usage(self, user: str = "user") -> list[dict[str, Any]]:
        return run_cli("usage", "list", "--user", user, config=self.config)
