"""The relay between two real sockets: what comes from the provider goes to the client as it is."""

import asyncio
import contextlib
import socket
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gateway.inference import relay as relay_module
from gateway.inference.relay import HOLD_BYTES, Relay, RelayState, Watch, reset
from gateway.upstream.connection import Connection
from gateway.upstream.faults import Fault
from tests.gateway.states import documented, watched
from tests.gateway.upstream_peer import PATIENCE, REQUEST, until

STREAM_HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


class Counting:
    """A scanner that passes everything on and holds back what ends without a newline."""

    sse = True
    ended = True
    at_boundary = True
    error = None

    def __init__(self, *, hold=False, begun=True):
        self.size = self.events = 0
        self.begun = begun
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

    def estimated_output(self):
        raise NotImplementedError

    def at_output(self, tokens, call):
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

    async def open(self, *, scanner=None, streaming=True, opening=2.0):
        loop = asyncio.get_running_loop()
        near, self.provider = socket.socketpair()
        near.setblocking(False)
        self.connection = Connection(loop, near)
        self.relay = Relay(
            loop, self.connection, lambda status, headers: Watch(scanner, flows=streaming), opening=opening
        )
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


async def test_whoever_waits_for_the_answer_goes_on_when_the_read_is_delivered(make):
    pair = await make(streaming=True, scanner=Counting())
    log = []

    async def waits():
        await pair.relay.ready
        log.append(pair.relay.take())
        pair.relay.stop()

    def read():
        pair.say(STREAM_HEAD + chunk(b"one") + chunk(b"two"))
        log.append("read")

    task = asyncio.get_running_loop().create_task(waits())
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_soon(read)
    await task
    assert log == [b"onetwo", "read"]  # within the read, and with all of it
    assert pair.connection.closed


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


async def test_a_stream_without_output_is_held(make):
    """So that a failure before it can still be another target's answer, or an error status."""
    scanner = Counting(begun=False)
    pair = await make(scanner=scanner)
    pair.say(STREAM_HEAD + chunk(b"created"))
    pair.say(chunk(b"in progress"))
    assert (pair.relay.state, pair.relay.ready.done()) == (RelayState.HOLDING, False)
    scanner.begun = True
    pair.say(chunk(b"output"))
    assert pair.relay.ready.done()
    pair.relay.open(pair.protocol.transport, chunked=False)
    assert await pair.heard(24) == b"createdin progressoutput"


