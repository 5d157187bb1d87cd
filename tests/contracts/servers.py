"""Store servers as real processes, for what the embedded one alone can't show: passwords, TLS, failover, Cluster.

Each listens on a free port of loopback, keeps its files in a folder of its own, and is ended by whoever started it.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import redis
from redis.exceptions import RedisError

from benchmarks import processes
from benchmarks.ports import free_port
from metering.store.embedded import server_binary

PATIENCE = 60.0


def until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """Wait until ``condition`` gives something true, and give that."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError, RedisError):
            if found := condition():
                return found
        assert time.monotonic() < deadline, f"waited {seconds} s in vain for {what}"
        time.sleep(0.01)


class Server:
    """One server process. ``options`` are lines of its configuration file."""

    def __init__(self, folder: Path, *options: str, binary: str | None = None, arguments: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.options = options
        self.port = free_port()
        self.answers: Callable[[], Any] = lambda: self.client().ping()
        self._binary = binary or server_binary()
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True)
        self.start()

    def start(self) -> None:
        """Start, and wait until it answers."""
        lines = [f"port {self.port}", "bind 127.0.0.1", f"dir {self.folder}", "daemonize no"]
        if "--sentinel" not in self._arguments:
            lines.append('save ""')
        (self.folder / "server.conf").write_text("\n".join([*lines, *self.options]) + "\n")
        with (self.folder / "server.out").open("ab") as output:
            command = [self._binary, self.folder / "server.conf", *self._arguments]
            self._process = processes.start(command, stdout=output, stderr=output)
        until(lambda: self._process is None or self._ended() or self.answers(), "a store server")
        assert not self._ended(), (self.folder / "server.out").read_text()

    def client(self, db: int = 0) -> redis.Redis:
        return redis.Redis(host="127.0.0.1", port=self.port, db=db, socket_timeout=5)

    def info(self, section: str) -> dict[str, Any]:
        with self.client() as client:
            return client.info(section)

    def kill(self) -> None:
        """End it as a crash would, without a last write."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in order; it may be started again."""
        self._end(signal.SIGTERM)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Stop it in the midst: it keeps its connections and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def _ended(self) -> bool:
        """Whether it ended by itself."""
        return self._process is not None and self._process.poll() is not None

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.wait(PATIENCE)


def make_cluster(folder: Path, nodes: int = 3) -> list[Server]:
    """A Cluster of primaries, all slots covered. The caller stops each server."""
    servers: list[Server] = []
    try:
        for number in range(nodes):
            options = ("cluster-enabled yes", "cluster-config-file nodes.conf", "cluster-node-timeout 2000")
            servers.append(Server(folder / f"node{number}", *options))
        share = -(-16_384 // nodes)
        for number, server in enumerate(servers):
            with server.client() as client:
                first, last = number * share, min(16_384, (number + 1) * share) - 1
                client.execute_command("CLUSTER ADDSLOTSRANGE", first, last)
                client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
                if number:
                    client.execute_command("CLUSTER MEET", "127.0.0.1", servers[0].port)
        for server in servers:
            until(lambda server=server: _whole(server, nodes), "a Cluster that covers all slots")
    except BaseException:
        for server in servers:
            server.kill()
        raise
    return servers


def _whole(server: Server, nodes: int) -> bool:
    with server.client() as client:
        text = client.execute_command("CLUSTER INFO")
    fields = text if isinstance(text, dict) else dict(line.split(":") for line in text.decode().split())
    return fields["cluster_state"] == "ok" and int(fields["cluster_known_nodes"]) == nodes
