"""The acceptor on real sockets: who is turned away, and a client that reads nothing."""

import asyncio
import contextlib
import errno
import json
import socket

import pytest
from aiohttp import web

from gateway.http import accepting, connections
from gateway.http.accepting import Acceptor
from gateway.http.connections import Connections, Ended
from gateway.http.server import Server
from gateway.telemetry.log import Log
from tests.gateway.upstream_peer import PATIENCE

GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


class Listening(socket.socket):
    """Fails as often as it is told to, as if no descriptor was left."""

    full = 0

    def accept(self):
        if self.full:
            self.full -= 1
            raise OSError(errno.EMFILE, "full")
        return super().accept()


@pytest.fixture
async def accepted(tmp_path, monkeypatch):
    monkeypatch.setattr(accepting, "SWEEP_SECONDS", 0.02)

    async def handle(_request):
        return web.Response(body=b"x" * 1_000_000)

    loop = asyncio.get_running_loop()
    log, ended = Log("debug", tmp_path / "log"), []
    server = Server(handle, lambda *_: web.Response(status=400), log, loop)
    sock = Listening()
    sock.bind(("127.0.0.1", 0))
    sock.listen(100)
    sock.setblocking(False)
    table = Connections(4, 4, 60.0, clock=loop.time, on_ended=ended.append)
    acceptor = Acceptor([sock], server, table, log)
    yield sock, table, ended, tmp_path / "log"
    acceptor.stop()
    await server.shutdown(0.1)


async def until(good):
    async with asyncio.timeout(PATIENCE):
        while not good():
            await asyncio.sleep(0.005)


async def test_a_client_that_reads_nothing_is_not_waited_for(accepted, monkeypatch):
    sock, table, ended, _ = accepted
    monkeypatch.setattr(connections, "UNREAD_SECONDS", 0.1)
    reader, writer = await asyncio.open_connection(*sock.getsockname(), limit=1_000)
    writer.write(GET * 20)
    await until(lambda: ended == [Ended.UNREAD])
    assert len(table) == 0
    with contextlib.suppress(ConnectionResetError):
        assert len(await reader.read()) < 20_000_000
    writer.close()


async def test_without_a_descriptor_clients_are_turned_away_and_it_is_logged(accepted):
    sock, table, ended, log = accepted
    sock.full = 1
    reader, writer = await asyncio.open_connection(*sock.getsockname())
    assert await reader.read() == b""
    assert ended == [Ended.REFUSED]
    writer.close()
    reader, writer = await asyncio.open_connection(*sock.getsockname())
    writer.write(GET)
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    writer.close()
    await until(log.read_text)
    assert json.loads(log.read_text()).items() >= {"event": "connections_full", "count": 1}.items()
    await until(lambda: len(table) == 0)


async def test_a_connection_that_is_displaced_while_it_opens(accepted):
    sock, table, ended, _ = accepted
    clients = [await asyncio.open_connection(*sock.getsockname()) for _ in range(12)]
    await until(lambda: ended == [Ended.DISPLACED] * 8)
    assert len(table) == 4
    for reader, _ in clients[:8]:
        try:
            assert await reader.read() == b""
        except ConnectionResetError:
            continue
    for _, writer in clients:
        writer.close()
    await until(lambda: len(table) == 0)
