import asyncio
import itertools
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

import pytest

from metering.embedded import Embedded
from metering.ledger import Ledger
from metering.store import open_store
from metering.usage import COUNTS, UsageRecord
from tests.contracts.servers import make_cluster

REDIS = shutil.which("redis-server")


@pytest.fixture(scope="session")
def folder():
    with tempfile.TemporaryDirectory(prefix="cgx-contract-") as name:
        yield Path(name)


@pytest.fixture(scope="session")
def embedded_url(folder):
    user = asyncio.run(Embedded.attach(folder))
    yield "embedded:"
    asyncio.run(user._stop())  # whoever still uses it: the tests are over
    asyncio.run(user.detach())


@pytest.fixture(scope="session")
def redis_url(folder):
    if REDIS is None:
        pytest.skip("redis-server is not installed: the contract ran on the embedded store alone")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    home = folder / "redis"
    home.mkdir()
    server = subprocess.Popen(
        [REDIS, "--port", str(port), "--bind", "127.0.0.1", "--dir", home, "--save", "", "--appendonly", "no"],
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 10
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        assert server.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    yield f"redis://127.0.0.1:{port}/0"
    server.terminate()
    server.wait(10)


@pytest.fixture(scope="session")
def cluster_url(folder):
    """Three primaries, each a process of its own."""
    servers = make_cluster(folder / "primaries")
    yield f"redis+cluster://127.0.0.1:{servers[0].port}"
    for server in servers:
        server.stop()


@pytest.fixture(params=["embedded", "redis", "cluster"])
def store_url(request):
    return request.getfixturevalue(f"{request.param}_url")


@pytest.fixture
async def store(store_url, folder):
    store = await open_store(store_url, data_dir=folder)
    await store.client.flushall()
    yield store
    await store.close()


@pytest.fixture
async def ledger(store):
    ledger = Ledger(store, timeout=5)
    await ledger.load()
    yield ledger
    await ledger.close()


@pytest.fixture
def new_rid():
    numbers = itertools.count()
    prefix = uuid.uuid4().hex[:8]
    return lambda: f"r{prefix}{next(numbers)}"


@pytest.fixture
def make_record():
    def make(rid, pid, *, rev=1, charge=5, cost=4, started_ms=None, **counts):
        now = int(time.time() * 1000)
        return UsageRecord(
            rid=rid,
            rev=rev,
            pid=pid,
            provider="openai",
            model="model-a",
            variant="standard",
            started_ms=now if started_ms is None else started_ms,
            settled_ms=now,
            cost=cost,
            charge=charge,
            basis="reported",
            outcome="completed",
            price_version="p1",
            **(dict.fromkeys(COUNTS, 0) | counts),
        )

    return make
