"""One connection to a provider, against a peer that does to it what providers and networks do."""

import asyncio
import gc
import socket
import ssl

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.simulator import make_certificates
from gateway.upstream.connection import MAX_HEADER_BYTES, SLICE, WAITING, Connection
from gateway.upstream.faults import Fault, UpstreamFault
from gateway.upstream.origin import Origin, tls_context
from tests.gateway.upstream_peer import PATIENCE, REQUEST, Recorder, exchange, serve, until

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
BY_CLOSE = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\nhello"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(params=["plain", "tls"])
async def link(request, certificates):
    """A connection, its peer's reader and its peer's writer."""
    tls = request.param == "tls"
    async with serve(certificates.server_context() if tls else None) as peer:
        origin = Origin("127.0.0.1", peer.port, tls_context(certificates.ca_file) if tls else None)
        connection = await origin.connect(asyncio.get_running_loop(), PATIENCE)
        reader, writer = await peer.next()
        yield connection, reader, writer
        connection.close()


REPEATED = (
    b"HTTP/1.1 200 OK\r\nserver: a\r\nserver: b\r\nSERVER: c\r\netag: d\r\netag: e\r\n" + OK.partition(b"\r\n")[2]
)


@pytest.mark.parametrize(("answer", "body"), [(OK, b"hello"), (CHUNKED, b"hello world"), (REPEATED, b"hello")])
async def test_an_answer_with_an_end_leaves_the_connection_open(link, answer, body):
    connection, reader, writer = link
    for number in range(1, 4):
        sink = await exchange(connection, writer, answer)
        assert (sink.status, sink.data, sink.fault, sink.ended) == (200, body, None, True)
        assert connection.requests == number
        assert not connection.closed
        assert not connection.stale()
        assert await reader.readexactly(len(REQUEST)) == REQUEST
        assert connection.written


@pytest.mark.parametrize("answer", [OK, CHUNKED])
async def test_byte_by_byte(link, answer):
    connection, _, writer = link
    sink = Recorder()
    connection.send([REQUEST], sink)
    for index in range(len(answer)):
        writer.write(answer[index : index + 1])
        await writer.drain()
        await asyncio.sleep(0)
    await sink.wait()
    assert sink.ended
    assert sink.data in {b"hello", b"hello world"}


@pytest.mark.parametrize("answer", [OK, CHUNKED])
async def test_a_cut_anywhere_is_a_fault_and_never_an_end(certificates, answer):
    loop = asyncio.get_running_loop()
    async with serve() as peer:
        for cut in range(len(answer)):
            connection = await Origin("127.0.0.1", peer.port).connect(loop, PATIENCE)
            _, writer = await peer.next()
            sink = Recorder()
            connection.send([REQUEST], sink)
            writer.write(answer[:cut])
            writer.close()
            await sink.wait()
            assert (sink.fault, sink.ended) == (Fault.CLOSED, False)
            assert connection.closed


async def test_a_reset_inside_an_answer_is_a_fault(link):
    connection, _, writer = link
    sink = Recorder()
    connection.send([REQUEST], sink)
    writer.write(CHUNKED[:-10])
    await sink.wait_for_data()
    writer.transport.abort()
    assert (await sink.wait()).fault is Fault.CLOSED


async def test_a_body_without_length_ends_with_the_connection(link):
    connection, _, writer = link
    sink = Recorder()
    connection.send([REQUEST], sink)
    writer.write(BY_CLOSE)
    await sink.wait_for_data()
    assert not sink.over.is_set()
    writer.close()  # over TLS this says close_notify
    await sink.wait()
    assert (sink.data, sink.ended) == (b"hello", True)
    assert connection.closed


async def test_over_tls_an_end_without_close_notify_is_a_cut(certificates):
    async with serve(certificates.server_context()) as peer:
        origin = Origin("127.0.0.1", peer.port, tls_context(certificates.ca_file))
        connection = await origin.connect(asyncio.get_running_loop(), PATIENCE)
        _, writer = await peer.next()
        sink = Recorder()
        connection.send([REQUEST], sink)
        writer.write(BY_CLOSE)
        await sink.wait_for_data()
        raw = writer.get_extra_info("socket")
        raw.shutdown(socket.SHUT_WR)  # below TLS: the network, not the peer, ends it
        await sink.wait()
        assert (sink.fault, sink.ended) == (Fault.CLOSED, False)


