"""The programs that are compared, each behind the same small interface.

A contender is started once with the addresses of a plain and a TLS simulator, serves until it is
stopped, and says which URL, token and model lead to which of the two. All listen on loopback.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks import processes
from benchmarks.compare import accounting
from benchmarks.compare.versions import version_of
from benchmarks.ports import free_port

_READY_S = 60.0


@dataclass(frozen=True, slots=True)
class Upstreams:
    """The two simulators; ``ca_file`` is the authority of the second."""

    plain: str
    tls: str
    ca_file: Path


@dataclass(frozen=True, slots=True)
class Route:
    """How the load generator reaches a simulator through a contender. Headers are ``Name: value``."""

    url: str
    token: str = "none"  # noqa: S105 - most contenders ask for none
    model: str = "bench"
    ca_file: str | None = None
    headers: tuple[str, ...] = ()


class Unavailable(Exception):
    """The contender cannot take part here; the text says why."""


class Contender:
    """Direct traffic, and the ground on which the others stand."""

    name = "direct"
    recovery_seconds = 10.0  # after a start, until its records have what can be found again

    def __init__(self, folder: Path, upstreams: Upstreams) -> None:
        self.folder = folder / self.name
        self.upstreams = upstreams
        self.process: subprocess.Popen[bytes] | None = None
        self.routes: dict[bool, Route] = {}
        self.command_line: tuple[str, ...] = ()

    def prepare(self) -> None:
        """Make what must exist before the start, whose time may be measured. Raises `Unavailable`."""

    def start(self) -> None:
        """Start and wait until it answers. Raises `Unavailable`."""
        self.routes = {
            False: Route(self.upstreams.plain),
            True: Route(self.upstreams.tls, ca_file=str(self.upstreams.ca_file)),
        }

    @property
    def roots(self) -> list[int]:
        """The processes whose trees are accounted."""
        return [self.process.pid] if self.process else []

    def stop(self) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def kill(self) -> None:
        """End every process of the contender with SIGKILL, a store that it started too. `start` starts it again."""
        process, self.process = self.process, None
        if process is None:
            return
        pids = accounting.tree(process.pid)
        for number in (signal.SIGSTOP, signal.SIGKILL):  # stopped first: none lives to see another one's end
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
        process.wait()
        deadline = time.monotonic() + _READY_S
        while any(map(accounting.alive, pids)) and time.monotonic() < deadline:  # its ports and files are free then
            time.sleep(0.005)

    def identity(self, headers: Mapping[str, str], input_tokens: int) -> str:  # noqa: ARG002 - some are named in a header
        """How the contender's records name a request with this answer; the load sends no two with equal tokens."""
        return str(input_tokens)

    def kept(self) -> Mapping[str, bool] | None:
        """The requests in the contender's own records, and whether each has the provider's counts, not estimates.

        ``None``: it keeps no records.
        """
        return None

    def version(self) -> str:
        """Which version it is, as far as it says so."""
        return ""

    def spawn(
        self, command: list[str], environment: Mapping[str, str] | None = None, *, cwd: Path | None = None
    ) -> None:
        """Start the contender's process, its output in a file of its folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.command_line = tuple(command)
        with (self.folder / "output.log").open("wb") as output:
            self.process = processes.start(
                command,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                env=dict(environment or os.environ),
                cwd=cwd,
            )

    def wait_for(self, *ports: int) -> None:
        """Return once every port accepts connections. Raises `Unavailable` with the end of the output."""
        deadline = time.monotonic() + _READY_S
        for port in ports:
            while not accepts(port):
                ended = self.process is None or self.process.poll() is not None
                if ended or time.monotonic() > deadline:
                    tail = (self.folder / "output.log").read_text(errors="replace")[-800:]
                    raise Unavailable(f"did not start: {tail}")
                time.sleep(0.02)


def answered(route: Route, seconds: float) -> float:
    """Ask until an answer comes; returns when that was (monotonic). Raises `Unavailable`."""
    body = json.dumps({"model": route.model, "messages": [{"role": "user", "content": "hello"}]}).encode()
    headers = {"Authorization": f"Bearer {route.token.partition(',')[0]}", "Content-Type": "application/json"}
    headers |= dict(line.split(": ", 1) for line in route.headers)
    deadline = time.monotonic() + seconds
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    problem = "nothing listens"
    while time.monotonic() < deadline:
        request = urllib.request.Request(f"{route.url}/v1/chat/completions", body, headers)  # noqa: S310 - on loopback
        try:
            with opener.open(request, timeout=10) as answer:
                answer.read()
                return time.monotonic()
        except urllib.error.HTTPError as error:
            problem = f"{error.code}: {error.read()[:300]!r}"
        except OSError as error:
            problem = str(error)
        time.sleep(0.005)
    raise Unavailable(f"no answer: {problem}")


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


_NGINX = """
daemon off;
worker_processes {workers};
worker_rlimit_nofile {files};
pid {folder}/nginx.pid;
error_log {folder}/error.log crit;
events {{ worker_connections {connections}; use epoll; multi_accept on; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  client_max_body_size 0; keepalive_requests 1000000; keepalive_timeout 300s;
  proxy_http_version 1.1; proxy_buffering off; proxy_request_buffering off; proxy_read_timeout 600s;
  proxy_set_header Connection "";
  upstream plain {{ server {plain}; keepalive 8192; keepalive_requests 1000000; }}
  upstream secure {{ server {secure}; keepalive 8192; keepalive_requests 1000000; }}
  server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ proxy_pass http://plain; }} }}
  server {{
    listen 127.0.0.1:{tls_port} backlog=4096;
    proxy_ssl_trusted_certificate {ca_file}; proxy_ssl_verify on; proxy_ssl_name localhost;
    proxy_ssl_server_name on; proxy_ssl_protocols TLSv1.2 TLSv1.3; proxy_ssl_session_reuse on;
    location / {{ proxy_pass https://secure; }}
  }}
}}
"""


class Nginx(Contender):
    """nginx with buffering off and keep-alive upstream: what a plain proxy costs."""

    name = "nginx"

    @staticmethod
    def binary() -> str:
        found = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
        if found is None:
            raise Unavailable("nginx is not installed: make tools installs it")
        return found

    def version(self) -> str:
        done = subprocess.run([self.binary(), "-v"], capture_output=True, text=True, check=False)
        return done.stderr.partition("nginx/")[2].strip()

    def start(self) -> None:
        ports = (free_port(), free_port())
        self.folder.mkdir(parents=True, exist_ok=True)
        files = os.sysconf("SC_OPEN_MAX")
        text = _NGINX.format(
            workers=1,
            files=files,
            connections=min(16_384, files - 64),
            folder=self.folder,
            plain=self.upstreams.plain.partition("://")[2],
            secure=self.upstreams.tls.partition("://")[2],
            port=ports[0],
            tls_port=ports[1],
            ca_file=self.upstreams.ca_file,
        )
        (self.folder / "nginx.conf").write_text(text)
        self.spawn([self.binary(), "-p", str(self.folder), "-c", str(self.folder / "nginx.conf")])
        self.wait_for(*ports)
        self.routes = {tls: Route(f"http://127.0.0.1:{port}") for tls, port in zip((False, True), ports, strict=True)}


class PlainAiohttp(Contender):
    """Two processes of `plain_proxy`, one per upstream; only one is busy at a time."""

    name = "aiohttp"
    second: subprocess.Popen[bytes] | None = None

    @property
    def roots(self) -> list[int]:
        return [process.pid for process in (self.process, self.second) if process]

    def stop(self) -> None:
        super().stop()
        self.process, self.second = self.second, None
        super().stop()

    def start(self) -> None:
        ports = (free_port(), free_port())
        module = [sys.executable, "-m", "benchmarks.compare.plain_proxy"]
        first = [*module, str(ports[0]), self.upstreams.plain]
        second = [*module, str(ports[1]), self.upstreams.tls, str(self.upstreams.ca_file)]
        self.spawn(first)
        nothing = subprocess.DEVNULL
        self.second = processes.start(second, stdin=nothing, stdout=nothing, stderr=nothing)
        self.wait_for(*ports)
        self.routes = {tls: Route(f"http://127.0.0.1:{port}") for tls, port in zip((False, True), ports, strict=True)}


class LiteLLM(Contender):
    """LiteLLM's proxy with one worker, where its command is installed (``LITELLM`` names another path)."""

    name = "litellm"

    @staticmethod
    def binary() -> str:
        found = os.environ.get("LITELLM") or shutil.which("litellm")
        if found is None:
            raise Unavailable("litellm is not installed")
        if shutil.which(found) is None:
            raise Unavailable(f"LITELLM names {found}, which cannot be started")
        return found

    def version(self) -> str:
        return version_of(Path(self.binary()))

    def start(self) -> None:
        binary = self.binary()
        port = free_port()
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "config.yaml"
        config.write_text(
            "model_list:\n  - model_name: bench\n    litellm_params:\n      model: openai/bench\n"
            f"      api_base: {self.upstreams.plain}/v1\n      api_key: none\n"
        )
        key = f"sk-{secrets.token_hex(24)}"  # it refuses to serve without one
        environment = os.environ | {
            "LITELLM_MASTER_KEY": key,
            "LITELLM_LOG": "ERROR",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "NO_PROXY": "127.0.0.1",
        }
        command = [binary, "--config", str(config), "--port", str(port), "--host", "127.0.0.1", "--num_workers", "1"]
        self.spawn(command, environment)
        self.wait_for(port)
        self.routes = {False: Route(f"http://127.0.0.1:{port}", key)}
