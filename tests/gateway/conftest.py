"""Both event loops, since transports queue and close in ways of their own; a store, or a Cluster of three."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import uvloop

from metering.store.store import Store, open_store
from tests.contracts.servers import make_cluster


def pytest_asyncio_loop_factories(config, item):
    """A module with ``BOTH_LOOPS = True`` runs on both; the worker runs on uvloop."""
    factories = {"asyncio": asyncio.new_event_loop}
    if getattr(item.module, "BOTH_LOOPS", False):
        factories["uvloop"] = uvloop.new_event_loop
    return factories


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
