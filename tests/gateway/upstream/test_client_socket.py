"""Two ways to one client's socket: the same bytes in the same order, and never to anybody else."""

import asyncio
import os
import socket
import ssl
from pathlib import Path

import pytest

from benchmarks.simulator import make_certificates
from gateway.upstream.client_socket import ClientSide, at_once

BOTH_LOOPS = True


def open_files():
    return {int(path.name) for path in Path("/proc/self/fd").iterdir() if path.exists()}


def descriptors():
    return len(open_files())


async def pair():
    loop = asyncio.get_running_loop()
    ours, client = socket.socketpair()
    client.setblocking(False)
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
    return transport, client


async def read(client):
    return await asyncio.get_running_loop().sock_recv(client, 100_000)


async def sends_through_the_transport(side, transport, client):
    assert side.send(b"through") == 7
    await asyncio.sleep(0)
    assert await read(client) == b"through"
    transport.abort()
    client.close()


class Flow(asyncio.Protocol):
    """Counts the calls of a transport's back-pressure."""

    paused = resumed = 0

    def pause_writing(self):
        self.paused += 1

    def resume_writing(self):
        self.resumed += 1


async def test_what_is_written_at_once_is_with_the_kernel_in_the_same_turn():
    transport, client = await pair()
    with at_once(transport):
        transport.write(b"now")
    assert client.recv(10) == b"now"
    transport.write(b"x" * 60_000)  # below the mark that the transport has again
    assert transport.get_protocol().__class__ is asyncio.Protocol
    transport.close()
    with at_once(transport):
        pass
    client.close()


async def test_what_the_kernel_does_not_take_at_once_follows_in_order_and_the_writer_is_told():
    transport, client = await pair()
    flow = Flow()
    transport.set_protocol(flow)
    data = os.urandom(1 << 22)
    with at_once(transport):
        transport.write(data)
    assert (flow.paused, flow.resumed) == (1, 0)
    got = b""
    while len(got) < len(data):
        got += await read(client)
    assert got == data
    while not flow.resumed:
        await asyncio.sleep(0)
    transport.write(b"small")
    assert (flow.paused, flow.resumed) == (1, 1)
    transport.abort()
    client.close()


async def test_sent_and_written_bytes_arrive_in_order():
    transport, client = await pair()
    side = ClientSide(transport, direct=True)
    assert side.send(b"a") == 1
    side.write(b"b")
    while side.waiting():
        await asyncio.sleep(0)
    assert side.send(b"c") == 1
    side.close()
    side.write(b"d")
    await asyncio.sleep(0)
    assert await read(client) == b"abcd"
    transport.abort()
    client.close()


async def test_a_transport_that_closed_takes_nothing_and_its_number_is_nobody_elses():
    transport, client = await pair()
    number = transport.get_extra_info("socket").fileno()
    side = ClientSide(transport, direct=True)
    transport.abort()
    while number in open_files():
        await asyncio.sleep(0)
    other, others_client = socket.socketpair()
    reused = other if other.fileno() == number else others_client
    assert reused.fileno() == number
    side.write(b"nothing")
    side.send(b"mine")
    for sock in (other, others_client):
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            sock.recv(1)
    assert await read(client) == b"mine"
    side.close()
    assert await read(client) == b""
    for sock in (other, others_client, client):
        sock.close()


async def test_the_client_sees_the_end_once_both_have_closed():
    transport, client = await pair()
    before = descriptors()
    side = ClientSide(transport, direct=True)
    assert descriptors() == before + 1
    transport.close()
    side.close()
    side.close()
    assert await read(client) == b""
    with pytest.raises(OSError, match="Bad file descriptor"):
        side.send(b"late")
    client.close()


async def test_without_chunks_there_is_no_second_descriptor():
    transport, client = await pair()
    before = descriptors()
    side = ClientSide(transport, direct=False)
    assert descriptors() == before
    await sends_through_the_transport(side, transport, client)


async def test_without_a_descriptor_left_the_transport_does(monkeypatch):
    def none_left(_number):
        raise OSError(24, "Too many open files")

    transport, client = await pair()
    monkeypatch.setattr(os, "dup", none_left)
    side = ClientSide(transport, direct=True)
    await sends_through_the_transport(side, transport, client)


async def test_under_tls_only_the_transport_writes(tmp_path):
    loop = asyncio.get_running_loop()
    certificates = make_certificates(tmp_path)
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(certificates.cert_file, certificates.key_file)
    opened = loop.create_future()

    class Listener(asyncio.Protocol):
        def connection_made(self, transport):
            opened.set_result(transport)

    server = await loop.create_server(Listener, "127.0.0.1", 0, ssl=theirs)
    trusting = ssl.create_default_context(cafile=str(certificates.ca_file))
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname(), ssl=trusting)
    side = ClientSide(await opened, direct=True)
    assert side.send(b"a record") == 8
    assert await reader.readexactly(8) == b"a record"
    writer.close()
    side.close()
    server.close()
