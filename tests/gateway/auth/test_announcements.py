"""One channel: what is published is heard by every worker, on one node and on a Cluster, and again after an outage."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import pytest

from gateway.auth.announcements import CHANNEL, Announcement, Listener, Topic, publish
from metering.store.store import Store, open_store
from tests.contracts.servers import Server

SID = "s" * 20
PID = "p" + "a" * 24
REVOKED = Announcement(Topic.SESSION_REVOKED, sid=SID)
POLICY = Announcement(Topic.POLICY_CHANGED, pid=PID)
SUPERSEDED = Announcement(Topic.SUPERSEDED, sid=SID, slot=65_535, rid="req_1")
PATIENCE = 60.0


async def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


async def pings(store: Store) -> int:
    """How often the server was asked whether it lives."""
    found: int = (await store.client.info("commandstats")).get("cmdstat_ping", {}).get("calls", 0)
    return found


class Heard:
    """A listener that keeps what it hears."""

    def __init__(self, store: Store) -> None:
        self.announcements: list[Announcement] = []
        self.gaps = 0
        self.faults: list[Exception] = []
        self.listener = Listener(store.endpoint, on_gap=self._gap, on_fault=self.faults.append)
        for topic in Topic:
            self.listener.on(topic, self.announcements.append)

    def _gap(self) -> None:
        self.gaps += 1

    async def __aenter__(self) -> Self:
        await self.listener.start()
        assert self.listener.listening
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.listener.close()


async def test_every_listener_hears_everything_in_order(store: Store) -> None:
    async with Heard(store) as first, Heard(store) as second:
        for announcement in (REVOKED, POLICY, SUPERSEDED):
            assert await publish(store.client, announcement)
        await until(lambda: len(first.announcements) == len(second.announcements) == 3)
        assert first.announcements == second.announcements == [REVOKED, POLICY, SUPERSEDED]
        assert (first.gaps, first.faults) == (0, [])


async def test_every_node_of_a_cluster_passes_it_on(cluster: Store) -> None:
    several = [Heard(cluster) for _ in range(6)]
    for heard in several:
        await heard.__aenter__()
    assert await publish(cluster.client, REVOKED)
    await until(lambda: all(heard.announcements == [REVOKED] for heard in several))
    for heard in several:
        await heard.__aexit__()


@pytest.mark.parametrize(
    "wrong",
    [
        Announcement(Topic.SESSION_REVOKED),
        Announcement(Topic.SESSION_REVOKED, sid="short"),
        Announcement(Topic.SESSION_REVOKED, sid=SID, rid="r"),
        Announcement(Topic.POLICY_CHANGED, pid="P"),
        Announcement(Topic.POLICY_CHANGED, pid=PID, sid=SID),
        Announcement(Topic.SWITCHED, pid=PID),
        Announcement(Topic.SUPERSEDED, sid=SID, slot=65_536, rid="r"),
        Announcement(Topic.SUPERSEDED, sid=SID, slot=-1, rid="r"),
        Announcement(Topic.SUPERSEDED, sid=SID, rid="a text"),
    ],
)
async def test_what_is_not_ids_alone_is_neither_published_nor_heard(store: Store, wrong: Announcement) -> None:
    import msgspec

    with pytest.raises(ValueError, match="announcement"):
        await publish(store.client, wrong)
    async with Heard(store) as heard:
        for data in (msgspec.json.encode(wrong), b"\xff", b"{}", b'{"kind": "other"}', b"[]"):
            await store.client.publish(CHANNEL, data)
        await publish(store.client, POLICY)
        await until(lambda: heard.announcements)
        assert heard.announcements == [POLICY]


async def test_a_handler_that_fails_does_not_make_the_worker_deaf(store: Store) -> None:
    async with Heard(store) as heard:
        heard.listener.on(Topic.POLICY_CHANGED, lambda _announcement: 1 / 0)  # type: ignore[arg-type, return-value]
        await publish(store.client, POLICY)
        await publish(store.client, REVOKED)
        await until(lambda: len(heard.announcements) == 2)
        assert [type(error) for error in heard.faults] == [ZeroDivisionError]


async def test_it_survives_an_outage_and_says_that_it_may_have_missed_something(tmp_path: Path) -> None:
    server = Server(tmp_path / "server")
    store = await open_store(f"redis://127.0.0.1:{server.port}", data_dir=tmp_path)
    try:
        async with Heard(store) as heard:
            server.kill()
            await until(lambda: not heard.listener.listening)
            assert not await publish(store.client, REVOKED)  # and nobody's work fails for it
            server.start()
            await until(lambda: heard.listener.listening)
            assert (heard.gaps, heard.announcements) == (1, [])
            await publish(store.client, POLICY)
            await until(lambda: heard.announcements == [POLICY])
    finally:
        await store.close()
        server.kill()


async def test_a_silent_server_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.auth.announcements.PING_SECONDS", 1.0)
    server = Server(tmp_path / "server")
    store = await open_store(f"redis://127.0.0.1:{server.port}", data_dir=tmp_path)
    try:
        async with Heard(store) as heard:
            before = await pings(store)
            async with asyncio.timeout(PATIENCE):  # a quiet channel is not a dead one: the server answers
                while await pings(store) == before:
                    await asyncio.sleep(0.02)
            assert (heard.listener.listening, heard.gaps) == (True, 0)
            with server.paused():
                await until(lambda: not heard.listener.listening)
            await until(lambda: heard.listener.listening)
            assert heard.gaps >= 1
    finally:
        await store.close()
        server.kill()


async def test_a_worker_starts_without_the_store(tmp_path: Path) -> None:
    server = Server(tmp_path / "server")
    store = await open_store(f"redis://127.0.0.1:{server.port}", data_dir=tmp_path)
    server.kill()
    heard = Heard(store)
    await heard.listener.start(timeout=0.01)
    try:
        assert not heard.listener.listening
        server.start()
        await until(lambda: heard.listener.listening)
    finally:
        await heard.listener.close()
        await store.close()
        server.kill()


async def test_a_password_is_given(tmp_path: Path) -> None:
    server = Server(tmp_path / "server")
    with server.client() as admin:
        admin.config_set("requirepass", "secret")
    store = await open_store(f"redis://:secret@127.0.0.1:{server.port}", data_dir=tmp_path)
    try:
        async with Heard(store) as heard:
            await publish(store.client, REVOKED)
            await until(lambda: heard.announcements == [REVOKED])
    finally:
        await store.close()
        server.kill()
