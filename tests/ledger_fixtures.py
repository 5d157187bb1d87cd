"""A store in a folder of its own, a ledger on it, and usage records; import what is used."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
import time
import uuid
from pathlib import Path

import pytest

from metering.ledger.ledger import Ledger
from metering.ledger.types import LedgerConflict, LedgerUnavailable, Touch, Touched, Verdict
from metering.store.embedded import Embedded
from metering.store.store import open_store
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


class RaisingLedger(Ledger):
    """A ledger with calls for one request, which raise: what serves has many in one pipeline, and goes on."""

    async def touch(self, pid, rid, *, lease_ms, amount=0, checkpoint=None, most=0):
        reply = await self.calls.run(*self._touch(Touch(pid, rid, lease_ms, amount, checkpoint, most)))
        return {b"ok": Touched.HELD, b"no": Touched.CREDITS, b"gone": Touched.GONE}[reply[0]]

    async def settle(self, settled):
        verdicts = await self.settle_each(settled)
        if Verdict.AGAIN in verdicts:
            raise LedgerUnavailable(maybe_ran=True)
        if Verdict.REFUSED in verdicts:
            raise LedgerConflict("rid")

    async def void(self, pid, rid):
        (verdict,) = await self.void_each([(pid, rid)])
        if verdict is Verdict.AGAIN:
            raise LedgerUnavailable(maybe_ran=True)
        if verdict is Verdict.REFUSED:
            raise LedgerConflict("rid")


@pytest.fixture
async def ledger(store):
    ledger = RaisingLedger(store, timeout=5)
    await ledger.load()
    yield ledger
    await ledger.close()


@pytest.fixture
def new_rid():
    numbers = itertools.count()
    prefix = uuid.uuid4().hex[:8]
    return lambda: f"r{prefix}{next(numbers)}"


def usage_record(rid, pid, **stated):
    """A record of now; ``stated`` are the fields that matter to a test."""
    now = int(time.time() * 1000)
    usual = {
        "rev": 1,
        "provider": "openai",
        "model": "model-a",
        "variant": "standard",
        "started_ms": now,
        "settled_ms": now,
        "cost": 4,
        "charge": 5,
        "basis": "reported",
        "outcome": "completed",
        "price_version": "p1",
    }
    return UsageRecord(rid=rid, pid=pid, **dict.fromkeys(COUNTS, 0) | usual | stated)


@pytest.fixture
def make_record():
    return usage_record
