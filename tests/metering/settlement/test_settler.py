"""The settler against a store that is killed, paused and brought back."""

import asyncio
import os
import signal
import tempfile
from pathlib import Path

import pytest

from metering.ledger.ledger import Ledger, Limits, Reservation, State
from metering.reading.reader import read_usage
from metering.settlement.settler import BATCH, Settler
from metering.store.store import open_store

PID = "psettler"


@pytest.fixture
async def settler(ledger):
    settler = Settler(ledger)
    settler.start()
    yield settler
    await settler.close()


async def test_what_is_handed_in_is_settled(settler, ledger, store, make_record):
    for number in range(3 * BATCH + 1):
        settler.submit(make_record(f"r{number}", PID, charge=2))
    assert settler.pending == 3 * BATCH + 1
    assert await settler.drain(60)
    assert settler.pending == 0
    assert (await ledger.account(PID)).spent == 2 * (3 * BATCH + 1)
    assert len({r.rid async for r in read_usage(store)}) == 3 * BATCH + 1


async def test_a_void_is_carried_too(settler, ledger):
    await ledger.grant(PID, 100, "g")
    await ledger.reserve(Reservation("r1", PID, 10, 0, 60_000, Limits()))
    settler.void(PID, "r1")
    assert await settler.drain(20)
    assert await ledger.record(PID, "r1") is State.VOIDED


async def test_a_settlement_that_is_refused_for_good_blocks_nothing(ledger, make_record):
    refused = []
    settler = Settler(ledger, on_refused=refused.append)
    settler.start()
    bad = make_record("bad", PID, charge=-1)
    settler.submit(bad)
    settler.submit(make_record("good", PID, charge=3))
    assert await settler.drain(20)
    assert refused == [bad]
    assert settler.refused == 1
    assert (await ledger.account(PID)).spent == 3
    await settler.close()


async def test_drain_says_when_something_is_left(ledger, make_record):
    settler = Settler(ledger)  # not started
    settler.submit(make_record("r1", PID))
    assert not await settler.drain(0.01)
    assert settler.pending == 1


async def test_nothing_is_lost_nor_doubled_when_the_store_is_killed_again_and_again(make_record):
    with tempfile.TemporaryDirectory(prefix="cgx-settler-") as name:
        store = await open_store("embedded:", data_dir=Path(name))
        ledger = Ledger(store)
        await ledger.load()
        await store.client.config_set("appendfsync", "always")  # a kill must lose nothing that was acknowledged
        settler = Settler(ledger)
        settler.start()
        total = 0
        for _ in range(5):
            pid = (await store.client.info("server"))["process_id"]
            for _ in range(200):
                settler.submit(make_record(f"r{total}", PID, charge=1))
                total += 1
                await asyncio.sleep(0)
            os.kill(pid, signal.SIGKILL)
            for _ in range(200):
                settler.submit(make_record(f"r{total}", PID, charge=1))
                total += 1
            assert await settler.drain(30)
            await store.client.config_set("appendfsync", "always")
        rids = [r.rid async for r in read_usage(store)]
        assert len(rids) == len(set(rids)) == total
        assert (await ledger.account(PID)).spent == total
        await settler.close()
        await ledger.close()
        await store.close()


async def test_a_paused_store_delays_and_changes_nothing(store, make_record):
    ledger = Ledger(store, timeout=1)
    await ledger.load()
    settler = Settler(ledger)
    settler.start()
    pid = (await store.client.info("server"))["process_id"]
    os.kill(pid, signal.SIGSTOP)
    try:
        for number in range(50):
            settler.submit(make_record(f"r{number}", PID, charge=1))
        assert not await settler.drain(0.3)
        assert settler.pending == 50
    finally:
        os.kill(pid, signal.SIGCONT)
    assert await settler.drain(20)
    assert (await ledger.account(PID)).spent == 50
    await settler.close()
    await ledger.close()


async def test_closing_in_the_middle_keeps_what_was_not_answered(store, make_record):
    ledger = Ledger(store, timeout=5)
    await ledger.load()
    settler = Settler(ledger)
    pid = (await store.client.info("server"))["process_id"]
    os.kill(pid, signal.SIGSTOP)
    try:
        settler.submit(make_record("r1", PID, charge=1))
        settler.void(PID, "r2")
        settler.start()
        assert not await settler.drain(0.1)
        await settler.close()
        assert settler.pending == 2
    finally:
        os.kill(pid, signal.SIGCONT)
    settler.start()
    assert await settler.drain(20)
    assert (await ledger.account(PID)).spent == 1
    await settler.close()
    await ledger.close()
