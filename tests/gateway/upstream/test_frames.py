"""Chunks that pass without the parser: whatever the reads are, the client gets the same body, and so does the scanner."""

import asyncio
import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.relay import Relay
from gateway.upstream.connection import Connection
from metering.usage import Report

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
EVENTS = [b"data: one\n\n", b"data: \r\n two\n\n", b"d" * 300, b"x", b"data: [DONE]\n\n" * 40]


class Scanner:
    """Sees all, hides every event that holds ``one``."""

    def __init__(self, *, hide=False):
        self.seen = []
        self.hide = hide
        self.size = self.events = 0
        self.complete = self.failed = False
        self.at_boundary = True

    def feed(self, data):
        self.seen.append(bytes(data))
        return b"" if self.hide and b"one" in data else data

    def finish(self):
        return b""

    def report(self):
        return Report()


class Client:
    """A client's transport that keeps what it is given."""

    def __init__(self):
        self.written = []
        self.closing = False

    def write(self, data):
        assert not self.closing
        self.written.append(bytes(data))

    def is_closing(self):
        return self.closing


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


async def relayed(reads, *, hide=False, chunked=True, before=()):
    """What a client gets of an answer that the provider sends in just these reads."""
    loop = asyncio.get_running_loop()
    near, far = socket.socketpair()
    near.setblocking(False)
    scanner, client = Scanner(hide=hide), Client()
    connection = Connection(loop, near)
    relay = Relay(loop, connection, lambda _status, _headers: (scanner, True))
    connection.send([b"POST / HTTP/1.1\r\n\r\n"], relay)
    far.send(HEAD)
    await relay.ready
    relay.open(client, chunked=chunked)
    for read in reads:
        if connection.closed:
            break  # what is not HTTP was cut
        far.send(read)
        for _ in range(3):
            await asyncio.sleep(0)
    for _ in range(50):
        if relay.over:
            break
        await asyncio.sleep(0)
    connection.close()
    far.close()
    return relay, scanner, b"".join(client.written)


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
async def test_the_body_is_the_same_whatever_the_reads(reads, chunked):
    relay, scanner, sent = await relayed(reads, chunked=chunked)
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


@given(st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=8), st.data())
@settings(max_examples=150, deadline=None)
def test_every_cut_gives_the_same_body(events, data):
    text = b"".join(map(chunk, events)) + END
    cuts = sorted(data.draw(st.sets(st.integers(1, len(text) - 1), max_size=6)))
    reads = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    relay, scanner, sent = asyncio.run(relayed(reads))
    assert relay.fault is None
    assert unframed(sent) == b"".join(scanner.seen) == b"".join(events)
