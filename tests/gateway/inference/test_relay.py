"""The relay between two real sockets: what comes from the provider goes to the client as it is."""

import asyncio
import socket

import pytest

from gateway.inference.relay import HOLD_BYTES, Relay, reset
from gateway.upstream.connection import Connection
from gateway.upstream.faults import Fault
from tests.gateway.upstream_peer import PATIENCE, REQUEST, until

STREAM_HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


class Counting:
    """A scanner that passes everything on and holds back what ends without a newline."""

    complete = True
    at_boundary = True
    failed = False

    def __init__(self, *, hold=False):
        self.size = self.events = 0
        self.rest = b""
        self.hold = hold

    def glance(self, framed, size):
        return False

    def feed(self, data):
        self.size += len(data)
        if not self.hold:
            return data
        data = self.rest + data
        end = data.rfind(b"\n") + 1
        self.rest = data[end:]
        return data[:end]

    def finish(self):
        rest, self.rest = self.rest, b""
        return rest

    def report(self):
        raise NotImplementedError


class Client(asyncio.Protocol):
    """The client's side in the gateway: its transport's back-pressure goes to the relay."""

    def __init__(self):
        self.relay = None
        self.transport = None

    def connection_made(self, transport):
        self.transport = transport

    def pause_writing(self):
        self.relay.pause()

    def resume_writing(self):
        self.relay.resume()


class Pair:
    """Provider socket -> connection -> relay -> transport -> client socket."""

    async def open(self, *, scanner=None, streaming=True):
        loop = asyncio.get_running_loop()
        near, self.provider = socket.socketpair()
        near.setblocking(False)
        self.connection = Connection(loop, near)
        self.relay = Relay(loop, self.connection, lambda status, headers: (scanner, streaming))
        ours, self.client = socket.socketpair()
        self.client.setblocking(False)
        _, self.protocol = await loop.create_connection(Client, sock=ours)
        self.protocol.relay = self.relay
        self.connection.send([REQUEST], self.relay)
        return self

    def say(self, data):
        self.provider.sendall(data)
        self.connection._reader()

    async def heard(self, count):
        loop = asyncio.get_running_loop()
        got = b""
        async with asyncio.timeout(PATIENCE):
            while len(got) < count:
                got += await loop.sock_recv(self.client, 1 << 20)
        return got

    def close(self):
        self.connection.close()
        self.protocol.transport.abort()
        self.provider.close()
        self.client.close()


@pytest.fixture
async def make():
    pairs = []

    async def make(**options):
        pairs.append(await Pair().open(**options))
        return pairs[-1]

    yield make
    for pair in pairs:
        pair.close()
    await asyncio.sleep(0)