@pytest.mark.parametrize(
    "informational", [b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"]
)
@pytest.mark.parametrize("count", [1, 3])
async def test_informational_answers_are_skipped(link, informational, count):
    connection, _, writer = link
    sink = await exchange(connection, writer, informational * count + CHUNKED)
    assert (sink.heads, sink.status, sink.data) == (1, 200, b"hello world")
    assert b"link" not in dict(sink.headers)
    assert not connection.closed


@pytest.mark.parametrize("surplus", [b"x", b"\r\nx", OK, CHUNKED, b"HTTP/1.1 200 OK\r\n"])
@pytest.mark.parametrize("answer", [OK, CHUNKED])
async def test_surplus_after_an_answer_closes_and_is_never_delivered(link, answer, surplus):
    connection, _, writer = link
    sink = await exchange(connection, writer, answer + surplus)
    assert sink.ended
    assert sink.data in {b"hello", b"hello world"}
    assert sink.heads == 1
    assert connection.closed
    with pytest.raises(UpstreamFault):
        connection.send([REQUEST], Recorder())


@pytest.mark.parametrize("junk", [b"x", OK])
async def test_bytes_on_an_idle_connection_close_it(link, junk):
    connection, _, writer = link
    await exchange(connection, writer, OK)
    writer.write(junk)
    await until(lambda: connection.closed)


async def test_an_idle_connection_that_the_peer_ends_is_closed(link):
    connection, _, writer = link
    await exchange(connection, writer, OK)
    writer.close()
    await until(lambda: connection.closed)
    assert connection.stale()


async def test_stale_sees_what_the_loop_has_not_told_yet():
    loop = asyncio.get_running_loop()
    for act in (lambda sock: sock.close(), lambda sock: sock.send(b"x")):
        near, far = socket.socketpair()
        near.setblocking(False)
        connection = Connection(loop, near)
        assert not connection.stale()
        act(far)
        assert connection.stale()
        assert connection.closed
        far.close()


@pytest.mark.parametrize("token", [b"connection: close\r\n", b"Connection: Close\r\n"])
async def test_a_connection_that_says_close_is_not_reused(link, token):
    connection, _, writer = link
    sink = await exchange(connection, writer, OK.replace(b"\r\n\r\n", b"\r\n" + token + b"\r\n"))
    assert sink.ended
    assert connection.closed


async def test_http_1_0_is_not_reused(link):
    connection, _, writer = link
    assert (await exchange(connection, writer, OK.replace(b"1.1", b"1.0"))).data == b"hello"
    assert connection.closed


@pytest.mark.parametrize("junk", [b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\x15\x03\x01\0\2\2"])
async def test_what_is_not_http_is_a_fault(link, junk):
    connection, _, writer = link
    sink = await exchange(connection, writer, junk)
    assert (sink.fault, sink.heads) == (Fault.PROTOCOL, 0)
    assert connection.closed


@pytest.mark.parametrize("size", [b"zz", b"-5", b"5 5"])
async def test_broken_chunks_are_a_fault_after_what_was_good(link, size):
    connection, _, writer = link
    sink = await exchange(connection, writer, CHUNKED[:-18] + size + b"\r\nworld\r\n")
    assert sink.fault is Fault.PROTOCOL
    assert sink.data == b"hello"


@pytest.mark.parametrize("fields", [1, 70])
@pytest.mark.parametrize("ended", [True, False])
async def test_headers_are_bounded(link, fields, ended):
    connection, _, writer = link
    size = (MAX_HEADER_BYTES + 100) // fields
    headers = b"".join(b"x-%d: %b\r\n" % (number, b"y" * size) for number in range(fields))
    sink = await exchange(connection, writer, b"HTTP/1.1 200 OK\r\n" + headers + (b"\r\n" if ended else b""))
    assert (sink.fault, sink.heads) == (Fault.PROTOCOL, 0)


async def test_headers_within_the_bound_and_a_large_body_in_one_piece(link):
    connection, _, writer = link
    body = b"z" * 500_000
    head = b"HTTP/1.1 200 OK\r\nx-big: %b\r\ncontent-length: %d\r\n\r\n" % (b"y" * 50_000, len(body))
    sink = await exchange(connection, writer, head + body)
    assert (sink.ended, sink.data) == (True, body)


async def test_everything_that_waits_inside_tls_is_read(certificates):
    """Many small records that arrive together: the descriptor stays quiet after the first read."""
    async with serve(certificates.server_context()) as peer:
        origin = Origin("127.0.0.1", peer.port, tls_context(certificates.ca_file))
        connection = await origin.connect(asyncio.get_running_loop(), PATIENCE)
        _, writer = await peer.next()
        sink = Recorder()
        connection.send([REQUEST], sink)
        connection.pause()
        body = b"q" * 16_000
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (20 * len(body)))
        for _ in range(20):
            writer.write(body)
        await writer.drain()
        connection.resume()
        assert (await sink.wait()).data == body * 20


async def test_pause_stops_reading_and_resume_goes_on(link):
    connection, _, writer = link
    sink = Recorder()
    connection.send([REQUEST], sink)
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4000000\r\n\r\n" + b"a" * 100)
    await sink.wait_for_data()
    connection.pause()
    connection.pause()
    assert connection.paused
    writer.write(b"a" * 3_999_900)
    for _ in range(200):
        await asyncio.sleep(0)
    assert len(sink.data) < 4_000_000
    seen = len(sink.data)
    connection.resume()
    connection.resume()
    await sink.wait()
    assert seen < len(sink.data) == 4_000_000
    assert not connection.closed


async def test_a_pause_inside_the_callback_takes_effect_at_once(link):
    connection, _, writer = link

    class Pausing(Recorder):
        def on_data(self, data):
            super().on_data(data)
            connection.pause()

    sink = Pausing()
    connection.send([REQUEST], sink)
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 3000000\r\n\r\n" + b"a" * 3_000_000)
    await sink.wait_for_data()
    turns = 0
    while not sink.over.is_set():
        assert connection.paused
        before = sink.pieces
        for _ in range(5):
            await asyncio.sleep(0)
        assert sink.pieces == before
        sink.some.clear()
        connection.resume()
        turns += 1
        await until(lambda: sink.some.is_set() or sink.over.is_set())
    assert sink.data == b"a" * 3_000_000
    assert turns > 1


async def test_a_large_body_goes_out_in_slices_while_an_early_answer_is_read(link):
    connection, _, writer = link
    sink = Recorder()
    body = b"b" * (8 << 20)
    connection.send([REQUEST, body], sink)
    assert connection.sent <= SLICE  # the loop gets its turn between slices
    assert not connection.written
    writer.write(OK.replace(b"200 OK", b"413 Too Large"))
    await sink.wait()
    assert (sink.status, sink.data) == (413, b"hello")
    assert connection.closed  # the rest of the body was never sent
    assert connection.unsent > 0


async def test_a_large_body_arrives_whole(link):
    connection, reader, writer = link
    sink = Recorder()
    body = bytes(range(256)) * 20_000
    connection.send([REQUEST, body], sink)
    async with asyncio.timeout(PATIENCE):
        got = await reader.readexactly(len(REQUEST) + len(body))
    assert got == REQUEST + body
    writer.write(OK)
    await sink.wait()
    assert connection.written
    assert not connection.closed


async def test_an_answer_that_came_before_a_write_failed_is_read():
    near, far = socket.socketpair()
    near.setblocking(False)
    connection = Connection(asyncio.get_running_loop(), near)
    far.sendall(OK.replace(b"200 OK", b"413 Too Large"))
    far.close()
    sink = Recorder()
    connection.send([REQUEST, b"x" * 1_000_000], sink)
    await sink.wait()
    assert (sink.status, sink.data, sink.ended) == (413, b"hello", True)


async def test_a_write_that_no_byte_of_was_taken_tells_so():
    near, far = socket.socketpair()
    near.setblocking(False)
    connection = Connection(asyncio.get_running_loop(), near)
    far.close()
    sink = Recorder()
    connection.send([REQUEST], sink)
    assert (await sink.wait()).fault is Fault.CLOSED
    assert connection.sent == 0
    assert not connection.written


async def test_after_close_the_sink_hears_nothing(link):
    connection, _, writer = link
    sink = Recorder()
    closed = []
    connection.on_closed = closed.append
    connection.send([REQUEST], sink)
    writer.write(CHUNKED[:-10])
    await sink.wait_for_data()
    before = sink.data
    connection.close()
    connection.close()
    writer.write(CHUNKED[-10:])
    for _ in range(20):
        await asyncio.sleep(0)
    assert (sink.data, sink.over.is_set()) == (before, False)
    assert closed == [connection]


async def test_a_timeout_says_which(link):
    connection, _, _ = link
    sink = Recorder()
    connection.send([REQUEST], sink)
    assert connection.state is WAITING
    connection.timed_out()
    assert sink.fault is Fault.FIRST_BYTE_TIMEOUT


async def test_a_timeout_inside_a_body_is_an_idle_one(link):
    connection, _, writer = link
    sink = Recorder()
    connection.send([REQUEST], sink)
    writer.write(CHUNKED[:-10])
    await sink.wait_for_data()
    connection.timed_out()
    assert sink.fault is Fault.IDLE_TIMEOUT


def test_a_fault_carries_no_text_of_the_peer():
    assert str(UpstreamFault(Fault.PROTOCOL)) == "protocol"


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), body=st.binary(max_size=400), chunked=st.booleans())
def test_any_cut_gives_the_same_body(data, body, chunked):
    """The parser sees the fragments that the network made; what the sink hears is the same."""
    if chunked:
        sizes = data.draw(st.lists(st.integers(1, 50), max_size=20))
        parts, rest = [], body
        for size in sizes:
            if rest:
                parts.append(rest[:size])
                rest = rest[size:]
        parts += [rest] if rest else []
        wire = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
        wire += b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    else:
        wire = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(wire) - 1), max_size=12)))

    async def run():
        near, far = socket.socketpair()
        near.setblocking(False)
        connection = Connection(asyncio.get_running_loop(), near)
        sink = Recorder()
        connection.send([REQUEST], sink)
        for low, high in zip([0, *cuts], [*cuts, len(wire)], strict=True):
            far.sendall(wire[low:high])
            connection.readable()
        await sink.wait()
        assert (sink.data, sink.ended, connection.closed) == (body, True, False)
        connection.close()
        far.close()

    asyncio.run(run())


