"""The listener's own protocol: nothing that a client sent reaches a log or an error page."""

import asyncio
import contextlib
import json
import logging

import pytest
from aiohttp import web

from gateway.http.server import Server
from gateway.names import is_rid
from gateway.telemetry.log import Log
from tests.gateway.upstream_peer import PATIENCE


@pytest.fixture
async def listening(tmp_path):
    seen = []

    async def handle(request):
        if request.path == "/fail":
            raise ValueError(request.headers["x-secret"])
        await request.read()
        return web.Response(body=b"fine")

    def on_broken(_request, path, error, rid):
        seen.append((path, error.status, is_rid(rid)))
        return web.Response(status=error.status, body=error.code.encode())

    loop = asyncio.get_running_loop()
    log = Log("debug", tmp_path / "log")
    server = Server(handle, on_broken, log, loop)
    listener = await loop.create_server(server, "127.0.0.1", 0)
    yield listener.sockets[0].getsockname(), seen, tmp_path / "log"
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


async def test_a_handler_that_raises_is_logged_by_type_and_closes(listening, caplog, capfd):
    address, seen, log = listening
    with caplog.at_level(logging.DEBUG):
        answer = await say(address, b"GET /fail HTTP/1.1\r\nhost: x\r\nx-secret: canary\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert seen == [("/fail", 500, True)]
    (line,) = log.read_text().splitlines()
    assert json.loads(line).items() >= {"event": "handler_failed", "error": "ValueError"}.items()
    assert "canary" not in line + caplog.text + answer.decode() + "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("data", "path", "status"),
    [
        (b"POST /v1/messages?x=1 HTTP/1.1\r\nhost: x\r\ncontent-length: canary\r\n\r\n", "/v1/messages", 400),
        (b"canary\r\n\r\n", "/", 400),
    ],
)
async def test_of_what_is_not_http_only_its_path_is_told(listening, caplog, data, path, status):
    address, seen, log = listening
    with caplog.at_level(logging.DEBUG):
        answer = await say(address, data)
    assert b"canary" not in answer
    assert "canary" not in caplog.text
    assert seen == [(path, status, True)]
    assert log.read_text() == ""


LINE = b"x-a: " + b"b" * 10_000 + b"\r\n"


@pytest.mark.parametrize("before", [b"", b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"])
async def test_a_head_is_bounded_before_it_is_complete(listening, before):
    address, seen, _ = listening
    reader, writer = await asyncio.open_connection(*address)
    writer.write(before + b"GET / HTTP/1.1\r\nhost: x\r\n")
    async with asyncio.timeout(PATIENCE):
        with contextlib.suppress(ConnectionError):  # what is sent on meets a reset
            for _ in range(100):  # fewer than the fields that there may be
                writer.write(LINE)
                await writer.drain()
                await asyncio.sleep(0)
            await reader.read()
    writer.close()
    assert [status for _, status, _ in seen] == [431]


async def test_the_bytes_of_a_body_are_none_of_a_head(listening):
    address, seen, _ = listening
    body = b"b" * 300_000
    one = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)
    reader, writer = await asyncio.open_connection(*address)
    async with asyncio.timeout(PATIENCE):
        for _ in range(3):
            writer.write(one)
            for at in range(0, len(body), 50_000):
                writer.write(body[at : at + 50_000])
                await asyncio.sleep(0)
            await reader.readuntil(b"fine")
    writer.close()
    assert seen == []