def chunk(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


@pytest.mark.parametrize("size", [1, 9, 4095, 4096, 70_000])
async def test_a_fragment_is_one_chunk(make, size):
    pair = await make()
    pair.say(STREAM_HEAD)
    assert pair.relay.ready.done()
    pair.relay.open(pair.protocol.transport, chunked=True)
    data = b"d" * size
    for piece in (chunk(data)[start : start + 50_000] for start in range(0, len(chunk(data)), 50_000)):
        pair.say(piece)
    if size < 50_000:
        assert await pair.heard(len(chunk(data))) == chunk(data)
    else:
        assert (await pair.heard(size)).count(b"d") >= size - 100


async def test_frames_that_arrive_together_leave_together(make):
    pair = await make()
    pair.say(STREAM_HEAD)
    pair.relay.open(pair.protocol.transport, chunked=True)
    pair.say(chunk(b"one") + chunk(b"two") + chunk(b"three"))
    assert await pair.heard(16) == chunk(b"onetwothree")


async def test_without_chunk_framing_the_bytes_are_the_providers(make):
    pair = await make()
    pair.say(STREAM_HEAD)
    pair.relay.open(pair.protocol.transport, chunked=False)
    pair.say(chunk(b"one") + chunk(b"two"))
    assert await pair.heard(6) == b"onetwo"


async def test_what_came_before_the_client_was_opened_is_passed_on_once(make):
    scanner = Counting()
    pair = await make(scanner=scanner)
    pair.say(STREAM_HEAD + chunk(b"early"))
    pair.relay.open(pair.protocol.transport, chunked=False)
    pair.say(chunk(b"late") + b"0\r\n\r\n")
    assert await pair.heard(9) == b"earlylate"
    assert scanner.size == 9
    assert pair.relay.over
    assert pair.relay.fault is None


async def test_taken_bytes_are_not_sent_again(make):
    pair = await make()
    pair.say(STREAM_HEAD + chunk(b"early"))
    assert pair.relay.take() == b"early"
    pair.relay.open(pair.protocol.transport, chunked=False)
    pair.say(chunk(b"late"))
    assert await pair.heard(4) == b"late"


async def test_what_the_scanner_holds_goes_out_at_the_end(make):
    pair = await make(scanner=Counting(hold=True))
    pair.say(STREAM_HEAD)
    pair.relay.open(pair.protocol.transport, chunked=False)
    pair.say(chunk(b"half a"))
    pair.say(chunk(b" line\nand"))
    assert await pair.heard(12) == b"half a line\n"
    pair.say(b"0\r\n\r\n")
    assert await pair.heard(3) == b"and"


async def test_bytes_of_our_own_pass_the_scanner_by(make):
    scanner = Counting(hold=True)
    pair = await make(scanner=scanner)
    pair.say(STREAM_HEAD)
    pair.relay.open(pair.protocol.transport, chunked=True)
    pair.relay.add(b"event")
    assert await pair.heard(10) == chunk(b"event")
    assert scanner.size == 0


async def test_an_object_is_held_until_it_is_complete(make):
    pair = await make(streaming=False)
    pair.say(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nabc")
    assert not pair.relay.ready.done()
    pair.say(b"def")
    assert pair.relay.ready.done()
    assert pair.relay.over
    assert pair.relay.held() == b"abcdef"
    assert not pair.relay.streaming


async def test_an_object_over_the_bound_flows_and_nothing_more_is_read_until_then(make):
    pair = await make(streaming=False)
    body = b"o" * (HOLD_BYTES + 200_000)
    loop = asyncio.get_running_loop()
    pair.provider.setblocking(False)
    wire = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    sending = loop.create_task(loop.sock_sendall(pair.provider, wire))
    async with asyncio.timeout(PATIENCE):
        await pair.relay.ready
    assert pair.relay.streaming
    assert not pair.relay.over
    assert pair.connection.paused
    pair.relay.open(pair.protocol.transport, chunked=False)
    assert await pair.heard(len(body)) == body
    await sending
    assert pair.relay.over


async def test_a_client_that_does_not_read_pauses_the_provider(make):
    pair = await make()
    pair.say(STREAM_HEAD)
    pair.relay.open(pair.protocol.transport, chunked=False)
    loop = asyncio.get_running_loop()
    pair.provider.setblocking(False)
    total = 20_000_000
    wire = b"%x\r\n%b\r\n0\r\n\r\n" % (total, b"s" * total)
    sending = loop.create_task(loop.sock_sendall(pair.provider, wire))
    await until(lambda: pair.connection.paused)
    for _ in range(50):
        await asyncio.sleep(0)
    assert pair.connection.paused
    assert pair.protocol.transport.get_write_buffer_size() < 1 << 20
    assert await pair.heard(total) == b"s" * total
    await sending
    assert pair.relay.over


async def test_nothing_is_written_to_a_closing_transport(make):
    pair = await make()
    pair.say(STREAM_HEAD)
    pair.relay.open(pair.protocol.transport, chunked=True)
    pair.protocol.transport.abort()
    pair.say(chunk(b"late"))
    assert await pair.heard(0) == b""


async def test_a_fault_wakes_both_waiters(make):
    pair = await make(streaming=False)
    pair.provider.close()
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(pair.relay.ready, pair.relay.ended)
    assert (pair.relay.fault, pair.relay.over) == (Fault.CLOSED, True)


@pytest.mark.parametrize("method", ["on_head", "feed", "glance", "finish"])
async def test_a_fault_of_ours_ends_the_answer_at_once(make, method):
    """And the loop's handler hears of it."""

    def fail(*_args):
        raise KeyError(method)

    told = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(type(context["exception"])))
    scanner = Counting()
    pair = await make(scanner=scanner)
    if method == "on_head":
        pair.relay._on_answer = fail
    else:
        setattr(scanner, method, fail)
    pair.provider.sendall(STREAM_HEAD)
    await until(pair.relay.ready.done)
    pair.relay.open(pair.protocol.transport, chunked=True)
    for said in (chunk(b"one"), chunk(b"two"), b"0\r\n\r\n"):
        if not pair.relay.over:
            pair.provider.sendall(said)
        for _ in range(5):
            await asyncio.sleep(0)
    assert (pair.relay.over, pair.relay.fault) == (True, Fault.INTERNAL)
    assert pair.relay.ended.done()
    assert pair.connection.closed
    assert told == [KeyError]


async def test_a_waiter_that_was_cancelled_does_not_end_the_answer(make):
    pair = await make()
    pair.say(STREAM_HEAD)
    pair.relay.open(pair.protocol.transport, chunked=True)

    async def wait():
        await pair.relay.ended

    task = asyncio.get_running_loop().create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert pair.relay.ended.cancelled()
    assert not pair.relay.over
    pair.say(b"0\r\n\r\n")
    assert pair.relay.over


async def test_after_close_nothing_is_kept(make):
    pair = await make(streaming=False)
    pair.say(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nabc")
    pair.relay.close()
    pair.say(b"def")
    assert pair.relay.held() == b""
    assert pair.relay.over


async def test_a_reset_is_not_a_clean_end():
    class Server(asyncio.Protocol):
        def connection_made(self, transport):
            transport.write(b"x")
            asyncio.get_running_loop().call_soon(reset, transport)

    loop = asyncio.get_running_loop()
    server = await loop.create_server(Server, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()
    server.close()
