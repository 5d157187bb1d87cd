"""One layer as a server: ``python -m benchmarks.floor.server CONFIG LAYER``.

* ``splice``: bytes in, bytes out, no HTTP at all: one connection to the simulator for each of the client.
* ``answer``: aiohttp's server reads the request and answers a fixed body; nothing is behind it.
* ``forward``: that, and the request goes out over the gateway's connections; the answer comes back through its relay.
* ``ledger``: that, between a hold and its settlement in the embedded store; no limits, no spool, no checkpoint.
* ``search``: ``forward``, and each chunk is searched once for the name that every count has.
* ``split``: ``forward``, and the body's top level is read (what decides needs it).

Nothing is authenticated, decided, priced, counted or logged in any of them.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from itertools import cycle
from pathlib import Path
from typing import cast

import uvloop
from aiohttp import web

from gateway.accounts.opening import opened
from gateway.config import Config
from gateway.config.load import load
from gateway.http.request import body_budget, read_body
from gateway.http.server import Server
from gateway.http.slices import Slices
from gateway.inference.relay import Relay, Watch
from gateway.names import new_rid
from gateway.telemetry.log import Log
from gateway.upstream.connection import Headers
from gateway.upstream.destination import Destination
from gateway.upstream.pool import Pool, Timeouts
from metering.clock import now_ms
from metering.ledger.ledger import Ledger, Limits, Refused, Reservation
from metering.settlement.settler import Settler
from metering.usage import COUNTS, Report, UsageRecord
from providers.dialect import Family, Operation, Redact
from providers.document.members import read_members
from providers.headers import request_headers
from providers.steps import at_once
from providers.wires import WIRES

LAYERS = ("splice", "answer", "forward", "search", "split", "ledger")
ANSWER = b'{"id":"floor","choices":[{"message":{"role":"assistant","content":"' + b"x" * 420 + b'"}}]}'
_LARGEST = 64 << 20
_NO_LIMITS = Limits()


class Splice(asyncio.Protocol):
    """One client: what it sends goes to a socket of its own, and what that answers goes to it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, upstream: tuple[str, int]) -> None:
        self._loop = loop
        self._upstream = upstream

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._sock = socket.create_connection(self._upstream)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock.setblocking(False)
        self._rest = b""
        self._loop.add_reader(self._sock, self._readable)

    def data_received(self, data: bytes) -> None:
        if self._rest:
            self._rest += data
            return
        self._rest = data
        self._send()

    def _send(self) -> None:
        with suppress(BlockingIOError):
            self._rest = self._rest[self._sock.send(self._rest) :]
        if self._rest:
            self._transport.pause_reading()
            self._loop.add_writer(self._sock, self._writable)

    def _writable(self) -> None:
        self._loop.remove_writer(self._sock)
        self._transport.resume_reading()
        self._send()

    def _readable(self) -> None:
        data = self._sock.recv(262_144)
        if data:
            self._transport.write(data)
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        self._sock.close()


class Search:
    """The least of a `Scanner`: the search that finds the chunk with the counts, and nothing done with it."""

    size = events = 0
    sse = readable = begun = ended = True
    at_boundary = False
    error = None

    def glance(self, framed: bytes, size: int) -> bool:  # noqa: ARG002 - the protocol's signature
        return framed.endswith(b"\r\n") and framed.rfind(b'_tokens"') < 0

    def feed(self, data: bytes) -> bytes:
        if data.rfind(b'_tokens"') >= 0:
            self.events += 1
        return data

    def finish(self) -> bytes:
        return b""

    def redact_errors(self, redact: Redact) -> None:
        pass

    def report(self) -> Report:
        return Report()

    def estimated_output(self) -> int:
        return 0

    def at_output(self, tokens: int, call: Callable[[], None]) -> None:
        pass


