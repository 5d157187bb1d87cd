"""The one place that connects, and one request to an engine and its answer, whole and broken; over real sockets."""

import asyncio
import socket

import pytest

from gateway.local.address import Tcp, Unix
from gateway.local.engine import Patience, ask, check_peer, connect
from gateway.local.faults import EngineError, EngineFault
from tests.local_process import ScriptedEngine, chunks, reply


async def dial(address, **more):
    return await connect(asyncio.get_running_loop(), address, **more)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_loopback_address(host):
    with socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as server:
        sock = await dial(Tcp(host, server.getsockname()[1]))
        assert sock.getpeername()[:2] == server.getsockname()[:2]
        sock.close()


async def test_a_mapped_address_is_connected_to_as_what_it_is():
    with socket.create_server(("127.0.0.1", 0)) as server:
        sock = await dial(Tcp("::ffff:127.0.0.1", server.getsockname()[1]))
        assert sock.family == socket.AF_INET
        sock.close()


async def test_a_unix_socket(tmp_path):
    path = str(tmp_path / "engine.sock")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        sock = await dial(Unix(path))
        assert sock.family == socket.AF_UNIX
        sock.close()


async def test_nobody_listens(tmp_path):
    for address in (Tcp("127.0.0.1", 1), Unix(str(tmp_path / "none.sock"))):
        with pytest.raises(EngineError) as caught:
            await dial(address)
        assert caught.value.fault is EngineFault.CONNECT


@pytest.mark.parametrize("host", ["10.9.9.9", "localhost", "0.0.0.0", "::", "example.test", "::ffff:10.9.9.9"])
async def test_another_address_is_refused_before_there_is_a_socket(host, monkeypatch):
    monkeypatch.setattr(socket, "socket", None)
    with pytest.raises(EngineError) as caught:
        await dial(Tcp(host, 80))
    assert caught.value.fault is EngineFault.FOREIGN


class Connected:
    """A socket as the kernel would describe it after it was led elsewhere."""

    family = socket.AF_INET

    def __init__(self, peer, own=("127.0.0.1", 40_000)):
        self._peer, self._own = peer, own

    def getpeername(self):
        return self._peer

    def getsockname(self):
        return self._own


@pytest.mark.parametrize(
    "peer",
    [
        ("10.9.9.9", 80),
        ("127.0.0.2", 80),
        ("127.0.0.1", 3128),
        ("::1", 80, 0, 0),
        ("::ffff:10.9.9.9", 80, 0, 0),
        ("", 80),
    ],
)
def test_a_peer_that_is_not_the_one_that_was_meant(peer):
    with pytest.raises(EngineError) as caught:
        check_peer(Connected(peer), Tcp("127.0.0.1", 80))
    assert caught.value.fault is EngineFault.FOREIGN


def test_the_peer_that_was_meant():
    check_peer(Connected(("127.0.0.1", 80)), Tcp("127.0.0.1", 80))
    check_peer(Connected(("::ffff:127.0.0.1", 80, 0, 0)), Tcp("127.0.0.1", 80))


def test_a_socket_that_met_itself():
    with pytest.raises(EngineError):
        check_peer(Connected(("127.0.0.1", 40_000)), Tcp("127.0.0.1", 40_000))


async def get(engine, **more):
    return await ask(asyncio.get_running_loop(), Tcp("127.0.0.1", engine.port), "GET", "/x", **more)


async def body_of(answer):
    try:
        return await answer.whole()
    finally:
        answer.close()


@pytest.mark.parametrize(
    ("sent", "body"),
    [
        (reply(200, b"whole"), b"whole"),
        (chunks(b"a", b"b", b"c"), b"abc"),
        (b"HTTP/1.1 200 OK\r\n\r\nto the end", b"to the end"),
        (b"HTTP/1.0 200 OK\r\n\r\nto the end", b"to the end"),
        (b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + reply(200, b"late"), b"late"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + reply(200, b"late"), b"late"),
        (reply(200, b"x") + reply(200, b"surplus"), b"x"),
        (reply(200, b""), b""),
    ],
)
async def test_answers(sent, body):
    with ScriptedEngine({"GET /x": lambda sock, _: sock.sendall(sent)}) as engine:
        answer = await get(engine)
        assert answer.status == 200
        assert await body_of(answer) == body


async def test_what_an_engine_is_sent(tmp_path):
    path = tmp_path / "e.sock"
    with ScriptedEngine({"POST /x": reply(200)}) as tcp, ScriptedEngine({"POST /x": reply(200)}, path=path) as unix:
        for engine, address in ((tcp, Tcp("127.0.0.1", tcp.port)), (unix, Unix(str(path)))):
            answer = await ask(
                asyncio.get_running_loop(), address, "POST", "/x", body=b"{}", headers=[(b"accept", b"a/b")]
            )
            await body_of(answer)
            [(_, headers, body)] = engine.seen
            assert body == b"{}"
            assert headers == {
                "host": "localhost" if isinstance(address, Unix) else f"127.0.0.1:{engine.port}",
                "user-agent": "codegrex-gateway",
                "accept-encoding": "identity",
                "connection": "close",
                "accept": "a/b",
                "content-length": "2",
            }


@pytest.mark.parametrize(
    ("sent", "fault"),
    [
        (b"", EngineFault.CLOSED),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc", EngineFault.CLOSED),
        (chunks(b"abc", end=False), EngineFault.CLOSED),
        (b"HTTP/1.1 200 OK\r\n", EngineFault.CLOSED),
        (b"not http\r\n\r\n", EngineFault.PROTOCOL),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", EngineFault.PROTOCOL),
        (b"HTTP/1.1 200 OK\r\n" + b"x: " + b"y" * 100_000, EngineFault.PROTOCOL),
        (reply(302, headers={"location": "http://example.test/"}), EngineFault.REDIRECT),
        (reply(304), EngineFault.REDIRECT),
    ],
)
async def test_broken_answers(sent, fault):
    with ScriptedEngine({"GET /x": lambda sock, _: sock.sendall(sent)}) as engine:
        with pytest.raises(EngineError) as caught:
            await body_of(await get(engine))
        assert caught.value.fault is fault


async def test_an_answer_that_is_too_large():
    with ScriptedEngine({"GET /x": reply(200, b"x" * 100_000)}) as engine:
        answer = await get(engine)
        with pytest.raises(EngineError) as caught:
            await answer.whole(1000)
        assert caught.value.fault is EngineFault.PROTOCOL
        answer.close()


async def test_patience_ends():
    with ScriptedEngine({}) as engine:
        engine.table = {"GET /x": lambda sock, _: engine.await_close(sock)}
        with pytest.raises(EngineError) as caught:
            await get(engine, patience=Patience(first_byte=0.01))
        assert caught.value.fault is EngineFault.TIMEOUT
        assert await asyncio.to_thread(engine.closed.wait, 20)


async def test_closing_ends_the_engine_s_work():
    with ScriptedEngine({}) as engine:

        def begin(sock, _):
            sock.sendall(chunks(b"a", end=False))
            engine.await_close(sock)

        engine.table = {"GET /x": begin}
        answer = await get(engine)
        assert await answer.read() == b"a"
        answer.close()
        assert await asyncio.to_thread(engine.closed.wait, 20)
