import pytest

from tests.contracts.servers import Server, make_cluster
from tests.ledger_fixtures import embedded_url, folder, ledger, make_record, new_rid, store
from tests.tools import need

__all__ = ["embedded_url", "folder", "ledger", "make_record", "new_rid", "store"]


@pytest.fixture(scope="session")
def redis_url(folder):
    server = Server(folder / "redis", binary=need("redis-server"))
    yield f"redis://127.0.0.1:{server.port}/0"
    server.stop()


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
