"""The spool alone: what is on disk, when, and for how long."""

import asyncio
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from metering.spool import frames
from metering.spool.segment import Segment
from metering.spool.spool import Spool, SpoolFull


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def spool(tmp_path, clock):
    spool = Spool(tmp_path, clock=clock)
    yield spool
    await spool.close()


def on_disk(folder):
    return [item for path in sorted(folder.glob("*.log")) for item in frames.frames(path.read_bytes())]


async def test_an_intent_is_with_the_kernel_when_it_returns(spool, tmp_path):
    await spool.intent("p", "r1")
    assert on_disk(tmp_path) == [(frames.INTENT, "p r1")]


async def test_a_ticks_notes_are_one_write(spool, tmp_path, monkeypatch):
    writes = []
    write = Segment.write
    monkeypatch.setattr(Segment, "write", lambda self, data: (writes.append(data), write(self, data)))
    await asyncio.gather(*(spool.intent("p", f"r{number}") for number in range(100)))
    assert len(writes) == 1
    assert len(on_disk(tmp_path)) == 100


async def test_an_intent_that_comes_alone_is_written_at_once_with_those_that_wait(spool, tmp_path):
    waits = asyncio.get_running_loop().create_task(spool.intent("p", "r1"))
    await asyncio.sleep(0)
    with pytest.raises(StopIteration):
        spool.intent("p", "r2", alone=True).send(None)  # it waits for nothing
    assert on_disk(tmp_path) == [(frames.INTENT, "p r1"), (frames.INTENT, "p r2")]
    await waits
    await asyncio.sleep(0)
    assert len(on_disk(tmp_path)) == 2


async def test_those_that_wait_for_a_write_go_on_in_it_and_may_end_at_once(spool, tmp_path):
    async def short(number):
        await spool.intent("p", f"r{number}")
        spool.voided("p", f"r{number}")

    await asyncio.gather(*map(short, range(3)))
    await synced(spool)
    kinds = [kind for kind, _ in on_disk(tmp_path)]
    assert kinds == [frames.INTENT] * 3 + [frames.VOIDED] * 3
    assert spool.owed == 3


async def test_it_is_synced_off_the_loop_in_groups(spool, monkeypatch):
    import threading

    synced = asyncio.Event()
    threads = []
    loop = asyncio.get_running_loop()

    def sync(self):
        threads.append(threading.current_thread())
        loop.call_soon_threadsafe(synced.set)

    monkeypatch.setattr(Segment, "sync", sync)
    for number in range(50):
        await spool.intent("p", f"r{number}")
    await synced.wait()
    assert threading.main_thread() not in threads
    assert len(threads) < 50


async def test_what_is_owed_is_what_was_not_acknowledged(spool, make_record):
    spool.settled(make_record("r1", "p"))
    spool.voided("p", "r2")
    assert spool.owed == 2
    spool.acknowledged("r1")  # before it was even written
    await asyncio.sleep(0)
    assert spool.owed == 1
    spool.acknowledged("r2")
    spool.acknowledged("unknown")
    assert spool.owed == 0


async def test_a_file_is_kept_until_fifteen_minutes_after_the_last_acknowledgement(spool, tmp_path, make_record, clock):
    await spool.intent("p", "r1")
    clock.now += 61
    await spool.tidy()  # rotates
    (old,) = [path for path in tmp_path.glob("*.log") if path.stat().st_size]
    clock.now += 2000
    await spool.tidy()
    assert old.exists()  # r1 still runs
    spool.settled(make_record("r1", "p"))
    await synced(spool)
    clock.now += 800
    await spool.tidy()
    assert old.exists()
    clock.now += 101
    await spool.tidy()
    assert not old.exists()
    assert on_disk(tmp_path)[0][0] == frames.SETTLED
    clock.now += 2000
    await spool.tidy()
    assert len(on_disk(tmp_path)) == 1  # owed: kept for ever
    spool.acknowledged("r1")
    clock.now += 901
    await spool.tidy()
    await spool.tidy()
    assert on_disk(tmp_path) == []


async def test_at_the_bound_new_requests_are_refused_and_settlements_taken(tmp_path, make_record):
    spool = Spool(tmp_path, limit=200)
    for number in range(20):
        try:
            await spool.intent("p", f"r{number}")
        except SpoolFull:
            break
    assert spool.full
    spool.settled(make_record("r0", "p"))
    await asyncio.sleep(0)
    assert on_disk(tmp_path)[-1][0] == frames.SETTLED
    await spool.close()


async def test_while_writing_fails_requests_are_refused_and_settlements_wait(spool, tmp_path, make_record, monkeypatch):
    monkeypatch.setattr("metering.spool.spool.RETRY_SECONDS", 0)
    write = Segment.write
    broken = True

    def maybe(self, data):
        if broken:
            raise OSError(28, "no space")
        write(self, data)

    monkeypatch.setattr(Segment, "write", maybe)
    with pytest.raises(SpoolFull):
        await spool.intent("p", "r1")
    spool.settled(make_record("r0", "p"))
    await asyncio.sleep(0)
    assert spool.failing
    assert spool.owed == 1
    with pytest.raises(SpoolFull):
        await spool.intent("p", "r2")
    broken = False
    while spool.failing:
        await asyncio.sleep(0)
    await spool.intent("p", "r3")
    assert [kind for kind, _ in on_disk(tmp_path)] == [frames.SETTLED, frames.INTENT]


async def synced(spool):
    await asyncio.sleep(0)
    await spool._syncing


DEAD = """
import asyncio, os, signal, sys
from pathlib import Path
from metering.spool.spool import Spool

async def main():
    spool = Spool(Path(sys.argv[1]))
    await spool.intent("p", "sent")
    spool.voided("p", "gone")
    await asyncio.sleep(0)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def test_a_killed_processs_files_are_adopted_by_one_of_the_living(tmp_path):
    process = subprocess.run([sys.executable, "-c", DEAD, tmp_path], cwd=Path(__file__).parents[3], check=False)
    assert process.returncode == -9
    first, second = Spool(tmp_path), Spool(tmp_path)
    assert first.home == second.home
    adopted = await asyncio.gather(first.tidy(), second.tidy())
    assert sorted(map(len, adopted)) == [0, 1]
    assert first.owed + second.owed == 1
    assert await first.sent(["sent", "gone", "never"]) == {"sent"}
    assert await second.tidy() == []
    await first.close()
    await second.close()


async def test_nobody_else_may_read_the_folder(tmp_path):
    spool = Spool(tmp_path / "spool")
    await spool.intent("p", "r")
    assert stat.S_IMODE((tmp_path / "spool").stat().st_mode) == 0o700
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in (tmp_path / "spool").glob("*.log"))
    await spool.close()


async def test_an_unused_spool_leaves_no_files(tmp_path):
    spool = Spool(tmp_path)
    await spool.close()
    assert [path.name for path in tmp_path.iterdir()] == ["id"]


async def test_a_disk_that_takes_writes_again_ends_the_refusals_though_nothing_is_owed(spool, monkeypatch):
    monkeypatch.setattr("metering.spool.spool.RETRY_SECONDS", 0.001)
    write = Segment.write

    def fails(self, data):
        raise OSError

    monkeypatch.setattr(Segment, "write", fails)
    with pytest.raises(SpoolFull):
        await spool.intent("p", "r1")
    monkeypatch.setattr(Segment, "write", write)
    while spool.full:
        await asyncio.sleep(0.001)
    await spool.intent("p", "r2")
