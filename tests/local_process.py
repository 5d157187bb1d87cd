"""The local broker as its users have it, a process, and engines that answer as a test tells them to.

``BrokerProcess`` starts ``codegrex-gateway local`` without credentials in its environment;
``ScriptedEngine`` is a server in a thread: a table from method and path to what it sends.
"""

from __future__ import annotations

import json
import os
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks import processes
from tests.raw_http import PATIENCE, Answer, RawClient, ask, request

COMMAND = [sys.executable, "-m", "gateway", "local"]


def clean_environment(**more: str) -> dict[str, str]:
    """This process's environment without what the broker refuses to start with."""
    kept = {name: value for name, value in os.environ.items() if "API_KEY" not in name and "TOKEN" not in name}
    return {**kept, **more}


def _broker_of(pid: int) -> int:
    """The broker itself, which may be behind a tracer: the log names no process."""
    folder = Path(f"/proc/{pid}")
    if b"python" in (folder / "exe").readlink().name.encode():
        return pid
    [child] = (folder / f"task/{pid}/children").read_text().split()
    return _broker_of(int(child))


class BrokerProcess:
    """Use as a context manager; ``prefix`` goes before the command (a tracer)."""

    def __init__(
        self,
        *options: str,
        prefix: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self._command = [*prefix, *COMMAND, "--port", "0", *options]
        self._environment = clean_environment(**(environment or {}))
        self._cwd = cwd
        self.port = 0
        self.pid = 0
        self.lines: list[dict[str, Any]] = []
        self.screen = ""  # what it printed for a person, once it has ended

    def __enter__(self) -> Self:
        self.process = processes.start(
            self._command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, env=self._environment, cwd=self._cwd
        )
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        started = json.loads(line) if line.startswith(b"{") else {}
        if started.get("event") != "started":
            self.process.kill()
            raise AssertionError(line + self.process.communicate()[1])
        self.port, self.pid = started["port"], _broker_of(self.process.pid)
        self.lines.append(started)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop with SIGTERM and read what it said."""
        if self.process.returncode is None:
            os.kill(self.pid, 15)
            output, errors = self.process.communicate(timeout=PATIENCE)
            self.screen = output.decode()
            self.lines += [json.loads(line) for line in errors.splitlines() if line.startswith(b"{")]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        host: str | None = None,
    ) -> Answer:
        """One request; the body is JSON unless it is bytes."""
        return ask(self.url, self.bytes_of(method, path, body, headers=headers, host=host))

    def bytes_of(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        host: str | None = None,
    ) -> bytes:
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        made = request(method, path, data, headers=headers or {})
        return made.replace(b"host: gateway.test", f"host: {host or f'127.0.0.1:{self.port}'}".encode(), 1)

    def client(self, **options: Any) -> RawClient:
        return RawClient(self.url, **options)


def refused_start(*options: str, environment: Mapping[str, str] | None = None) -> list[str]:
    """The faults of a broker that must not start."""
    done = subprocess.run(
        [*COMMAND, "--port", "0", *options],
        env=clean_environment(**(environment or {})),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 1, (done.returncode, done.stderr)
    lines = done.stderr.splitlines()
    assert all(line.startswith("error: ") for line in lines), done.stderr
    return lines


Reply = bytes | Callable[[socket.socket, bytes], None]


def reply(status: int, body: Any = b"", *, headers: Mapping[str, str] | None = None) -> bytes:
    """A whole answer; the body is JSON unless it is bytes."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [
        f"HTTP/1.1 {status} X",
        "content-type: application/json",
        f"content-length: {len(data)}",
        *(f"{name}: {value}" for name, value in (headers or {}).items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + data


class ScriptedEngine:
    """A server on a loopback address (or a Unix socket) with a table of answers; what is not in it is 404."""

    def __init__(
        self, table: Mapping[str, Reply], host: str = "127.0.0.1", *, path: Path | None = None, port: int = 0
    ) -> None:
        self.table = dict(table)
        self.seen: list[tuple[str, dict[str, str], bytes]] = []  # "METHOD path", headers, body
        self.closed = threading.Event()  # a connection that was being answered was ended by its peer
        engine = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                engine._serve(self.request)

        class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
            daemon_threads = True
            allow_reuse_address = True
            request_queue_size = 64
            address_family = socket.AF_UNIX if path else socket.AF_INET6 if ":" in host else socket.AF_INET

        self._server = Server(str(path) if path else (host, port), Handler)  # type: ignore[arg-type]
        self.port = 0 if path else self._server.server_address[1]
        bracketed = f"[{host}]" if ":" in host else host
        self.address = f"unix:{path}" if path else f"{bracketed}:{self.port}"

    def _serve(self, sock: socket.socket) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            piece = sock.recv(65_536)
            if not piece:
                return
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        while len(body) < int(headers.get("content-length", "0")):
            body += sock.recv(65_536)
        name = first.rsplit(" ", 1)[0]
        self.seen.append((name, headers, body))
        answer = self.table.get(name, reply(404, {"error": "not found"}))
        if isinstance(answer, bytes):
            sock.sendall(answer)
        else:
            answer(sock, body)

    def await_close(self, sock: socket.socket) -> None:
        """Wait until the peer drops the connection."""
        sock.settimeout(PATIENCE)
        try:
            while sock.recv(65_536):
                pass
        except ConnectionError:
            pass
        self.closed.set()

    def asked(self, name: str) -> list[bytes]:
        return [body for found, _, body in self.seen if found == name]

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def models(*names: str, owner: str = "me") -> bytes:
    return reply(
        200, {"object": "list", "data": [{"id": name, "object": "model", "owned_by": owner} for name in names]}
    )


def chunks(*pieces: bytes, end: bool = True, kind: str = "text/event-stream") -> bytes:
    """A chunked answer of 200."""
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n".encode()
    return head + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + (b"0\r\n\r\n" if end else b"")


def chat_chunk(text: str | None = None, finish: str | None = None) -> bytes:
    delta = {} if text is None else {"content": text}
    return (
        b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}).encode() + b"\n\n"
    )


WHOLE_CHAT = reply(
    200,
    {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "small",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "said here"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    },
)
STREAMED_CHAT = chunks(chat_chunk("said "), chat_chunk("here"), chat_chunk(finish="stop"), b"data: [DONE]\n\n")


def chat_engine(*names: str) -> dict[str, Reply]:
    """The table of an engine that knows chat alone."""

    def chat(sock: socket.socket, body: bytes) -> None:
        sock.sendall(STREAMED_CHAT if json.loads(body).get("stream") else WHOLE_CHAT)

    return {"GET /v1/models": models(*(names or ("small",))), "POST /v1/chat/completions": chat}


def ollama(shown: Mapping[str, Any] | None = None, *tags: Mapping[str, Any]) -> dict[str, Reply]:
    """The table of an Ollama; ``shown`` is what it says of every model."""
    return {
        **chat_engine(),
        "GET /api/version": reply(200, {"version": "0.40.12"}),
        "GET /api/tags": reply(200, {"models": list(tags)}),
        "POST /api/show": reply(200, {"details": {"family": "llama"}, **(shown or {})}),
    }