@pytest.mark.parametrize("tls", [False, True])
async def test_a_closed_connection_is_no_work_for_the_collector(certificates, tls):
    async with serve(certificates.server_context() if tls else None) as peer:
        origin = Origin("127.0.0.1", peer.port, tls_context(certificates.ca_file) if tls else None)
        gc.collect()
        gc.disable()
        try:
            connection = await origin.connect(asyncio.get_running_loop(), PATIENCE)
            _, writer = await peer.next()
            connection.on_closed = connection.on_ready = lambda one, _self=connection: one.closed
            await exchange(connection, writer, OK)
            connection.close()
            del connection
            await asyncio.sleep(0)  # the loop lets go of its callbacks
            assert [one for one in gc.get_objects() if type(one) is Connection] == []
        finally:
            gc.enable()


async def test_the_session_is_offered_again(certificates):
    async with serve(certificates.server_context()) as peer:
        origin = Origin("127.0.0.1", peer.port, tls_context(certificates.ca_file))
        loop = asyncio.get_running_loop()
        first = await origin.connect(loop, PATIENCE)
        _, writer = await peer.next()
        await exchange(first, writer, OK)
        assert not first.stale()  # the tickets were read and are not bytes of an answer
        origin.session = first.session
        second = await origin.connect(loop, PATIENCE)
        _, writer = await peer.next()
        await exchange(second, writer, OK)
        assert isinstance(second._sock, ssl.SSLSocket)
        assert second._sock.session_reused
        first.close()
        second.close()


@pytest.mark.parametrize(
    "sizes",
    [
        (100, 10, 20, 700_000, 30, 5),  # short ones before and after a long one
        (100, 300_000, 1, 300_000, 0, 9_000, 2),
        (5_000, 262_144, 262_143, 1),
        (262_144, 10),
        (1, 70_000),
    ],
)
async def test_the_parts_of_a_body_arrive_in_their_order(link, sizes):
    connection, reader, writer = link
    parts = [bytes([number + 65]) * size for number, size in enumerate(sizes)]
    sink = Recorder()
    gone = []
    connection.send([parts[0], *map(memoryview, parts[1:])], sink, lambda: gone.append(connection.unsent))
    async with asyncio.timeout(PATIENCE):
        got = await reader.readexactly(sum(sizes))
    assert got == b"".join(parts)
    writer.write(OK)
    await sink.wait()
    assert connection.written
    assert gone == [0]
