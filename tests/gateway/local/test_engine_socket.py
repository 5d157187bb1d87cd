"""The one place that connects, on real sockets."""

import asyncio
import socket

import pytest

from gateway.local.address import Tcp, Unix
from gateway.local.engine_socket import check_peer, connect
from gateway.local.faults import EngineError, EngineFault


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
