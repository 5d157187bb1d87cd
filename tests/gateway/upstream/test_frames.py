"""Chunks that pass without the parser: whatever the reads are, the client gets the same body, and so does the scanner."""

import asyncio
import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.inference.relay import Relay, Watch
from gateway.upstream.connection import Connection
from metering.usage import Report
from tests.gateway.upstream_peer import until

BOTH_LOOPS = True

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
EVENTS = [b"data: one\n\n", b"data: \r\n two\n\n", b"d" * 300, b"x", b"data: [DONE]\n\n" * 40]


class Scanner:
    """Sees all, takes at a glance what it may, hides every event that holds ``one``."""

    def __init__(self, *, hide=False, glances=True):
        self.seen = []
        self.hide = hide
        self.glances = glances
        self.size = self.events = 0
        self.sse = self.begun = self.at_boundary = True
        self.ended = False
        self.error = None

    def glance(self, framed, size):
        if not self.glances or b"one" in framed or not framed.endswith(b"\r\n"):
            return False
        self.seen.append(framed[-2 - size : -2])
        return True

    def feed(self, data):
        self.seen.append(bytes(data))
        return b"" if self.hide and b"one" in data else data

    def finish(self):
        return b""

    def report(self):
        return Report()

    def estimated_output(self):
        return 0

    def at_output(self, tokens, call):
        raise NotImplementedError


class Client(asyncio.Protocol):
    """The client's side in the gateway: its transport's back-pressure goes to the relay."""

    relay: Relay

    def pause_writing(self):
        self.relay.pause()

    def resume_writing(self):
        self.relay.resume()


class Stand:
    """A provider's socket, a connection, a relay, a transport, a client's socket: all of them real."""

    async def open(self, *, chunked=True, scanner=None, sent_before=b"", send_buffer=0, tick=None):
        loop = asyncio.get_running_loop()
        near, self.provider = socket.socketpair()
        near.setblocking(False)
        self.scanner = Scanner() if scanner is None else scanner
        self.connection = Connection(loop, near)
        self.relay = Relay(loop, self.connection, lambda _status, _headers: Watch(self.scanner, flows=True))
        ours, self.client = socket.socketpair()
        if send_buffer:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        self.client.setblocking(False)
        self.transport, protocol = await loop.create_connection(Client, sock=ours)
        protocol.relay = self.relay
        self.connection.send([b"POST / HTTP/1.1\r\n\r\n"], self.relay)
        self.provider.send(HEAD)
        await self.relay.ready
        if sent_before:
            self.transport.write(sent_before)
        self.relay.open(self.transport, chunked=chunked, tick=tick)
        return self

    async def say(self, read):
        self.provider.send(read)
        for _ in range(3):
            await asyncio.sleep(0)

    async def over(self):
        for _ in range(50):
            if self.relay.over:
                return
            await asyncio.sleep(0)

    async def heard(self):
        """All that the client gets, to its end."""
        self.transport.close()
        self.relay.close()
        return await read_to_the_end(self.client)

    def close(self):
        self.connection.close()
        self.transport.abort()
        self.relay.close()
        self.provider.close()
        self.client.close()


def chunk(data, form=b"%x\r\n%b\r\n"):
    return form % (len(data), data)


def unframed(text):
    """A chunked body's data and the bytes behind its end."""
    body = b""
    while text:
        size, _, text = text.partition(b"\r\n")
        length = int(size.partition(b";")[0], 16)
        assert not length or text[length : length + 2] == b"\r\n"
        body, text = body + text[:length], text[length + 2 :]
        if not length:
            break  # trailers may follow; they are nobody's data
    return body


async def relayed(reads, *, hide=False, glances=True, chunked=True):
    """What a client gets of an answer that the provider sends in just these reads."""
    stand = await Stand().open(chunked=chunked, scanner=Scanner(hide=hide, glances=glances))
    for read in reads:
        if stand.connection.closed:
            break  # what is not HTTP was cut
        await stand.say(read)
    await stand.over()
    sent = await stand.heard()
    stand.close()
    return stand.relay, stand.scanner, sent


@pytest.fixture
def parsed(monkeypatch):
    """The reads that went through the parser once the head was there."""
    reads = []
    take = Connection.take

    def taken(self, data):
        reads.append(bytes(data))
        take(self, data)

    monkeypatch.setattr(Connection, "take", taken)
    return reads


END = b"0\r\n\r\n"
READS = {
    "one chunk a read": [*map(chunk, EVENTS), END],
    "upper case": [*(chunk(event, b"%X\r\n%b\r\n") for event in EVENTS), END],
    "leading zeros": [*(chunk(event, b"%04x\r\n%b\r\n") for event in EVENTS), END],
    "extensions": [*(chunk(event, b"%x;a=b\r\n%b\r\n") for event in EVENTS), END],
    "all at once": [b"".join(map(chunk, EVENTS)) + END],
    "the next size line begun": [chunk(b"one") + b"1", b"2c\r\n" + b"y" * 300 + b"\r\n", chunk(b"z"), END],
    "the end with the last chunk": [chunk(b"one"), chunk(b"two") + END],
    "trailers": [chunk(b"one"), b"0\r\nx-after: 1\r\n\r\n"],
    "a line end too far in": [chunk(b"one"), b"3\r\nab", b"c\r\n", chunk(b"d"), END],
    "a chunk that holds framing": [chunk(b"one"), chunk(b"3\r\nabc\r\n"), chunk(b"0\r\n\r\n"), END],
    "a large chunk": [chunk(b"one"), chunk(b"L" * 5000), chunk(b"two"), END],
}