@pytest.mark.parametrize("what", ["error", "end", "fault", "bytes"])
async def test_a_stream_without_output_can_be_decided_on_before(make, what):
    scanner = Counting(begun=False)
    pair = await make(scanner=scanner)
    pair.say(STREAM_HEAD)
    assert not pair.relay.ready.done()
    match what:
        case "error":
            scanner.error = object()
            pair.say(chunk(b"error"))
            assert not pair.relay.over
        case "end":
            pair.say(b"0\r\n\r\n")
            assert pair.relay.over
        case "fault":
            pair.provider.close()
            pair.connection._reader()
            assert pair.relay.fault is Fault.CLOSED
        case "bytes":
            pair.provider.setblocking(False)
            wire = chunk(b": comment" * (HOLD_BYTES // 8))
            sending = asyncio.get_running_loop().create_task(
                asyncio.get_running_loop().sock_sendall(pair.provider, wire)
            )
            await until(pair.relay.ready.done)
            assert pair.connection.paused
            pair.relay.open(pair.protocol.transport, chunked=False)
            await pair.heard(len(wire) - 20)
            await sending
    assert pair.relay.ready.done()


async def test_a_stream_without_output_is_not_held_for_ever(make):
    pair = await make(scanner=Counting(begun=False), opening=0.01)
    pair.say(STREAM_HEAD + chunk(b"ping"))
    assert not pair.relay.ready.done()
    async with asyncio.timeout(PATIENCE):
        await pair.relay.ready
    assert pair.relay.state is RelayState.HOLDING
    pair.relay.open(pair.protocol.transport, chunked=False)
    assert await pair.heard(4) == b"ping"


async def test_after_the_end_nothing_of_the_relay_reaches_the_connection(make):
    """It may carry another user's answer by then."""
    pair = await make(streaming=False)
    body = b"o" * (HOLD_BYTES + 1)
    pair.provider.setblocking(False)
    wire = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    sending = asyncio.get_running_loop().create_task(asyncio.get_running_loop().sock_sendall(pair.provider, wire))
    await until(pair.relay.ready.done)
    pair.relay.open(pair.protocol.transport, chunked=False)
    await until(lambda: pair.relay.over)
    await sending
    next_one = Relay(asyncio.get_running_loop(), pair.connection, lambda *_: Watch(None, flows=True))
    pair.connection.send([REQUEST], next_one)
    for act in (pair.relay.pause, pair.relay.resume, pair.relay.pause, pair.relay.stop, pair.relay.close):
        act()
        assert not pair.connection.paused
        assert not pair.connection.closed
    pair.say(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi")
    assert (next_one.over, next_one.fault, next_one.held()) == (True, None, b"hi")


async def test_a_client_that_has_left_is_sent_nothing_while_the_usage_is_read(make):
    scanner = Counting()
    pair = await make(scanner=scanner)
    pair.say(STREAM_HEAD)
    pair.relay.open(pair.protocol.transport, chunked=True)
    pair.say(chunk(b"seen"))
    assert await pair.heard(9) == chunk(b"seen")
    pair.relay.pause()  # it had been slow
    pair.relay.linger(1_000)
    assert pair.relay.state is RelayState.LINGERING
    pair.say(chunk(b"usage"))
    assert not pair.relay.ended.done()
    pair.say(b"0\r\n\r\n")
    assert pair.relay.ended.done()
    assert (pair.relay.over, pair.relay.fault, scanner.size) == (True, None, 9)
    pair.protocol.transport.close()
    assert await asyncio.get_running_loop().sock_recv(pair.client, 10) == b""


async def test_what_is_read_for_the_usage_is_bounded(make):
    pair = await make(scanner=Counting())
    pair.say(STREAM_HEAD)
    pair.relay.open(pair.protocol.transport, chunked=True)
    pair.relay.linger(1_000)
    pair.say(chunk(b"x" * 1_000))
    assert not pair.relay.ended.done()
    pair.say(chunk(b"x"))
    assert pair.relay.ended.done()
    assert not pair.relay.over
    pair.relay.stop()
    assert (pair.relay.over, pair.relay.fault) == (True, Fault.STOPPED)


async def test_an_object_is_held_until_it_is_complete(make):
    pair = await make(streaming=False)
    pair.say(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nabc")
    assert not pair.relay.ready.done()
    pair.say(b"def")
    assert pair.relay.ready.done()
    assert pair.relay.over
    assert pair.relay.held() == b"abcdef"
    assert not pair.relay.watch.flows


async def test_an_object_over_the_bound_flows_and_nothing_more_is_read_until_then(make):
    pair = await make(streaming=False)
    body = b"o" * (HOLD_BYTES + 200_000)
    loop = asyncio.get_running_loop()
    pair.provider.setblocking(False)
    wire = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    sending = loop.create_task(loop.sock_sendall(pair.provider, wire))
    async with asyncio.timeout(PATIENCE):
        await pair.relay.ready
    assert pair.relay.watch.flows
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
    assert pair.relay.held() == b""
    assert pair.relay.over
    assert pair.connection.closed


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


DOCUMENTED = documented(relay_module, RelayState)
STEPS = ("open", "pause", "resume", "linger", "stop", "close", "cut")


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    steps=st.lists(st.sampled_from([*STEPS, STREAM_HEAD, chunk(b"seen"), b"0\r\n\r\n", b"junk"]), max_size=10),
    streaming=st.booleans(),
    begun=st.booleans(),
)
@example(steps=[STREAM_HEAD, "open", "linger", "stop"], streaming=True, begun=True)
@example(steps=[STREAM_HEAD, "open", b"0\r\n\r\n"], streaming=True, begun=True)
def test_its_state_changes_only_as_its_module_says(steps, streaming, begun):
    seen = set()

    async def run():
        with patch(f"{__name__}.Relay", watched(Relay, seen)):
            pair = await Pair().open(scanner=Counting(begun=begun), streaming=streaming)
        relay = pair.relay
        for step in steps:
            if isinstance(step, bytes):
                with contextlib.suppress(OSError):
                    pair.say(step)
            elif step == "open" and relay.state in {RelayState.HOLDING, RelayState.ENDED}:
                relay.open(pair.protocol.transport, chunked=True)
            elif step == "linger" and relay.state is RelayState.FLOWING:
                relay.linger(10)
            elif step == "cut":
                with contextlib.suppress(OSError):
                    pair.provider.shutdown(socket.SHUT_WR)
                pair.connection._reader()
            elif step in {"pause", "resume", "stop", "close"}:
                getattr(relay, step)()
            assert relay.over is (relay._connection is None)  # what has ended has nothing of the connection
        relay.close()
        pair.close()

    asyncio.run(run())
    assert seen <= DOCUMENTED


async def test_the_states_that_its_module_lists_happen(make):
    seen = set()
    with patch(f"{__name__}.Relay", watched(Relay, seen)):
        for last in range(4):
            pair = await make(scanner=Counting())
            steps = (
                lambda pair: pair.say(STREAM_HEAD),
                lambda pair: pair.relay.open(pair.protocol.transport, chunked=True),
                lambda pair: pair.relay.linger(10),
            )
            for step in steps[:last]:
                step(pair)
            pair.relay.stop()
    assert seen == DOCUMENTED


OBJECT = b'{"answer": "whole"}'


class Whole(Counting):
    """A scanner of an object that is complete with its last bracket."""

    sse = False
    at_boundary = False

    @property
    def ended(self):
        return self.seen.endswith(b"}")

    seen = b""

    def feed(self, data):
        self.seen += data
        return super().feed(data)


async def beating(make, scanner):
    """An object before which spaces came for as long as an opening is held, and whose client is opened for them."""
    pair = await make(scanner=scanner, streaming=False, opening=0.01)
    pair.say(STREAM_HEAD + chunk(b"\n"))
    async with asyncio.timeout(PATIENCE):
        await pair.relay.ready
    assert not pair.relay.over
    return pair


async def test_spaces_before_an_object_pass_and_the_object_when_it_is_complete(make):
    pair = await beating(make, Whole())
    pair.relay.open(pair.protocol.transport, chunked=True)
    assert await pair.heard(6) == chunk(b"\n")
    pair.say(chunk(b" \r\n"))
    assert await pair.heard(8) == chunk(b" \r\n")
    for start in range(len(OBJECT)):
        assert not pair.relay.over
        pair.say(chunk(OBJECT[start : start + 1]))
    pair.say(b"0\r\n\r\n")
    assert await pair.heard(len(chunk(OBJECT))) == chunk(OBJECT)
    assert (pair.relay.over, pair.relay.fault, pair.relay.watch.flows) == (True, None, False)


async def test_an_object_that_came_before_its_client_was_opened_is_not_taken_with_the_spaces(make):
    pair = await beating(make, Whole())
    pair.say(chunk(OBJECT[:5]))
    assert pair.relay.take() == b"\n"
    pair.say(chunk(OBJECT[5:]) + b"0\r\n\r\n")
    assert pair.relay.over
    assert pair.relay.take() == b""
    pair.relay.open(pair.protocol.transport, chunked=True)
    assert await pair.heard(len(chunk(OBJECT))) == chunk(OBJECT)


@pytest.mark.parametrize("what", ["error", "cut", "incomplete"])
async def test_an_object_behind_spaces_that_is_not_good_does_not_pass(make, what):
    scanner = Whole()
    pair = await beating(make, scanner)
    pair.relay.open(pair.protocol.transport, chunked=True)
    assert await pair.heard(6) == chunk(b"\n")
    scanner.error = object() if what == "error" else None
    pair.say(chunk(OBJECT[:-1] if what == "incomplete" else OBJECT))
    if what == "cut":
        pair.provider.close()
        pair.connection._reader()
    else:
        pair.say(b"0\r\n\r\n")
    assert pair.relay.over
    pair.relay.close()
    pair.protocol.transport.close()
    assert await asyncio.get_running_loop().sock_recv(pair.client, 100) == b""


async def test_an_object_behind_spaces_that_is_too_large_to_hold_flows(make):
    pair = await beating(make, Whole())
    pair.relay.open(pair.protocol.transport, chunked=False)
    for _ in range(HOLD_BYTES // 16_384 + 1):
        assert not pair.relay.watch.flows
        pair.say(chunk(b"x" * 16_384))
    assert pair.relay.watch.flows
    assert len(await pair.heard(HOLD_BYTES)) > HOLD_BYTES
    pair.say(chunk(b"more"))
    assert (await pair.heard(4)).endswith(b"more")


async def test_an_object_is_not_opened_for_spaces_that_it_follows_at_once(make):
    pair = await make(scanner=Whole(), streaming=False, opening=0.01)
    pair.say(STREAM_HEAD + chunk(b"\n"))
    pair.say(chunk(b"{"))
    await asyncio.sleep(0.05)  # the time for which an opening is held, several times
    assert not pair.relay.ready.done()
    pair.say(chunk(b"}") + b"0\r\n\r\n")
    assert pair.relay.held() == b"\n{}"
