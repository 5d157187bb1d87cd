"""What the simulator does to a connection on demand, seen byte by byte from a plain socket."""

import asyncio
import gzip
import itertools
import json
import socket

import orjson
import pytest

from benchmarks.simulator import Simulator

HEAD = b"POST %b HTTP/1.1\r\nHost: sim\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


@pytest.fixture
async def sim():
    async with asyncio.timeout(60):
        async with Simulator.start(record=True) as simulator:
            yield simulator


def request(controls="", *, stream=True, path=b"/v1/chat/completions"):
    body = orjson.dumps({"model": f"gpt-4o+{controls}" if controls else "gpt-4o", "stream": stream, "messages": []})
    return HEAD % (path, len(body)) + body


async def exchange(sim, data):
    """Send a request and read until the simulator closes, or until the end of a chunked or measured body."""
    reader, writer = await asyncio.open_connection(sim.host, sim.port)
    writer.write(data)
    received = await reader.read(-1)
    writer.close()
    return received


async def head_of(reader):
    return await reader.readuntil(b"\r\n\r\n")


async def chunks_of(reader):
    chunks = []
    while size := int(await reader.readline(), 16):
        chunks.append(await reader.readexactly(size))
        assert await reader.readexactly(2) == b"\r\n"
    assert await reader.readexactly(2) == b"\r\n"
    return chunks


async def streamed(sim, controls):
    reader, writer = await asyncio.open_connection(sim.host, sim.port)
    writer.write(request(controls))
    head = await head_of(reader)
    chunks = await chunks_of(reader)
    writer.close()
    return head, chunks


async def test_one_event_is_one_chunk(sim):
    head, chunks = await streamed(sim, "chunks=3")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"content-type: text/event-stream; charset=utf-8" in head.lower()
    assert len(chunks) == 6  # role, three of content, finish, [DONE]
    assert all(chunk.startswith(b"data: ") and chunk.endswith(b"\n\n") for chunk in chunks)
    assert chunks[-1] == b"data: [DONE]\n\n"


@pytest.mark.parametrize("size", [400, 1000])
async def test_content_events_have_the_size_asked_for(sim, size):
    _, chunks = await streamed(sim, f"chunks=4+size={size}")
    assert [len(chunk) for chunk in chunks[1:5]] == [size] * 4


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (b"/v1/messages", {"max_tokens": 50}),
        (b"/v1/responses", {}),
        (b"/v1beta/models/gemini+chunks=5+size=400:streamGenerateContent?alt=sse", {}),
    ],
)
async def test_size_holds_in_every_dialect(sim, path, body):
    data = orjson.dumps({"model": "m+chunks=5+size=400", "stream": True} | body)
    reader, writer = await asyncio.open_connection(sim.host, sim.port)
    writer.write(HEAD % (path, len(data)) + data)
    await head_of(reader)
    chunks = await chunks_of(reader)
    writer.close()
    content = [chunk for chunk in chunks if b"sim-answer-0" in chunk][:5]
    assert len(content) == 5
    assert all(abs(len(chunk) - 400) < 12 for chunk in content)


async def test_events_are_due_one_pace_apart(sim, monkeypatch):
    slots = []
    at = sim.wheel.at
    monkeypatch.setattr(sim.wheel, "at", lambda slot, paced: (slots.append(slot), at(slot, paced)))
    await streamed(sim, "chunks=5+pace=3ms")
    assert [after - before for before, after in itertools.pairwise(slots)] == [3, 3, 3, 3]
    slots.clear()
    await streamed(sim, "chunks=9+pace=1.25ms")
    assert slots[-1] - slots[0] == 10  # eight paces of 1.25 ms in whole ticks


async def test_controls_in_the_characters_of_a_catalog(sim):
    data = orjson.dumps({"model": "gpt-4o@chunks-3@in-9@fault-coalesced.surplus", "stream": True})
    reader, writer = await asyncio.open_connection(sim.host, sim.port)
    writer.write(HEAD % (b"/v1/chat/completions", len(data)) + data)
    await head_of(reader)
    await chunks_of(reader)
    assert (await reader.readexactly(8)) == b"HTTP/1.1"
    assert (sim.bills[0].model, sim.bills[0].events, sim.bills[0].input) == ("gpt-4o", 3, 9)
    writer.close()


async def test_keep_alive_and_pipelining(sim):
    reader, writer = await asyncio.open_connection(sim.host, sim.port)
    writer.write(request("chunks=2+first=20ms") + request("chunks=3"))
    await head_of(reader)
    assert len(await chunks_of(reader)) == 5
    await head_of(reader)
    assert len(await chunks_of(reader)) == 6
    writer.close()
    await sim.until(lambda stats: stats.connections_open == 0)
    assert (sim.stats.requests, sim.stats.completed, sim.stats.connections_total) == (2, 2, 1)


