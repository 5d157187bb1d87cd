import socket
import subprocess
import time

import pytest

from benchmarks import processes
from benchmarks.ports import free_port
from tests.contracts.servers import make_cluster
from tests.ledger_fixtures import embedded_url, folder, ledger, make_record, new_rid, store
from tests.tools import need

__all__ = ["embedded_url", "folder", "ledger", "make_record", "new_rid", "store"]


@pytest.fixture(scope="session")
def redis_url(folder):
    binary = need("redis-server")
    port = free_port()
    home = folder / "redis"
    home.mkdir()
    server = processes.start(
        [binary, "--port", str(port), "--bind", "127.0.0.1", "--dir", home, "--save", "", "--appendonly", "no"],
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
