"""What reserving and settling one request cost before a byte is on the wire: arguments, keys, encoding."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, cast

import hiredis
from pytest_benchmark.fixture import BenchmarkFixture

from metering import usage
from metering.ledger.ledger import Ledger
from metering.ledger.types import Limits, Reservation
from metering.store.store import Store
from metering.usage import Basis, Outcome, UsageRecord

COUNTS = dict.fromkeys(usage.COUNTS, 17)
RESERVED = [
    *(b"ok", b"1000000", b"0", b"123456", b"123456"),
    *(b"requests", b"600", b"599", b"0", b"tokens", b"1000000", b"998000", b"0"),
]


class _Topology:
    """Packs a command as the ledger's link does, and answers at once what the store would."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.packed = 0

    def send(self, _partition: int, command: tuple[Any, ...]) -> asyncio.Future[Any]:
        self.packed += len(hiredis.pack_command(command))
        future = self.loop.create_future()
        future.set_result(RESERVED if command[1] == "cgx2_reserve" else b"done")
        return future


class _Store:
    def __init__(self, topology: _Topology) -> None:
        self._topology = topology

    def topology(self, *, timeout: float) -> _Topology:
        del timeout
        return self._topology


def _ledger(loop: asyncio.AbstractEventLoop) -> tuple[Ledger, _Topology]:
    topology = _Topology(loop)
    return Ledger(cast("Store", _Store(topology))), topology


def _finish(coroutine: Coroutine[Any, Any, Any]) -> None:
    """Run a coroutine whose every future is done already."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise RuntimeError("the coroutine waited")


def _record() -> UsageRecord:
    return UsageRecord(
        rid="r" * 26,
        rev=1,
        pid="p" * 22,
        provider="openai",
        model="gpt-4o-mini",
        variant="standard",
        started_ms=1_700_000_000_000,
        settled_ms=1_700_000_002_000,
        cost=1234,
        charge=2345,
        basis=Basis.REPORTED,
        outcome=Outcome.COMPLETED,
        price_version="2026-01-01",
        **COUNTS,
    )


def test_reserve(benchmark: BenchmarkFixture) -> None:
    ledger, topology = _ledger(asyncio.new_event_loop())
    limits = Limits(requests_per_minute=600, tokens_per_minute=1_000_000, concurrent=10)
    reservation = Reservation(
        pid="p" * 22, rid="r" * 26, amount=123_456, tokens=2000, lease_ms=60_000, limits=limits, orphan=_record()
    )
    benchmark(lambda: _finish(ledger.reserve(reservation)))
    assert topology.packed


def test_settle(benchmark: BenchmarkFixture) -> None:
    ledger, topology = _ledger(asyncio.new_event_loop())
    records = [_record()]
    benchmark(lambda: _finish(ledger.settle_each(records)))
    assert topology.packed
