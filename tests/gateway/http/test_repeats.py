"""Fields that a client repeats: harmless ones pass, and of the others it is said which one."""

import asyncio
import itertools

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from gateway.http import repeats
from gateway.http.server import Server
from gateway.telemetry.log import Log
from tests.gateway.upstream_peer import PATIENCE

HARMLESS = ("User-Agent", "Server", "ETag", "Content-Location", "Content-Range", "Max-Forwards")
HEAD = b"POST /v1/messages HTTP/1.1\r\nHost: x\r\n"
BODY = b"Content-Length: 4\r\n\r\nbody"


@pytest.fixture
async def listening(tmp_path):
    seen = []

    async def handle(request):
        seen.append((request.path, await request.read(), request.headers.getall("Content-Type", [])))
        return web.Response(body=b"fine")

    def on_broken(_request, path, error, _rid):
        return web.Response(status=error.status, text=f"{path} {error.message}")

    loop = asyncio.get_running_loop()
    server = Server(handle, on_broken, Log("debug", tmp_path / "log"), loop)
    listener = await loop.create_server(server, "127.0.0.1", 0)
    yield listener.sockets[0].getsockname(), seen
    listener.close()
    await server.shutdown(0.1)


async def say(address, *pieces):
    reader, writer = await asyncio.open_connection(*address)
    try:
        async with asyncio.timeout(PATIENCE):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            head = await reader.readuntil(b"\r\n\r\n")
            (length,) = [int(line[16:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length: ")]
            return int(head.split(b" ")[1]), (await reader.readexactly(length)).decode()
    finally:
        writer.close()


@pytest.mark.parametrize("name", HARMLESS)
async def test_what_the_gateway_does_not_read_may_stand_twice(listening, name):
    address, seen = listening
    lines = f"{name}: one\r\n{name.lower()}: two\r\n{name}: three\r\n".encode()
    assert await say(address, HEAD + lines + BODY) == (200, "fine")
    assert seen == [("/v1/messages", b"body", [])]


async def test_the_same_content_type_twice(listening):
    address, seen = listening
    lines = b"Content-Type: application/json\r\ncontent-type:  application/json \r\n"
    assert await say(address, HEAD + lines + BODY) == (200, "fine")
    assert seen == [("/v1/messages", b"body", ["application/json"])]


async def test_wherever_the_head_is_cut(listening):
    address, _ = listening
    data = HEAD + b"User-Agent: a\r\nUser-Agent: b\r\n" + BODY
    for cut in range(1, len(data), 7):
        assert await say(address, data[:cut], data[cut:]) == (200, "fine")


async def test_the_connection_goes_on(listening):
    address, seen = listening
    reader, writer = await asyncio.open_connection(*address)
    async with asyncio.timeout(PATIENCE):
        for _ in range(3):
            for more in (b"User-Agent: a\r\nUser-Agent: b\r\n", b""):
                writer.write(HEAD + more + BODY)
                assert (await reader.readuntil(b"fine")).startswith(b"HTTP/1.1 200 ")
    writer.close()
    assert len(seen) == 6


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (b"Host: y\r\n", "more than one Host header"),
        (b"Content-Length: 4\r\n", "more than one Content-Length header"),
        (b"Transfer-Encoding: chunked\r\n", "Content-Length and Transfer-Encoding"),
        (b"Content-Type: a/b\r\nContent-Type: c/d\r\n", "more than one Content-Type header"),
        (b"User-Agent: a\r\nUser-Agent: b\r\nHost: y\r\n", "more than one Host header"),
        (b"Content-Length: 4\r\nServer: a\r\nServer: b\r\n", "more than one Content-Length header"),
        (b"canary\r\n", "header line has no colon"),
        (b"a: b\r\n" * 200, "too many headers"),
    ],
)
async def test_of_what_matters_it_is_said_which_one(listening, lines, said):
    address, seen = listening
    status, text = await say(address, HEAD + lines + BODY)
    assert (status, seen) == (400, [])
    assert text.startswith("/v1/messages ")
    assert said in text
    assert "canary" not in text


LINES = st.lists(
    st.sampled_from(
        [
            *itertools.chain(*((f"{name}: a".encode(), f"{name.upper()}:b".encode()) for name in HARMLESS)),
            *(b"Content-Type: a", b"content-type: a", b"Content-Type: b", b"Host: a", b"Content-Length: 1"),
            *(
                b"Transfer-Encoding: chunked",
                b" folded: a",
                b"x: 1\ny: 2",
                b"x: \r",
                b"no colon",
                b"",
                b"User-Agent : a",
            ),
        ]
    ),
    max_size=8,
)


@given(LINES, st.binary(max_size=40))
def test_only_repeated_lines_are_left_out(lines, rest):
    """Of what decides where a request ends, nothing is left out, nor of a head that readers may take in two ways."""
    data = b"\r\n".join([b"POST / HTTP/1.1", *lines]) + b"\r\n\r\n" + rest
    kept = repeats.without(data)
    if kept is None:
        return
    head, _, body = data.partition(b"\r\n\r\n")
    shorter, _, after = kept.partition(b"\r\n\r\n")
    assert body == after
    before, now = head.split(b"\r\n"), shorter.split(b"\r\n")
    gone = list(before)
    for line in now:
        gone.remove(line)
    assert gone
    unread = tuple(name.lower().encode() + b":" for name in (*HARMLESS, "Content-Type"))
    assert all(line.lower().startswith(unread) for line in gone)
    names = [line.partition(b":")[0].lower() for line in now]
    assert all(line.partition(b":")[0].lower() in names for line in gone)
