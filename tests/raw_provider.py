"""A provider that answers the very bytes that a test says, on a socket of its own."""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Request:
    """What arrived: ``path`` without the query."""

    path: str
    head: bytes
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


# The bytes of the answer, or a function of the request and its socket that says them, or sends by itself and says None.
Script = bytes | Callable[[Request, socket.socket], bytes | None]


class RawProvider:
    """Use as a context manager; set ``script`` before each request. Every answered connection stays open for the next."""

    def __init__(self) -> None:
        provider = self
        self.script: Script = b""
        self.seen: list[Request] = []

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    while (request := _read(self.rfile)) is not None:
                        provider.seen.append(request)
                        script = provider.script
                        data = script(request, self.connection) if callable(script) else script
                        if data is None:
                            return
                        self.connection.sendall(data)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True
            request_queue_size = 64

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _read(file: Any) -> Request | None:
    line = file.readline()
    if not line:
        return None
    lines, length = [line], 0
    while (line := file.readline()) not in {b"\r\n", b""}:
        lines.append(line)
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    path = lines[0].split(b" ")[1].decode("latin-1").partition("?")[0]
    return Request(path, b"".join(lines), file.read(length))


def body(data: bytes | Any, *, status: str = "200 OK", kind: str | None = "application/json", **headers: str) -> bytes:
    """An answer with a length; what is no bytes is sent as JSON."""
    data = data if isinstance(data, bytes) else json.dumps(data).encode()
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(data)}", *([f"content-type: {kind}"] if kind else ())]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + data


def stream(events: Iterable[bytes], *, end: bool = True, kind: str | None = "text/event-stream") -> bytes:
    """A chunked answer, each event a chunk; without ``end`` its last chunk is missing."""
    label = f"content-type: {kind}\r\n".encode() if kind else b""
    pieces = b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in events if event)
    head = b"HTTP/1.1 200 OK\r\n" + label + b"transfer-encoding: chunked\r\n\r\n"
    return head + pieces + (b"0\r\n\r\n" if end else b"")


def cut(data: bytes) -> Script:
    """Send ``data``, then end the connection."""

    def script(_request: Request, sock: socket.socket) -> None:
        sock.sendall(data)
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)

    return script


def data_event(value: Any, name: str = "") -> bytes:
    """One server-sent event."""
    head = f"event: {name}\n".encode() if name else b""
    return head + b"data: " + (value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n\n"
