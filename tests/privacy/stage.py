"""A gateway under strace with its store watched, for scenarios to act on and for sinks to be read from.

`Stage` is a `GatewayProcess` that runs under strace, writes standard output and standard error to files
of their own, and turns on what the store could keep: MONITOR, SLOWLOG and uncompressed snapshots.
"""

from __future__ import annotations

import contextlib
import resource
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from redis import Redis

from benchmarks import processes
from benchmarks.simulator import SimulatorProcess
from gateway import variables
from metering.reading.reader import read_usage
from metering.store.store import Store
from metering.usage import UsageRecord
from tests.gateway_process import GatewayProcess
from tests.privacy.canaries import Canaries
from tests.privacy.record import LONGEST, TRACED
from tests.raw_http import Answer, RawClient, ask, request
from tests.tools import TOOLS

STRACE = TOOLS["strace"].path
PATIENCE = 30.0


@dataclass
class Stage(GatewayProcess):
    """Start it as a context manager; leave it with `finish` where its end is the scenario."""

    sim: SimulatorProcess = field(kw_only=True)
    canaries: Canaries = field(kw_only=True)
    cores: bool = field(default=False, kw_only=True)  # allow core files of any size
    issuer: str = field(default="", kw_only=True)  # where people sign in
    token: str = field(init=False, default="")
    pid: str = field(init=False, default="")
    answers: set[str] = field(init=False, default_factory=set)  # error codes seen
    monitored: bytearray = field(init=False, default_factory=bytearray)
    watcher: socket.socket | None = field(init=False, default=None)
    ports: set[int] = field(init=False, default_factory=set)  # where clients connect to
    tracers: list[int] = field(init=False, default_factory=list)

    @property
    def stdout(self) -> Path:
        return self.folder / "stdout"

    @property
    def traces(self) -> Path:
        return self.folder / "strace"

    @property
    def tracer(self) -> list[str]:
        """What goes before a command so that what it does is searched, too."""
        assert STRACE is not None
        options = ["-ff", "-yy", "-q", "-s", str(LONGEST), "-e", f"trace={TRACED}", "-e", "signal=none"]
        return [STRACE, *options, "-o", str(self.traces / "trace")]

    def again(self) -> None:
        """Start once more, on what an earlier run left."""
        self._starts = self.log.read_text().count('"event":"started"')
        self._run()
        self.watch()

    def start(self) -> None:
        self._run()
        self.watch()
        user = self.canaries.plant("identity: user", "account name")
        session = self.session(user, 1_000_000)
        self.token, self.pid = session["access_token"], session["pid"]
        self.canaries.adopt(self.token, "identity: access token", "account name")

    def _run(self) -> None:
        self.traces.mkdir(exist_ok=True)
        limit = resource.RLIM_INFINITY if self.cores else 0

        def limits() -> None:
            hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
            resource.setrlimit(resource.RLIMIT_CORE, (limit if self.cores else 0, hard))

        with self.log.open("ab") as log, self.stdout.open("ab") as out:
            self.process = processes.start(
                [
                    *self.tracer,
                    "-D",
                    *self.command,
                ],
                stdout=out,
                stderr=log,
                env={**variables.for_child(), **self.environment},
                cwd=self.folder,
                preexec_fn=limits,
            )
        started = self._started()
        self.url = f"http://127.0.0.1:{started['port']}"
        self.ports.add(started["port"])
        self.internal = f"http://127.0.0.1:{started['internal_port']}"
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        self.tracers.append(int(status.split("TracerPid:")[1].split()[0]))
        assert self.tracers[-1], "the gateway is not traced"

    # -- the store

    @property
    def store_folder(self) -> Path:
        return self.folder / "data" / "store"

    @property
    def store_socket(self) -> str:
        recorded = self.store_folder / "socket"
        return recorded.read_text() if recorded.exists() else str(self.store_folder / "store.sock")

    def store(self) -> Redis:
        return Redis(unix_socket_path=self.store_socket)

    def watch(self) -> None:
        with self.store() as store:
            for name, value in (
                ("slowlog-log-slower-than", "0"),
                ("slowlog-max-len", "100000"),
                ("rdbcompression", "no"),
            ):
                store.config_set(name, value)
        self.watcher = socket.socket(socket.AF_UNIX)
        self.watcher.connect(self.store_socket)
        self.watcher.sendall(b"MONITOR\r\n")

        def collect(sock: socket.socket) -> None:
            with contextlib.suppress(OSError):
                while data := sock.recv(1 << 20):
                    self.monitored += data

        threading.Thread(target=collect, args=(self.watcher,), daemon=True).start()

    def store_process(self) -> int:
        """The process of the embedded store, found by its program."""
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                program = (folder / "cmdline").read_bytes().split(b"\0")[0]
                if b"valkey-server" in program and (folder / "cwd").resolve() == self.store_folder.resolve():
                    return int(folder.name)
        raise AssertionError("no store runs")

    def records(self) -> list[UsageRecord]:
        """The account's usage records as its store has them, one a request that is settled."""

        async def read(store: Store) -> list[UsageRecord]:
            return [record async for record in read_usage(store, pid=self.pid)]

        return self.on_store(read)

    # -- requests

    @property
    def auth(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token}"}

    def client(self) -> RawClient:
        return RawClient(self.url)

    def credits(self) -> dict[str, int]:
        """What the ledger says of the account."""
        return dict(ask(self.url, request("GET", "/v1/account", headers=self.auth)).json()["credits"])

    def ask(self, data: bytes, *, internal: bool = False) -> Answer | None:
        """One request; ``None`` where the connection ended without an answer. ``internal``: to that listener."""
        try:
            answer = ask(self.internal if internal else self.url, data)
        except (EOFError, ConnectionError):
            return None
        self.see(answer)
        return answer

    def see(self, answer: Answer) -> None:
        if answer.code:
            self.answers.add(answer.code)

    def internal_pages(self) -> Iterator[tuple[str, bytes]]:
        for page in ("/metrics", "/livez", "/readyz", "/version"):
            with contextlib.suppress(OSError, EOFError):
                yield page, ask(self.internal, request("GET", page)).body
        with contextlib.suppress(OSError, EOFError), RawClient(self.internal) as client:
            client.send(request("GET", "/console/events")).head()
            yield "/console/events", client.chunk() or b""

    # -- the end

    def processes(self) -> list[int]:
        """The gateway's own processes, the oldest first; the store's is not among them."""
        found, rest = [], [self.process.pid]
        while rest:
            pid = rest.pop(0)
            with contextlib.suppress(OSError):
                command = Path(f"/proc/{pid}/cmdline").read_bytes()
                if command and b"valkey-server" not in command:  # one that ended has no command, and no memory either
                    found.append(pid)
                for task in Path(f"/proc/{pid}/task").glob("*/children"):
                    rest += [int(child) for child in task.read_text().split()]
        return found

    def finish(self) -> None:
        """End what still runs, the store too, and wait until strace has written all it saw."""
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(PATIENCE)
        with contextlib.suppress(Exception), self.store() as store:
            store.shutdown(save=False)
        if self.watcher is not None:
            self.watcher.close()
        deadline = time.monotonic() + PATIENCE
        while any(map(_lives, self.tracers)):
            assert time.monotonic() < deadline, "strace goes on: a process was left"
            time.sleep(0.01)

    def __exit__(self, *_: object) -> None:
        self.finish()


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
