"""A store, a ledger, and records for the tests of what services and operators do; import what is used."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

import pytest

from gateway.administration import Administration
from gateway.identity import identity_keys
from metering.accounts import Accounts
from metering.embedded import Embedded
from metering.ledger import Ledger
from metering.store import open_store
from metering.usage import COUNTS, UsageRecord

KEY = b"k" * 32
USER = "ann@example.com"


@pytest.fixture(scope="session")
def store_folder():
    with tempfile.TemporaryDirectory(prefix="cgx-billing-") as name:
        folder = Path(name)
        user = asyncio.run(Embedded.attach(folder))
        yield folder
        asyncio.run(user._stop())
        asyncio.run(user.detach())


@pytest.fixture
async def store(store_folder):
    store = await open_store("embedded:", data_dir=store_folder)
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
def accounts(store):
    return Accounts(store, identity_keys(KEY))


@pytest.fixture
def erased():
    return []


@pytest.fixture
def admin(store, ledger, accounts, erased):
    return Administration(store, ledger, accounts, KEY, on_erased=erased.append)


def record(rid, pid, *, rev=1, charge=5, started_ms=None, **counts):
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
        cost=charge,
        charge=charge,
        basis="reported",
        outcome="completed",
        price_version="p1",
        **(dict.fromkeys(COUNTS, 0) | counts),
    )
