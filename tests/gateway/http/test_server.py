"""The listener's own protocol: nothing that a client sent reaches a log or an error page."""

import asyncio
import logging

import pytest
from aiohttp import web

from gateway.http.server import Server
from tests.gateway.upstream_peer import PATIENCE


@pytest.fixture
async def listening():
    seen = []

    async def handle(request):
        if request.path == "/fail":
            raise ValueError(request.headers["x-secret"])
        return web.Response(body=b"fine")

    def on_broken(request, error, cause):
        seen.append((request.protocol.broken_target, error.status, type(cause)))
        return web.Response(status=error.status, body=error.code.encode())

    loop = asyncio.get_running_loop()
    server = Server(handle, on_broken, loop)
    listener = await loop.create_server(server, "127.0.0.1", 0)
    yield listener.sockets[0].getsockname(), seen
    listener.close()
    await server.shutdown(0.1)


async def say(address, data):
    reader, writer = await asyncio.open_connection(*address)
    writer.write(data)
    try:
        async with asyncio.timeout(PATIENCE):
            return await reader.read()
    finally:
        writer.close()


async def test_a_handler_that_raises_is_counted_by_type_and_closes(listening, caplog, capfd):
    address, seen = listening
    with caplog.at_level(logging.DEBUG):
        answer = await say(address, b"GET /fail HTTP/1.1\r\nhost: x\r\nx-secret: canary\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert seen == [("", 500, ValueError)]
    assert "canary" not in caplog.text + answer.decode() + "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("data", "target", "status"),
    [
        (b"POST /v1/messages?x=1 HTTP/1.1\r\nhost: x\r\ncontent-length: canary\r\n\r\n", "/v1/messages?x=1", 400),
        (b"canary\r\n\r\n", "", 400),
    ],
)
async def test_what_is_not_http_is_told_apart_by_its_target_alone(listening, caplog, data, target, status):
    address, seen = listening
    with caplog.at_level(logging.DEBUG):
        answer = await say(address, data)
    assert b"canary" not in answer
    assert "canary" not in caplog.text
    assert seen == [(target, status, type(None))]
