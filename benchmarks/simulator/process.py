"""The simulator as a process of its own, for tests and benchmarks that measure somebody else."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import time
import urllib.request
from typing import Any, Self

from benchmarks.simulator.tls import Certificates

_START_S = 60.0


class SimulatorProcess:
    """``with SimulatorProcess() as sim``: a simulator on a free port until the block ends.

    The process ends by itself when this one dies. ``options`` are command-line options without
    their dashes (``chunks=50``, ``pace=10``, ``fault="429"``).
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: Certificates | None = None,
        record: bool = False,
        key: str | None = None,
        **options: Any,
    ) -> None:
        command = [sys.executable, "-m", "benchmarks.simulator", "--host", host, "--port", str(port), "--until-eof"]
        if tls:
            command += ["--tls-cert", str(tls.cert_file), "--tls-key", str(tls.key_file)]
        if record:
            command.append("--record")
        if key:
            command += ["--key", key]
        for name, value in options.items():
            command += [f"--{name.replace('_', '-')}", str(value)]
        self._command = command
        self._context: ssl.SSLContext | None = tls.client_context() if tls else None
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""
        self.port = 0
        self.pid = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start and wait for the ready line. Raises RuntimeError when it does not come."""
        process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=dict(os.environ))
        self._process = process
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError("the simulator did not start")
        ready = json.loads(line)
        self.url, self.port, self.pid = ready["url"], ready["port"], ready["pid"]

    def stop(self) -> None:
        """Terminate and wait; kill after five seconds."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()

    def stats(self) -> dict[str, int]:
        answer: dict[str, int] = self._call("stats")
        return answer

    def bills(self) -> list[dict[str, Any]]:
        answer: list[dict[str, Any]] = self._call("bills")
        return answer

    def requests(self) -> list[dict[str, Any]]:
        """Recorded requests: method, target, headers as pairs, body. Only with ``record``."""
        answer: list[dict[str, Any]] = self._call("requests")
        return answer

    def reset(self) -> None:
        self._call("reset", {})

    def set_defaults(self, **changes: Any) -> None:
        """As `Simulator.set_defaults`."""
        self._call("defaults", changes)

    def wait(self, seconds: float = 60.0, **least: int) -> dict[str, int]:
        """Poll the totals until each named one is at least the given number (``active`` and
        ``connections_open``: at most). Raises TimeoutError with the last totals."""
        deadline = time.monotonic() + seconds
        while True:
            stats = self.stats()
            if all(
                stats[name] <= number if name in {"active", "connections_open"} else stats[name] >= number
                for name, number in least.items()
            ):
                return stats
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited for {least}, last seen {stats}")
            time.sleep(0.01)

    def _call(self, action: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/__sim__/{action}", data=data)  # noqa: S310 - our own loopback URL
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=self._context)
        )
        with opener.open(request, timeout=_START_S) as answer:
            return json.load(answer)
