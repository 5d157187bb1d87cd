"""The pool against a real listener: reuse, bounds, sweeps and turns."""

import asyncio
import socket
import struct

import pytest
import uvloop

from gateway.upstream.faults import Fault, UpstreamFault
from gateway.upstream.origin import Origin
from gateway.upstream.pool import Pool, Timeouts
from tests.gateway.upstream_peer import PATIENCE, REQUEST, Recorder, exchange, serve, until

CHUNK = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"


@pytest.fixture
async def peer():
    async with serve() as peer:
        yield peer


@pytest.fixture
async def make(peer):
    pools = []

    def make(timeouts=None, **options):
        pools.append(Pool(asyncio.get_running_loop(), timeouts or Timeouts(), **options))
        return pools[-1], Origin("127.0.0.1", peer.port)

    yield make
    for pool in pools:
        pool.close()


async def answered(pool, origin, peer):
    connection = await pool.acquire(origin)
    _, writer = await peer.next()
    await exchange(connection, writer, OK)
    return connection, writer


async def test_an_idle_connection_is_used_again(make, peer):
    pool, origin = make()
    connection, _ = await answered(pool, origin, peer)
    assert pool.count() == (1, 1)
    assert await pool.acquire(origin) is connection
    assert pool.count() == (1, 0)


async def test_the_newest_goes_first(make, peer):
    pool, origin = make()
    first, second = await pool.acquire(origin), await pool.acquire(origin)
    for connection in (first, second):
        _, writer = await peer.next()
        await exchange(connection, writer, OK)
    assert pool.reuse(origin) is second
    assert pool.reuse(origin) is first
    assert pool.reuse(origin) is None


async def test_origins_do_not_share(make, peer):
    pool, origin = make()
    connection, _ = await answered(pool, origin, peer)
    other = Origin("127.0.0.1", peer.port)
    assert pool.reuse(other) is None
    assert await pool.acquire(other) is not connection


async def test_one_that_the_peer_closed_is_not_handed_out(make, peer):
    pool, origin = make()
    connection, writer = await answered(pool, origin, peer)
    writer.close()
    await until(connection.stale)
    assert pool.count() == (0, 0)
    assert await pool.acquire(origin) is not connection


async def test_fresh_is_never_a_reused_one(make, peer):
    pool, origin = make()
    connection, _ = await answered(pool, origin, peer)
    assert await pool.acquire(origin, fresh=True) is not connection


async def test_fresh_at_the_limit_closes_an_idle_one(make, peer):
    pool, origin = make(limit=1)
    connection, _ = await answered(pool, origin, peer)
    fresh = await pool.acquire(origin, fresh=True)
    assert connection.closed
    assert fresh is not connection


async def test_at_the_limit_a_request_waits_for_its_turn(make, peer):
    pool, origin = make(limit=1)
    first = await pool.acquire(origin)
    waiting = asyncio.get_running_loop().create_task(pool.acquire(origin))
    await asyncio.sleep(0)
    assert not waiting.done()
    _, writer = await peer.next()
    await exchange(first, writer, OK)
    async with asyncio.timeout(PATIENCE):
        assert await waiting is first


async def test_a_turn_given_to_a_request_that_has_gone_is_passed_on(make, peer):
    pool, origin = make(limit=1)
    first = await pool.acquire(origin)
    loop = asyncio.get_running_loop()
    gone, waiting = loop.create_task(pool.acquire(origin)), loop.create_task(pool.acquire(origin))
    await asyncio.sleep(0)
    first.close()  # gives the turn to `gone`, which leaves before it runs
    gone.cancel()
    async with asyncio.timeout(PATIENCE):
        assert not (await waiting).closed


async def test_a_full_pool_is_a_fault_within_the_connect_timeout(make, peer):
    pool, origin = make(Timeouts(connect=1.0), limit=1)
    await pool.acquire(origin)
    with pytest.raises(UpstreamFault) as caught:
        await pool.acquire(origin)
    assert caught.value.fault is Fault.POOL_FULL


async def test_more_idle_ones_than_wanted_are_closed(make, peer):
    pool, origin = make(keep_idle=1)
    connections = [await pool.acquire(origin) for _ in range(3)]
    for connection in connections:
        _, writer = await peer.next()
        await exchange(connection, writer, OK)
    assert pool.count() == (1, 1)


async def test_an_idle_connection_makes_room_for_another_origin(make, peer):
    pool, origin = make(limit=2, capacity=2)
    first, _ = await answered(pool, origin, peer)
    busy = await pool.acquire(origin, fresh=True)
    assert await pool.acquire(Origin("127.0.0.1", peer.port))
    assert (first.closed, busy.closed) == (True, False)
    assert pool.count() == (2, 0)


@pytest.mark.parametrize(
    ("begun", "timeouts", "fault"),
    [
        (b"", Timeouts(first_byte=0.02), Fault.FIRST_BYTE_TIMEOUT),
        (OK[:-1], Timeouts(idle=0.02), Fault.IDLE_TIMEOUT),
    ],
)
async def test_the_sweep_ends_what_hangs(make, peer, begun, timeouts, fault):
    pool, origin = make(timeouts)
    connection = await pool.acquire(origin)
    _, writer = await peer.next()
    sink = Recorder()
    connection.send([REQUEST], sink)
    writer.write(begun)
    assert (await sink.wait()).fault is fault
    assert pool.count() == (0, 0)


async def test_to_look_at_a_silent_connection_is_no_progress(make, peer):
    pool, origin = make()
    connection = await pool.acquire(origin)
    _, writer = await peer.next()
    connection.send([REQUEST], Recorder())
    writer.write(CHUNK)
    await until(lambda: connection.received)
    called = []
    connection._reader = lambda: called.append(1)  # one that counts its calls as progress must not be called
    before = connection.progress()
    for _ in range(3):
        connection.look()
    assert (called, connection.progress()) == ([], before)


async def test_a_failed_connect_leaves_no_place_taken(make, peer):
    pool, origin = make(limit=1)
    nowhere = Origin("127.0.0.1", 1)
    for _ in range(3):
        with pytest.raises(UpstreamFault) as caught:
            await pool.acquire(nowhere)
        assert caught.value.fault is Fault.CONNECT
    assert await pool.acquire(origin)


async def test_close_closes_busy_ones(make, peer):
    pool, origin = make()
    connection = await pool.acquire(origin)
    connection.send([REQUEST], Recorder())
    pool.close()
    assert connection.closed


async def data_and_a_reset_at_once() -> Recorder:
    """The answer's head, a chunk and a reset that the loop sees together, on a connection of a pool."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        pool = Pool(loop, Timeouts())
        connecting = asyncio.ensure_future(  # noqa: TID251 - awaited below
            pool.acquire(Origin("127.0.0.1", server.getsockname()[1]))
        )
        peer, _ = await loop.sock_accept(server)
        connection, sink = await connecting, Recorder()
        connection.send([REQUEST], sink)
        assert await loop.sock_recv(peer, 1024) == REQUEST
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.send(CHUNK)
        peer.close()
        await sink.wait()
        pool.close()
    return sink


def test_a_reset_that_came_together_with_data_is_noticed():
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(data_and_a_reset_at_once())
    assert (found.status, found.data, found.fault) == (200, b"hello", Fault.CLOSED)
