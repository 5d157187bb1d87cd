"""A pipelined connection, against a small server that answers when told to."""

import asyncio
import contextlib

import pytest
import uvloop

from metering.store.link import Link, StoreEndpoint, StoreError, Unreachable


class Peer:
    """A server on a real socket. It records what arrives in one read, and answers on demand."""

    def __init__(self):
        self.reads = []
        self.writers = []
        self.answering = True
        self.arrived = asyncio.Condition()
        self.connections = 0

    async def start(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def serve(self, reader, writer):
        self.connections += 1
        self.writers.append(writer)
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 20):
                self.reads.append(data)
                if self.answering:
                    self.answer(data.count(b"PING") + data.count(b"ECHO"))
                async with self.arrived:
                    self.arrived.notify_all()
        writer.close()

    def answer(self, count, reply=b"+PONG\r\n"):
        self.writers[-1].write(reply * count)

    async def wait_for(self, what):
        async with self.arrived, asyncio.timeout(60):
            await self.arrived.wait_for(lambda: any(what in data for data in self.reads))

    async def stop(self):
        self.server.close()
        for writer in self.writers:
            writer.close()


@pytest.fixture
async def peer():
    peer = await Peer().start()
    yield peer
    await peer.stop()


@pytest.fixture
async def link(peer):
    async def endpoint():
        return StoreEndpoint(port=peer.port)

    link = Link(endpoint, timeout=1)
    await link.connect()
    peer.reads.clear()
    yield link
    await link.close()


async def test_the_calls_of_a_tick_leave_as_one_write(link, peer):
    replies = await asyncio.gather(*(link.call(("ECHO", number)) for number in range(100)))
    assert replies == [b"PONG"] * 100
    assert len(peer.reads) == 1


async def test_replies_match_calls_by_order_and_errors_are_raised(link, peer):
    peer.answering = False
    first, second, third = (link.call(("ECHO", name)) for name in "abc")
    await peer.wait_for(b"ECHO")
    peer.answer(1, b"$1\r\na\r\n-MOVED 1 there\r\n:3\r\n")
    assert await first == b"a"
    with pytest.raises(StoreError) as caught:
        await second
    assert caught.value.code == "MOVED"
    assert await third == 3


async def test_a_silent_node_fails_the_call_then_others_at_once(link, peer):
    peer.answering = False
    with pytest.raises(Unreachable) as caught:
        await link.call(("ECHO", "a"))
    assert caught.value.maybe_ran
    at_once = link.call(("ECHO", "b"))
    assert at_once.done()
    assert not at_once.exception().maybe_ran


async def test_the_late_reply_is_discarded_and_the_node_trusted_again(link, peer):
    peer.answering = False
    with pytest.raises(Unreachable):
        await link.call(("ECHO", "a"))
    peer.answer(1, b"$4\r\nlate\r\n")
    peer.answering = True
    while (call := link.call(("ECHO", "b"))).done() and call.exception():
        await asyncio.sleep(0)
    assert await call == b"PONG"


async def test_a_lost_connection_fails_what_was_sent_and_heals(link, peer):
    peer.answering = False
    sent = link.call(("ECHO", "a"))
    await peer.wait_for(b"ECHO")
    peer.answering = True
    peer.writers[-1].close()
    with pytest.raises(Unreachable) as caught:
        await sent
    assert caught.value.maybe_ran
    await link.connect()
    assert await link.call(("ECHO", "b")) == b"PONG"
    assert peer.connections == 2


async def test_a_call_waits_for_a_connection_lost_just_now(link, peer):
    link.reset()
    await asyncio.sleep(0)
    assert await link.call(("ECHO", "a")) == b"PONG"


async def test_a_call_that_never_left_did_not_run(unused_tcp_port):
    async def nobody():
        return StoreEndpoint(port=unused_tcp_port)

    link = Link(nobody, timeout=0.05)
    with pytest.raises(Unreachable) as caught:
        await link.call(("PING",))
    assert not caught.value.maybe_ran
    await link.close()


async def test_a_call_given_up_by_its_caller_is_not_sent(link, peer):
    given_up = link.call(("ECHO", "secret"))
    given_up.cancel()
    assert await link.call(("ECHO", "b")) == b"PONG"
    assert not any(b"secret" in data for data in peer.reads)


async def test_an_answer_that_nobody_asked_for_ends_the_connection(link, peer):
    peer.answer(1, b"+surplus\r\n")
    while peer.connections < 2:
        await asyncio.sleep(0)
    assert await link.call(("ECHO", "b")) == b"PONG"


async def test_a_refused_password_lets_no_call_through(peer):
    peer.answering = False

    async def endpoint():
        return StoreEndpoint(port=peer.port, password="wrong")

    link = Link(endpoint, timeout=1)
    call = link.call(("ECHO", "a"))
    await peer.wait_for(b"AUTH")
    peer.answer(1, b"-WRONGPASS no\r\n")
    with pytest.raises(Unreachable):
        await call
    assert not any(b"ECHO" in data for data in peer.reads)
    await link.close()


def test_it_runs_on_the_gateways_own_loop():
    async def main():
        peer = await Peer().start()

        async def endpoint():
            return StoreEndpoint(port=peer.port)

        link = Link(endpoint, timeout=1)
        assert await asyncio.gather(*(link.call(("ECHO", number)) for number in range(10))) == [b"PONG"] * 10
        link.reset()
        await asyncio.sleep(0)
        assert await link.call(("ECHO", "again")) == b"PONG"
        assert peer.connections == 2
        await link.close()
        await peer.stop()

    uvloop.run(main())


async def test_an_urgent_call_leaves_at_once_with_those_that_wait(link, peer):
    waiting = link.call(("ECHO", "a"))
    urgent = link.call(("ECHO", "b"), urgent=True)
    given_up = link.call(("ECHO", "c"))
    given_up.cancel()
    assert await asyncio.gather(waiting, urgent) == [b"PONG"] * 2
    assert [data.count(b"ECHO") for data in peer.reads] == [2]


async def test_the_task_of_an_urgent_call_goes_on_where_the_reply_is_read(link, peer, monkeypatch):
    reading, went_on = False, []
    received = Link.data_received

    def read(self, data):
        nonlocal reading
        reading = True
        received(self, data)
        reading = False

    monkeypatch.setattr(Link, "data_received", read)

    async def asks(number, *, urgent):
        assert await link.call(("ECHO", number), urgent=urgent) == b"PONG"
        went_on.append((number, reading))

    await asyncio.gather(asks(1, urgent=False), asks(2, urgent=True), asks(3, urgent=True))
    assert went_on == [(2, True), (3, True), (1, False)]


@pytest.mark.parametrize("answered", [False, True])
async def test_an_urgent_call_fails_or_is_given_up_as_any_other(link, peer, answered):
    peer.answering = False
    call, lost = (link.call(("ECHO", name), urgent=True) for name in "ab")
    await peer.wait_for(b"ECHO")
    call.cancel()
    if answered:
        peer.answer(1, b"$4\r\nlate\r\n-MOVED 1 there\r\n")
        with pytest.raises(StoreError):
            await lost
    else:
        peer.writers[-1].close()
        with pytest.raises(Unreachable) as caught:
            await lost
        assert caught.value.maybe_ran
    assert call.cancelled()
