import os
import signal
import tempfile
from pathlib import Path

from metering.store.epoch import Epoch
from metering.store.store import open_store


async def test_a_quiet_store_has_one_epoch(store):
    epoch = Epoch(store)
    assert await epoch.look()
    assert await epoch.look()
    assert epoch.number == 0
    assert epoch.reachable


async def test_a_restarted_store_begins_a_new_one():
    with tempfile.TemporaryDirectory(prefix="cgx-epoch-") as name:
        store = await open_store("embedded:", data_dir=Path(name))
        epoch = Epoch(store)
        told = []

        async def tell():
            told.append(epoch.number)

        epoch.on_change(tell)
        await epoch.look()
        os.kill((await store.client.info("server"))["process_id"], signal.SIGKILL)
        link = store.topology(timeout=10)
        await link.connect()  # starts it again
        while epoch.number == 0:
            await epoch.look()
        assert told == [1]
        assert await epoch.look()
        await link.close()
        await store.close()


async def test_a_store_that_was_away_begins_a_new_one(store):
    epoch = Epoch(store, interval=0.02)
    await epoch.look()
    pid = (await store.client.info("server"))["process_id"]
    os.kill(pid, signal.SIGSTOP)
    try:
        assert not await epoch.look()
        assert not epoch.reachable
    finally:
        os.kill(pid, signal.SIGCONT)
    while not epoch.reachable:
        await epoch.look()
    assert epoch.number == 1