class Layer:
    """The layers that speak HTTP."""

    def __init__(self, name: str, config: Config, loop: asyncio.AbstractEventLoop) -> None:
        self._name = name
        self._loop = loop
        self._bodies = body_budget(1 << 31)
        self._slices = Slices()
        self._pool = Pool(loop, Timeouts())
        self._destination = Destination(config.providers["plain"])
        self._ledger: Ledger | None = None
        self._settler: Settler
        self._pids = cycle([""])

    def meter(self, ledger: Ledger, pids: list[str]) -> None:
        """Hold and settle each request for one of these accounts."""
        self._ledger, self._pids = ledger, cycle(pids)
        self._settler = Settler(ledger)
        self._settler.start()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        with self._bodies.hold("") as share:
            body = await read_body(request, _LARGEST, share, 60.0, self._slices)
            if self._name == "answer":
                return web.Response(body=ANSWER, content_type="application/json")
            if self._name == "split":
                at_once(read_members(body))
            if self._ledger is None:
                return await self._forward(request, body)
            rid, pid = new_rid(), next(self._pids)
            held = await self._ledger.reserve(Reservation(rid, pid, 1_000, 100, 60_000, _NO_LIMITS))
            if isinstance(held, Refused):
                return web.Response(status=500)
            try:
                return await self._forward(request, body)
            finally:
                self._settler.submit(_record(rid, pid))

    async def _forward(self, request: web.BaseRequest, body: bytes) -> web.StreamResponse:
        connection = await self._pool.acquire(self._destination.origin)
        scanner = Search() if self._name == "search" else None
        relay = Relay(self._loop, connection, lambda _status, headers: Watch(scanner, flows=_is_sse(headers)))
        passed = request_headers(Family.OPENAI, request.raw_headers)
        shape = self._destination.shape(WIRES[Operation.OPENAI_CHAT], "", stream=True, query="", headers=passed)
        head = at_once(self._destination.head(shape, body, key=0))
        connection.send((head, body), relay)
        await relay.ready
        kind = next((value.decode() for name, value in relay.headers if name == b"content-type"), "")
        if relay.over and not relay.watch.flows:
            return web.Response(status=relay.status, body=relay.held(), headers={"Content-Type": kind})
        response = web.StreamResponse(status=relay.status, headers={"Content-Type": kind})
        await response.prepare(request)
        writer = request.writer
        writer.send_headers()
        assert request.transport is not None
        relay.open(request.transport, chunked=writer.chunked)  # type: ignore[attr-defined] # of aiohttp's own class
        try:
            await relay.ended
        finally:
            relay.close()
            if not relay.over:
                connection.close()
        return response


def _is_sse(headers: Headers) -> bool:
    return any(name == b"content-type" and value.startswith(b"text/event-stream") for name, value in headers)


def _record(rid: str, pid: str) -> UsageRecord:
    now = now_ms()
    return UsageRecord(
        rid=rid, rev=1, pid=pid, provider="plain", model="bench", variant="standard", started_ms=now, settled_ms=now,
        cost=100, charge=100, basis="reported", outcome="completed", price_version="1",
        **dict.fromkeys(COUNTS, 0),
    )  # fmt: skip


async def serve(config: Config, name: str) -> None:
    """Serve one layer until SIGTERM."""
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        if name == "splice":
            endpoint = config.providers["plain"].endpoint
            upstream = (endpoint.host, endpoint.port)
            server = await loop.create_server(
                lambda: Splice(loop, upstream), config.server.host, config.server.port, backlog=4096
            )
        else:
            layer = Layer(name, config, loop)
            if name == "ledger":
                at = await stack.enter_async_context(opened(config))
                pids = [await at.accounts.pid_of(f"bench-{number}") for number in range(40)]
                layer.meter(at.ledger, [pid for pid in pids if pid])
            listener = Server(layer.handle, lambda *_: web.Response(status=500), Log("error"), loop)
            server = await loop.create_server(listener, config.server.host, config.server.port, backlog=4096)
        gc.freeze()
        gc.set_threshold(50_000, 20, 50)  # as a worker's
        ended = asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, ended.set)
        await ended.wait()  # and then the embedded store is stopped, where there is one
        server.close()


if __name__ == "__main__":
    uvloop.run(serve(load(Path(sys.argv[1])), sys.argv[2]))