async def test_a_reader_that_stops_stops_the_production(sim):
    sock = socket.create_connection((sim.host, sim.port))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.sendall(request("chunks=400000+size=300"))
    await sim.until(lambda stats: stats.active == 1)
    connection = next(iter(sim.connections))
    while not connection.parked:
        await asyncio.sleep(0)
    produced = sim.bills[0].events
    assert produced < 400000
    sock.close()
    await sim.until(lambda stats: stats.aborted == 1)
    assert sim.bills[0].outcome == "aborted"
    assert sim.stats.tokens_out == sim.bills[0].output


@pytest.mark.parametrize("fault", ["hang_headers", "hang_mid"])
async def test_hanging_ends_when_the_peer_leaves(sim, fault):
    reader, writer = await asyncio.open_connection(sim.host, sim.port)
    writer.write(request(f"fault={fault}+at=2"))
    await sim.until(lambda stats: stats.active == 1)
    if fault == "hang_mid":
        received = await reader.readuntil(b"sim-answer-00001")
        assert b"sim-answer-00002" not in received
    writer.close()
    await sim.until(lambda stats: stats.aborted == 1)


@pytest.mark.parametrize("fault", ["refuse", "reset_before"])
async def test_no_answer_at_all(sim, fault):
    try:
        received = await exchange(sim, request(f"fault={fault}"))
    except ConnectionError:
        received = b""
    assert received == b""
    assert sim.stats.faulted == 1


async def test_reset_in_the_middle(sim):
    with pytest.raises(ConnectionResetError):
        await exchange(sim, request("fault=reset_mid+at=2"))
    assert sim.bills[0].events == 3  # the third was produced, and not sent


@pytest.mark.parametrize("fault", ["close_mid", "ragged_mid"])
async def test_close_at_an_event_boundary_lacks_the_last_chunk(sim, fault):
    received = await exchange(sim, request(f"fault={fault}+at=2"))
    assert received.endswith(b"}\n\n\r\n")
    assert not received.endswith(b"0\r\n\r\n")
    assert received.count(b"sim-answer-") == 2


async def test_cut_inside_an_event(sim):
    received = await exchange(sim, request("fault=cut_event+at=2"))
    assert not received.rstrip(b"\r\n").endswith(b"}")
    assert received.count(b"data: ") == 4


async def test_faults_strike_json_answers_too(sim):
    received = await exchange(sim, request("fault=close_mid", stream=False))
    assert b'"id"' in received
    assert not received.endswith(b"0\r\n\r\n")
    reader, writer = await asyncio.open_connection(sim.host, sim.port)
    writer.write(request("fault=malformed", stream=False))
    await head_of(reader)
    body = b"".join(await chunks_of(reader))
    with pytest.raises(json.JSONDecodeError):
        json.loads(body)
    writer.close()


async def test_malformed_event_keeps_its_framing(sim):
    _, chunks = await streamed(sim, "chunks=4+fault=malformed+at=2")
    broken = []
    for chunk in chunks[:-1]:
        try:
            json.loads(chunk.removeprefix(b"data: "))
        except json.JSONDecodeError:
            broken.append(chunk)
    assert len(broken) == 1
    assert broken[0].endswith(b"\n\n")


@pytest.mark.parametrize("fault", ["split", "coalesced", "slow_bytes", "early_hints", "huge_headers"])
async def test_form_of_the_answer_does_not_change_its_content(sim, fault):
    _, plain = await streamed(sim, "chunks=8")
    reader, writer = await asyncio.open_connection(sim.host, sim.port)
    writer.write(request(f"chunks=8+fault={fault}"))
    head = await reader.readuntil(b"\r\n\r\n") if fault != "huge_headers" else await long_head(reader)
    if fault == "early_hints":
        assert head.startswith(b"HTTP/1.1 103 Early Hints\r\n")
        head = await head_of(reader)
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    chunks = await chunks_of(reader)
    writer.close()
    assert events(chunks) == events(plain)
    if fault == "split":
        assert len(chunks) > len(plain)
    if fault == "coalesced":
        assert len(chunks) < len(plain)
    if fault == "huge_headers":
        assert len(head) > 65536


async def long_head(reader):
    lines = []
    while (line := await reader.readline()) != b"\r\n":
        lines.append(line)
    return b"".join(lines)


def events(chunks):
    """The deltas of a stream: ids and times differ between two requests."""
    lines = b"".join(chunks).removesuffix(b"data: [DONE]\n\n").split(b"\n\n")
    return [json.loads(line.removeprefix(b"data: "))["choices"] for line in lines if line]


@pytest.mark.parametrize("stream", [False, True])
async def test_gzip(sim, stream):
    reader, writer = await asyncio.open_connection(sim.host, sim.port)
    writer.write(request("chunks=3+fault=gzip", stream=stream))
    assert b"Content-Encoding: gzip\r\n" in await head_of(reader)
    text = gzip.decompress(b"".join(await chunks_of(reader)))
    assert text.count(b"sim-answer") == 3
    writer.close()