@pytest.mark.parametrize("reads", READS.values(), ids=READS)
@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("glances", [True, False])
async def test_the_body_is_the_same_whatever_the_reads(reads, chunked, glances):
    relay, scanner, sent = await relayed(reads, chunked=chunked, glances=glances)
    body = unframed(b"".join(reads))
    assert relay.over
    assert relay.fault is None
    assert b"".join(scanner.seen) == body
    assert (unframed(sent) if chunked else sent) == body


async def test_what_is_hidden_in_a_chunk_that_passed_does_not_reach_the_client():
    reads = [chunk(b"zero"), chunk(b"one"), chunk(b"two"), END]
    _, scanner, sent = await relayed(reads, hide=True)
    assert unframed(sent) == b"zerotwo"
    assert scanner.seen == [b"zero", b"one", b"two"]


@pytest.mark.parametrize(
    "broken",
    [
        b"-3\r\nabc\r\n",
        b"+3\r\nabc\r\n",
        b" 3\r\nabc\r\n",
        b"0x3\r\nabc\r\n",
        b"\r\nabc\r\n",
        b"3\nabc\r\n",
    ],
)
async def test_a_wrong_size_line_never_passes(broken):
    _, scanner, sent = await relayed([chunk(b"first"), chunk(b"second"), broken, chunk(b"after"), END])
    assert b"".join(scanner.seen).startswith(b"firstsecond")
    assert broken not in sent


@pytest.mark.parametrize("form", [b"%x\r\n%b\r\n", b"%X\r\n%b\r\n"], ids=["lower", "upper"])
async def test_a_servers_way_to_write_sizes_is_learnt(parsed, form):
    reads = [chunk(b"d" * size, form) for size in (171, 2047, 172, 26, 3, 2048)]
    _, _, sent = await relayed([chunk(b"one"), *reads, END])
    assert unframed(sent) == unframed(b"".join([chunk(b"one"), *reads]))
    # Besides the head and what sets the parser between two chunks: the first of another form, one too large, the end.
    learning = [reads[0]] if form.startswith(b"%X") else []
    assert parsed[2:] == [*learning, reads[-1], END]


async def test_what_waits_in_the_transport_is_not_overtaken():
    stand = await Stand().open(sent_before=b"the client's head ")
    stand.provider.send(chunk(b"first"))
    stand.connection._reader()
    await stand.say(chunk(b"second"))
    await stand.say(chunk(b"third"))
    assert await stand.heard() == b"the client's head " + b"".join(map(chunk, [b"first", b"second", b"third"]))
    stand.close()


async def test_a_client_that_reads_late_gets_every_byte_in_order():
    stand = await Stand().open(send_buffer=4_096)
    loop = asyncio.get_running_loop()
    events = [b"%06d" % number * 200 for number in range(400)]  # far more than every buffer on the way
    providing = loop.create_task(provide(stand, events))
    await until(lambda: stand.connection.paused)
    reading = loop.create_task(read_to_the_end(stand.client))
    await providing
    await until(lambda: stand.relay.over)
    stand.transport.close()
    stand.relay.close()
    assert unframed(await reading) == b"".join(stand.scanner.seen) == b"".join(events)
    stand.close()


async def provide(stand, events):
    loop = asyncio.get_running_loop()
    stand.provider.setblocking(False)
    for event in events:
        await loop.sock_sendall(stand.provider, chunk(event))
        await asyncio.sleep(0)
    await loop.sock_sendall(stand.provider, END)


async def read_to_the_end(sock):
    got = b""
    while piece := await asyncio.get_running_loop().sock_recv(sock, 7_000):
        got += piece
    return got


@pytest.mark.parametrize("glances", [True, False])
async def test_a_tick_comes_with_each_read_that_has_something_for_the_client(glances):
    ticks = []
    stand = await Stand().open(scanner=Scanner(glances=glances), tick=lambda: ticks.append(1))
    reads = [chunk(b"one"), chunk(b"two"), chunk(b"three") + chunk(b"four"), chunk(b"five"), b"5\r\nsixth\r\n"]
    for read in reads:
        await stand.say(read)
    assert len(ticks) == len(reads)
    assert unframed(await stand.heard() + b"0\r\n\r\n") == b"onetwothreefourfivesixth"


async def test_a_client_that_has_gone_is_no_fault_of_the_providers():
    stand = await Stand().open()
    await stand.say(chunk(b"first"))
    await stand.say(chunk(b"second"))
    stand.client.close()
    for _ in range(3):
        stand.provider.send(chunk(b"late"))
        stand.connection._reader()
    assert not stand.connection.closed
    assert stand.relay.fault is None
    stand.close()


async def test_who_asks_for_progress_sees_every_chunk_between_two_questions(parsed):
    stand = await Stand().open()
    await stand.say(chunk(b"zero"))
    del parsed[:]
    for _ in range(3):
        before = stand.connection.progress()
        assert stand.connection.progress() == before
        await stand.say(chunk(b"and"))
        await stand.say(chunk(b"more"))
        assert stand.connection.progress() > before
    assert parsed == []
    stand.close()


@given(st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=8), st.data())
@settings(max_examples=150, deadline=None)
def test_every_cut_gives_the_same_body(events, data):
    text = b"".join(map(chunk, events)) + END
    cuts = sorted(data.draw(st.sets(st.integers(1, len(text) - 1), max_size=6)))
    reads = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    relay, scanner, sent = asyncio.run(relayed(reads))
    assert relay.fault is None
    assert unframed(sent) == b"".join(scanner.seen) == b"".join(events)
