"""A store of one's own: the embedded one, or a Cluster of three where a test asks for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from metering.store import Store, open_store
from tests.contracts.servers import make_cluster


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await open_store("embedded:", data_dir=tmp_path)
    yield opened
    await opened.close()


@pytest.fixture(scope="session")
def cluster_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    servers = make_cluster(tmp_path_factory.mktemp("cluster"))
    yield f"redis+cluster://127.0.0.1:{servers[0].port}"
    for server in servers:
        server.kill()


@pytest.fixture
async def cluster(cluster_url: str, tmp_path: Path) -> AsyncIterator[Store]:
    opened = await open_store(cluster_url, data_dir=tmp_path)
    await opened.on_primaries("FLUSHALL")
    yield opened
    await opened.close()
