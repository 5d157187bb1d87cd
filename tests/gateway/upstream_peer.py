"""A provider's side of one connection, by hand: the test decides every byte and when it goes."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from gateway.upstream.connection import Connection, Headers
from gateway.upstream.faults import Fault

PATIENCE = 60.0
REQUEST = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"


@dataclass
class Recorder:
    """A sink that remembers what it heard, and checks that nothing follows the end."""

    status: int = 0
    headers: Headers = field(default_factory=list)
    data: bytes = b""
    pieces: int = 0
    fault: Fault | None = None
    ended: bool = False
    heads: int = 0
    over: asyncio.Event = field(default_factory=asyncio.Event)
    some: asyncio.Event = field(default_factory=asyncio.Event)

    def on_head(self, status: int, headers: Headers) -> None:
        assert not self.over.is_set()
        self.heads += 1
        self.status, self.headers = status, headers

    def on_data(self, data: bytes) -> None:
        assert not self.over.is_set()
        assert type(data) is bytes
        self.data += data
        self.pieces += 1
        self.some.set()

    def on_end(self) -> None:
        assert not self.over.is_set()
        self.ended = True
        self.over.set()

    def on_fault(self, fault: Fault) -> None:
        assert not self.over.is_set()
        self.fault = fault
        self.over.set()

    async def wait(self) -> Recorder:
        async with asyncio.timeout(PATIENCE):
            await self.over.wait()
        return self

    async def wait_for_data(self) -> None:
        async with asyncio.timeout(PATIENCE):
            await self.some.wait()


@dataclass
class Peer:
    """The accepted connections, oldest first."""

    port: int
    accepted: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=asyncio.Queue)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def next(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        async with asyncio.timeout(PATIENCE):
            return await self.accepted.get()


@asynccontextmanager
async def serve(tls: ssl.SSLContext | None = None) -> AsyncIterator[Peer]:
    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer.writers.append(writer)
        peer.accepted.put_nowait((reader, writer))

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    peer = Peer(server.sockets[0].getsockname()[1])
    try:
        yield peer
    finally:
        server.close()
        for writer in peer.writers:
            writer.transport.abort()


async def until(condition: object) -> None:
    """Give the loop turns until ``condition()`` holds."""
    assert callable(condition)
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0)


async def exchange(connection: Connection, writer: asyncio.StreamWriter, answer: bytes) -> Recorder:
    """One request and the bytes that answer it."""
    sink = Recorder()
    connection.send([REQUEST], sink)
    writer.write(answer)
    return await sink.wait()