@pytest.mark.parametrize(("fault", "version"), [("no_length", b"HTTP/1.1"), ("http10", b"HTTP/1.0")])
@pytest.mark.parametrize("stream", [False, True])
async def test_body_delimited_by_the_end_of_the_connection(sim, fault, version, stream):
    received = await exchange(sim, request(f"chunks=3+fault={fault}", stream=stream))
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(version)
    assert b"transfer-encoding" not in head.lower()
    assert b"content-length" not in head.lower()
    if stream:
        assert body.endswith(b"data: [DONE]\n\n")
    else:
        assert json.loads(body)["usage"]["completion_tokens"] == 3


async def test_big_answer_and_stated_length(sim):
    reader, writer = await asyncio.open_connection(sim.host, sim.port)
    writer.write(request("fault=big+kib=300+length=1", stream=False))
    head = await head_of(reader)
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    assert length > 300 * 1024
    assert json.loads(await reader.readexactly(length))
    writer.close()


async def test_surplus_follows_the_answer(sim):
    reader, writer = await asyncio.open_connection(sim.host, sim.port)
    writer.write(request("chunks=1+fault=surplus"))
    await head_of(reader)
    await chunks_of(reader)
    assert (await reader.readexactly(15)).startswith(b"HTTP/1.1 200 OK")
    writer.close()


async def test_persistent_connection_that_closes_anyway(sim):
    received = await exchange(sim, request("chunks=1+fault=close_after"))
    assert b"Connection: keep-alive\r\n" in received
    assert received.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("default", [False, True])
async def test_413_before_the_body_was_sent(sim, default):
    if default:
        sim.set_defaults(fault="early_413")
    reader, writer = await asyncio.open_connection(sim.host, sim.port)
    writer.write(HEAD % (b"/v1/chat/completions", 10_000_000))
    if not default:
        writer.write(b'{"model":"gpt-4o+fault=early_413","messages":[')
    head = await head_of(reader)
    assert head.startswith(b"HTTP/1.1 413 ")
    assert b"Connection: close" in head
    writer.close()


async def test_refusing_at_accept_and_a_closed_port(sim):
    sim.set_defaults(fault="refuse")
    reader, _ = await asyncio.open_connection(sim.host, sim.port)
    assert await reader.read(1) == b""
    sim.restore_defaults()
    await sim.refuse()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(sim.host, sim.port)
    await sim.listen()
    assert len((await streamed(sim, "chunks=1"))[1]) == 4


async def test_a_default_fault_strikes_so_many_times(sim):
    sim.set_defaults(fault="503", times=2)
    statuses = []
    for _ in range(3):
        reader, writer = await asyncio.open_connection(sim.host, sim.port)
        writer.write(request(stream=False))
        statuses.append((await head_of(reader)).split()[1])
        writer.close()
    assert statuses == [b"503", b"503", b"200"]


async def test_an_error_after_the_opening_events_comes_before_any_output(sim):
    reader, writer = await asyncio.open_connection(sim.host, sim.port)
    writer.write(request("fault=error_early", path=b"/v1/messages"))
    await head_of(reader)
    text = b"".join(await chunks_of(reader))
    writer.close()
    assert text.startswith(b"event: message_start")
    assert b"event: error" in text
    assert b"content_block_delta" not in text


async def test_a_fault_strikes_a_share_of_the_requests(sim):
    statuses = []
    for _ in range(20):
        reader, writer = await asyncio.open_connection(sim.host, sim.port)
        writer.write(request("fault=503+share=10", stream=False))
        statuses.append((await head_of(reader)).split()[1])
        writer.close()
    assert statuses.count(b"503") == 2


async def test_split_counts_as_billed(sim):
    await streamed(sim, "chunks=7+in=1000+cached=400+out=70+thinking=3")
    bill = sim.bills[0]
    assert (bill.input, bill.cache_read, bill.output, bill.reasoning, bill.events) == (1000, 400, 73, 3, 7)
    assert (sim.stats.tokens_in, sim.stats.tokens_out, sim.stats.events) == (1000, 73, 7)
    sim.reset()
    assert sim.stats.requests == 0
    assert sim.bills == []


async def test_recording_keeps_what_arrived(sim):
    await streamed(sim, "chunks=1")
    recorded = sim.requests[0]
    assert (recorded.method, recorded.target) == ("POST", "/v1/chat/completions")
    assert recorded.header("host") == "sim"
    assert orjson.loads(recorded.body)["model"] == "gpt-4o+chunks=1"


@pytest.mark.parametrize("controls", ["mark=planted", "mark=planted+fault=429"])
async def test_a_mark_is_in_answers_and_in_errors(sim, controls):
    received = await exchange(
        sim, request(controls, stream=False).replace(b"\r\nContent-Type", b"\r\nConnection: close\r\nContent-Type")
    )
    assert b"planted" in received
    assert b"sim-answer" not in received
