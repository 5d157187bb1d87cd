"""Connecting: certificates are checked, the environment is not asked, and time is bounded."""

import asyncio
import socket

import pytest

from benchmarks.simulator import make_certificates
from gateway.upstream.faults import Fault, UpstreamFault
from gateway.upstream.origin import Origin, tls_context
from tests.gateway.upstream_peer import PATIENCE, serve


async def connect(origin, timeout=PATIENCE):
    connection = await origin.connect(asyncio.get_running_loop(), timeout)
    connection.close()


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("good"))


async def test_a_good_certificate(good):
    async with serve(good.server_context()) as peer:
        await connect(Origin("localhost", peer.port, tls_context(good.ca_file)))


@pytest.mark.parametrize("options", [{"names": ("elsewhere.test",)}, {"expired": True}])
async def test_a_bad_certificate(tmp_path, options):
    made = make_certificates(tmp_path, **options)
    async with serve(made.server_context()) as peer:
        with pytest.raises(UpstreamFault) as caught:
            await connect(Origin("127.0.0.1", peer.port, tls_context(made.ca_file)))
    assert caught.value.fault is Fault.TLS


async def test_an_authority_that_is_not_trusted(good, tmp_path):
    other = make_certificates(tmp_path)
    async with serve(good.server_context()) as peer:
        for trusted in (other.ca_file, None):
            with pytest.raises(UpstreamFault) as caught:
                await connect(Origin("127.0.0.1", peer.port, tls_context(trusted)))
            assert caught.value.fault is Fault.TLS


async def test_plain_where_tls_is_expected(good):
    async with serve() as peer:
        task = asyncio.get_running_loop().create_task(
            connect(Origin("127.0.0.1", peer.port, tls_context(good.ca_file)))
        )
        _, writer = await peer.next()
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        with pytest.raises(UpstreamFault) as caught:
            await task
    assert caught.value.fault is Fault.TLS


async def test_nobody_listens():
    with pytest.raises(UpstreamFault) as caught:
        await connect(Origin("127.0.0.1", 1))
    assert caught.value.fault is Fault.CONNECT


async def test_a_handshake_that_never_ends_is_bounded(good):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        origin = Origin("127.0.0.1", silent.getsockname()[1], tls_context(good.ca_file))
        with pytest.raises(UpstreamFault) as caught:
            await connect(origin, 0.02)
    assert caught.value.fault is Fault.CONNECT_TIMEOUT


async def test_the_environment_is_not_asked(good, tmp_path, monkeypatch):
    keys = tmp_path / "keys"
    monkeypatch.setenv("SSLKEYLOGFILE", str(keys))
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with serve(good.server_context()) as peer:
        await connect(Origin("127.0.0.1", peer.port, tls_context(good.ca_file)))
    assert not keys.exists()


def test_a_session_is_not_shown(good):
    assert "session" not in repr(Origin("x", 1))
