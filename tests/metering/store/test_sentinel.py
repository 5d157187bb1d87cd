"""Real Sentinel processes, a primary and a replica: the ledger follows the primary through a failover."""

import asyncio
import time

import pytest

from metering.ledger.ledger import LedgerUnavailable
from metering.store.store import open_store
from tests.contracts.servers import Server, until
from tests.ledger_fixtures import RaisingLedger

PID = "psentinel"


class SentinelServer(Server):
    """The server binary, started as a Sentinel."""

    def __init__(self, folder, primary):
        super().__init__(
            folder,
            f"sentinel monitor main 127.0.0.1 {primary.port} 1",
            "sentinel down-after-milliseconds main 300",
            "sentinel failover-timeout main 2000",
            arguments=("--sentinel",),
        )


@pytest.fixture
def servers(tmp_path):
    primary = Server(tmp_path / "primary")
    replica = Server(tmp_path / "replica", f"replicaof 127.0.0.1 {primary.port}")
    until(lambda: replica.info("replication")["master_link_status"] == "up", "the replica")
    sentinel = SentinelServer(tmp_path / "sentinel", primary)
    until(lambda: _master(sentinel)["num-slaves"] == 1, "the Sentinel to know the replica")
    yield primary, replica, sentinel
    for server in (primary, replica, sentinel):
        server.kill()


def _master(sentinel):
    with sentinel.client() as client:
        return client.sentinel_master("main")


async def test_the_ledger_follows_the_primary(servers, tmp_path, make_record):
    primary, replica, sentinel = servers
    url = f"redis+sentinel://127.0.0.1:1,127.0.0.1:{sentinel.port}/main"  # the first one does not answer
    store = await open_store(url, data_dir=tmp_path)
    ledger = RaisingLedger(store, timeout=1)
    await ledger.load()
    await ledger.grant(PID, 100, "g")
    assert primary.info("keyspace")["db0"]["keys"] > 0
    until(lambda: replica.info("keyspace").get("db0", {}).get("keys", 0) > 0, "the replica")
    primary.kill()
    until(lambda: replica.info("replication")["role"] == "master", "the failover")
    account, deadline = None, time.monotonic() + 20
    while account is None:
        try:
            account = await ledger.account(PID)
        except LedgerUnavailable:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
    assert account.granted == 100
    await ledger.settle([make_record("r1", PID, charge=7)])
    assert (await ledger.account(PID)).spent == 7
    assert await store.client.ping()
    await ledger.close()
    await store.close()
