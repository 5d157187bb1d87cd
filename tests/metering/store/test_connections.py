"""A write to a connection that was reset is an error of the store, and redis-py tries again."""

from __future__ import annotations

import asyncio

import pytest
import uvloop
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as StoreConnectionError

from benchmarks.crash.stand import StoreServer
from metering.store.cluster import Cluster
from metering.store.connections import map_resets


async def reset_and_write(port: int) -> bool:
    client = Redis(host="127.0.0.1", port=port, protocol=2)
    map_resets(client)
    connection = await client.connection_pool.get_connection()
    connection._writer.transport.abort()  # as the loop does when it notices the reset
    with pytest.raises(StoreConnectionError):
        await connection.send_command("PING")
    await client.connection_pool.release(connection)
    again = await client.ping()
    await client.aclose()
    return bool(again)


def test_a_write_to_a_connection_that_was_reset(tmp_path) -> None:
    server = StoreServer(tmp_path / "store")
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            assert runner.run(asyncio.wait_for(reset_and_write(server.port), 30))
    finally:
        server.end()


@pytest.mark.parametrize("tls", [False, True])
def test_a_cluster_s_connections_and_those_of_its_nodes(tls) -> None:
    client = Cluster(host="127.0.0.1", port=1, ssl=tls)
    before = client.connection_kwargs["connection_class"]
    map_resets(client)
    kind = client.connection_kwargs["connection_class"]
    assert kind is not before
    assert issubclass(kind, before)
    assert {node.connection_class for node in client.startup_nodes} == {kind}
