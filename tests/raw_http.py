"""A client that speaks HTTP/1.1 by hand over a blocking socket, so that tests see the very bytes."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlsplit

PATIENCE = 60.0  # a bound for what goes wrong, on a machine that is busy with other things; nothing waits for it


def request(
    method: str,
    path: str,
    body: bytes | None = None,
    *,
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    version: str = "1.1",
) -> bytes:
    """One request's bytes; ``content-length`` is added where there is a body."""
    pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
    lines = [f"{method} {path} HTTP/{version}", "host: gateway.test", *(f"{name}: {value}" for name, value in pairs)]
    if body is not None and not any(name.lower() in {"content-length", "transfer-encoding"} for name, _ in pairs):
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


@dataclass
class Answer:
    """``complete`` is whether the body ended as its framing says it must."""

    status: int
    version: str
    headers: dict[str, str]
    body: bytes = b""
    complete: bool = False
    chunks: list[bytes] = field(default_factory=list)

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def rid(self) -> str:
        return self.headers["x-request-id"]

    @property
    def code(self) -> str:
        return self.headers.get("x-error-code", "")


class RawClient:
    """One connection."""

    def __init__(self, url: str, *, receive_buffer: int | None = None) -> None:
        parts = urlsplit(url)
        self.sock = socket.socket()
        if receive_buffer is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(PATIENCE)
        self.sock.connect((parts.hostname, parts.port))
        self.file = self.sock.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.file.close()
        self.sock.close()

    def send(self, data: bytes) -> Self:
        self.sock.sendall(data)
        return self

    def head(self) -> Answer:
        """The status line and the headers of the next answer."""
        line = self.file.readline()
        if not line:
            raise EOFError
        version, status, *_ = line.decode("latin-1").split(" ", 2)
        headers: dict[str, str] = {}
        while (line := self.file.readline()) not in {b"\r\n", b""}:
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        return Answer(int(status), version.removeprefix("HTTP/"), headers)

    def chunk(self) -> bytes | None:
        """One chunk, empty for the last one; ``None`` where the connection ended instead."""
        try:
            line = self.file.readline()
            if not line.endswith(b"\r\n"):
                return None
            size = int(line, 16)
            data = self.file.read(size + 2)
        except ConnectionError:
            return None
        if len(data) != size + 2:
            return None
        assert data.endswith(b"\r\n")
        return data[:-2]

    def answer(self, *, of_head: bool = False) -> Answer:
        """One whole answer; a reset or an early end leaves ``complete`` false."""
        answer = self.head()
        if of_head or answer.status in {204, 304} or 100 <= answer.status < 200:
            answer.complete = True
            return answer
        try:
            if answer.headers.get("transfer-encoding") == "chunked":
                while (chunk := self.chunk()) is not None:
                    if not chunk:
                        answer.complete = True
                        break
                    answer.chunks.append(chunk)
                answer.body = b"".join(answer.chunks)
            elif (length := answer.headers.get("content-length")) is not None:
                answer.body = self.file.read(int(length))
                answer.complete = len(answer.body) == int(length)
            else:
                for piece in iter(lambda: self.file.read1(65_536), b""):
                    answer.body += piece
                answer.complete = True
        except ConnectionError:
            answer.body = answer.body or b"".join(answer.chunks)
            answer.complete = False
        return answer

    def ended(self) -> bytes:
        """What still comes until the peer ends the connection. A reset raises `ConnectionResetError`."""
        return self.file.read()


def ask(url: str, data: bytes) -> Answer:
    """One request on a connection of its own."""
    with RawClient(url) as client:
        return client.send(data).answer()
