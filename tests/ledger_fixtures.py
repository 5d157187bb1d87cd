"""A store in a folder of its own, a ledger on it, and usage records; import what is used."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
import time
import uuid
from pathlib import Path

import pytest

from metering.embedded import Embedded
from metering.ledger import Ledger
from metering.store import open_store
from metering.usage import COUNTS, UsageRecord


@pytest.fixture(scope="session")
def folder():
    with tempfile.TemporaryDirectory(prefix="cgx-store-") as name:
        yield Path(name)


@pytest.fixture(scope="session")
def embedded_url(folder):
    user = asyncio.run(Embedded.attach(folder))
    yield "embedded:"
    asyncio.run(user._stop())  # whoever still uses it: the tests are over
    asyncio.run(user.detach())


@pytest.fixture
def store_url(embedded_url):
    return embedded_url


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


def usage_record(rid, pid, *, rev=1, charge=5, cost=4, started_ms=None, **counts):
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


@pytest.fixture
def make_record():
    return usage_record
