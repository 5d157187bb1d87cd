from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from redis.exceptions import RedisError

from gateway.auth import missed as module
from gateway.auth import sessions
from gateway.auth.recheck import BATCH, Recheck
from metering.store.store import Store, open_store
from tests.contracts.servers import Server
from tests.gateway.auth.test_announcements import until

KEY = b"k" * 32


class Worker:
    """What a worker has running, and what was ended there."""

    def __init__(self, store: Store, *, listening: bool = True) -> None:
        self.sids: list[str] = []
        self.ended: list[str] = []
        self.asked = 0
        self.listening = listening
        self.recheck = Recheck(
            store.client, running=self._running, listening=lambda: self.listening, revoked=self.ended.append
        )

    def _running(self) -> list[str]:
        self.asked += 1
        return self.sids


async def signed_in(store: Store) -> str:
    return (await sessions.create(store.client, KEY, pid="p1", tier="t")).sid


async def test_only_what_was_revoked_ends(store: Store) -> None:
    live, revoked = await signed_in(store), await signed_in(store)
    await sessions.revoke(store.client, revoked)
    worker = Worker(store)
    worker.sids = [live, "0" * 20, revoked]  # the second is not in the store
    await worker.recheck.look()
    assert worker.ended == [revoked]


async def test_on_a_cluster_and_over_many(cluster: Store) -> None:
    revoked = [await signed_in(cluster) for _ in range(5)]
    for sid in revoked:
        await sessions.revoke(cluster.client, sid)
    worker = Worker(cluster)
    worker.sids = [f"{number:020}" for number in range(2 * BATCH)] + revoked
    await worker.recheck.look()
    assert worker.ended == revoked


async def test_it_looks_when_told_and_while_nothing_is_heard(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EVERY_S", 0.01)
    worker = Worker(store)
    worker.recheck.start()
    try:
        await asyncio.sleep(0.1)
        assert worker.asked == 0  # all is heard
        worker.recheck.soon()
        await until(lambda: worker.asked == 1)
        worker.listening = False
        worker.sids = [await signed_in(store)]
        await until(lambda: worker.asked > 3)
        await sessions.revoke(store.client, worker.sids[0])
        await until(lambda: worker.ended)
    finally:
        await worker.recheck.close()


async def test_a_store_that_is_away_ends_nothing_and_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AGAIN_S", 0.01)
    server = Server(tmp_path / "server", "appendonly yes", "appendfsync always")
    store = await open_store(f"redis://127.0.0.1:{server.port}", data_dir=tmp_path)
    worker = Worker(store)
    worker.sids = [await signed_in(store)]
    await sessions.revoke(store.client, worker.sids[0])
    try:
        server.kill()
        with pytest.raises((RedisError, OSError)):
            await worker.recheck.look()
        worker.recheck.start()
        worker.recheck.soon()
        await until(lambda: worker.asked > 3)
        assert worker.ended == []
        server.start()
        await until(lambda: worker.ended == worker.sids)
    finally:
        await worker.recheck.close()
        await store.close()
        server.kill()
