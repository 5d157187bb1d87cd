"""The embedded store as several real processes use it and kill it."""

import asyncio
import fcntl
import os
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from benchmarks import processes
from metering.ledger.ledger import Ledger, LedgerUnavailable
from metering.store.embedded import LONGEST_SOCKET_PATH, Embedded, EmbeddedError
from metering.store.store import open_store

USER = """
import asyncio, sys
from pathlib import Path
from metering.store.store import open_store

async def main():
    store = await open_store("embedded:", data_dir=Path(sys.argv[1]))
    await store.client.incr("users")
    info = await store.client.info("server")
    print(info["process_id"], flush=True)
    sys.stdin.read(1)
    await store.close()

asyncio.run(main())
"""


def start_user(folder):
    return processes.start(
        [sys.executable, "-c", USER, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )


def leave(user):
    user.stdin.close()
    assert user.wait(20) == 0


def server_lives(folder):
    """Whether a server process holds its lock."""
    with (folder / "store" / "server.lock").open("r+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


async def server_pid(store):
    return (await store.client.info("server"))["process_id"]


@pytest.fixture
def folder():
    with tempfile.TemporaryDirectory(prefix="cgx-embedded-") as name:
        yield Path(name)
        for lock in Path(name).rglob("server.lock"):
            if server_lives(lock.parents[1]):  # only a failed test gets here
                asyncio.run(Embedded(lock.parent, -1)._stop())


async def test_data_survives_the_last_user(folder):
    store = await open_store("embedded:", data_dir=folder)
    await store.client.set("a", "1")
    await store.close()
    assert not server_lives(folder)
    store = await open_store("embedded:", data_dir=folder)
    assert await store.client.get("a") == b"1"
    await store.close()


async def test_it_has_no_port_and_a_private_directory(folder):
    store = await open_store("embedded:", data_dir=folder)
    assert (await store.client.config_get("port"))["port"] == "0"
    assert (await store.client.config_get("appendonly"))["appendonly"] == "yes"
    assert stat.S_IMODE((folder / "store").stat().st_mode) == 0o700
    pid = await server_pid(store)
    assert Path(f"/proc/{pid}/environ").read_bytes() == b""
    await store.close()


def test_processes_that_attach_at_once_share_one_server(folder):
    users = [start_user(folder) for _ in range(6)]
    servers = {user.stdout.readline() for user in users}
    assert len(servers) == 1
    for user in users[:-1]:
        leave(user)
        assert server_lives(folder)
    leave(users[-1])
    assert not server_lives(folder)


async def test_the_server_ends_with_its_last_user_even_if_that_is_killed(folder):
    users = [start_user(folder) for _ in range(3)]
    pids = {int(user.stdout.readline()) for user in users}
    assert len(pids) == 1
    for user in users[:2]:  # the one that started the server is among them
        user.kill()
        user.wait()
    survivor = await open_store("embedded:", data_dir=folder)
    assert await server_pid(survivor) in pids
    users[2].kill()
    users[2].wait()
    assert await server_pid(survivor) in pids
    await survivor.client.set("after", "1")

    user = start_user(folder)
    user.stdout.readline()
    await survivor.close()
    assert server_lives(folder)
    user.kill()
    user.wait()
    await gone(folder)
    store = await open_store("embedded:", data_dir=folder)
    assert await store.client.get("after") == b"1"
    assert await store.client.get("users") == b"4"
    await store.close()
    assert not server_lives(folder)


async def gone(folder):
    async with asyncio.timeout(60):
        while server_lives(folder):
            await asyncio.sleep(0.005)


async def test_a_store_that_is_opened_while_it_ends_is_started_again(folder):
    for number in range(5):
        user = start_user(folder)
        user.stdout.readline()
        user.kill()
        store = await open_store("embedded:", data_dir=folder)
        assert int(await store.client.incr("opened")) == number + 1
        user.wait()  # until then the kernel may hold its lock, and the store is not the last user
        await store.close()
    assert not server_lives(folder)


async def test_a_killed_server_comes_back_with_its_data(folder):
    store = await open_store("embedded:", data_dir=folder)
    ledger = Ledger(store, timeout=5)
    await ledger.load()
    await store.client.config_set("appendfsync", "always")  # else a kill during an fsync loses what came since
    await ledger.grant("pa", 100, "g")
    os.kill(await server_pid(store), signal.SIGKILL)
    account = await insist(lambda: ledger.account("pa"))  # the link starts a server again by itself
    assert account.granted == 100
    await ledger.close()
    await store.close()


async def insist(call):
    """The answer of a ledger whose link is finding or starting a server."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await call()
            except LedgerUnavailable:
                await asyncio.sleep(0.001)


async def test_a_torn_append_only_file_loses_its_tail_alone(folder):
    store = await open_store("embedded:", data_dir=folder)
    await store.client.set("a", "1")
    await store.client.set("b", "2")
    await store.close()
    (log,) = (folder / "store" / "appendonlydir").glob("*.incr.aof")
    os.truncate(log, log.stat().st_size - 5)
    store = await open_store("embedded:", data_dir=folder)
    assert await store.client.get("a") == b"1"
    assert await store.client.get("b") is None
    await store.close()


async def test_a_server_that_refuses_its_data_is_named(folder):
    store = await open_store("embedded:", data_dir=folder)
    for number in range(100):
        await store.client.set(f"a{number}", "1")
    await store.close()
    (log,) = (folder / "store" / "appendonlydir").glob("*.incr.aof")
    data = bytearray(log.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 40] = b"\xff" * 40
    log.write_bytes(data)
    with pytest.raises(EmbeddedError, match=r"valkey\.log"):
        await open_store("embedded:", data_dir=folder)


async def test_a_long_path_gets_a_short_socket(folder):
    deep = folder / ("d" * 60) / ("e" * 60)
    store = await open_store("embedded:", data_dir=deep)
    socket = Path((deep / "store" / "socket").read_text())
    assert len(os.fsencode(socket)) <= LONGEST_SOCKET_PATH
    assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
    second = await open_store("embedded:", data_dir=deep)
    await second.client.set("a", "1")
    await second.close()
    assert await store.client.get("a") == b"1"
    await store.close()
    assert not socket.parent.exists()


async def test_a_path_may_hold_any_character(folder):
    odd = folder / 'a b"c\\dé'
    store = await open_store("embedded:", data_dir=odd)
    assert await store.client.ping()
    await store.close()
    assert not server_lives(odd)


async def test_a_lock_without_a_server_times_out_and_says_so(folder, monkeypatch):
    monkeypatch.setattr("metering.store.embedded.START_TIMEOUT", 0.05)
    (folder / "store").mkdir()
    with (folder / "store" / "server.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(EmbeddedError):
            await Embedded.attach(folder)
