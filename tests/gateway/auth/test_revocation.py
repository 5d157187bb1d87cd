from __future__ import annotations

from collections.abc import Collection

import pytest
from redis.exceptions import RedisError

from gateway.auth import revocation, sessions
from gateway.auth.announcements import Announcement, Listener, Topic
from gateway.auth.principal import Denial, lookup, session_key
from metering.accounts import audit
from metering.accounts.audit import read_audit
from metering.clock import now_ms
from metering.store.store import Store, Unconfirmed
from tests.gateway.auth.test_announcements import until

KEY = b"k" * 32
PID = "p" + "a" * 24


class Journal:
    def __init__(self) -> None:
        self.names: list[str] = []

    def erased(self, pid: str, names: Collection[str]) -> None:
        raise AssertionError

    def revoked(self, name: str) -> None:
        self.names.append(name)


async def noted(store: Store) -> list[tuple[str, str, str]]:
    return [(entry.actor, entry.action, entry.pid) async for entry in read_audit(store)]


async def test_it_is_written_announced_and_journalled(store: Store) -> None:
    heard: list[Announcement] = []
    listener = Listener(store.endpoint)
    listener.on(Topic.SESSION_REVOKED, heard.append)
    await listener.start()
    issued = await sessions.create(store.client, KEY, pid=PID, tier="default")
    journal = Journal()
    assert await revocation.revoke(store, issued.sid, actor="cli", journal=journal)
    assert await lookup(store.client, KEY, issued.access_token) is Denial.TOKEN_REVOKED
    await until(lambda: heard == [Announcement(Topic.SESSION_REVOKED, sid=issued.sid)])
    assert journal.names == [issued.sid]
    await listener.close()


async def test_what_is_not_held_is_not_announced(store: Store) -> None:
    journal = Journal()
    assert not await revocation.revoke(store, "s" * 20, actor="cli", journal=journal)
    assert journal.names == []


async def test_all_of_an_account_and_no_other_s(store: Store) -> None:
    mine = [await sessions.create(store.client, KEY, pid=PID, tier="default") for _ in range(3)]
    other = await sessions.create(store.client, KEY, pid="pother", tier="default")
    await sessions.revoke(store.client, mine[0].sid)
    assert await revocation.revoke_all(store, PID, actor="cli") == 2
    for issued in mine:
        assert await lookup(store.client, KEY, issued.access_token) is Denial.TOKEN_REVOKED
    assert not isinstance(await lookup(store.client, KEY, other.access_token), Denial)


async def test_what_might_not_survive_a_failover_is_not_said_to_be_done(store: Store) -> None:
    issued = await sessions.create(store.client, KEY, pid=PID, tier="default")
    lone = Store(store.client, store.info, replicas=1)  # it is to be on a replica, and there is none
    with pytest.raises(Unconfirmed):
        await revocation.revoke(lone, issued.sid, actor="cli")
    assert await lookup(store.client, KEY, issued.access_token) is Denial.TOKEN_REVOKED


async def test_who_asked_is_noted_once_for_each_act(store: Store) -> None:
    first, *_ = [await sessions.create(store.client, KEY, pid=PID, tier="default") for _ in range(3)]
    assert not await revocation.revoke(store, "s" * 20, actor="cli")
    for _ in range(2):
        assert await revocation.revoke(store, first.sid, actor="app")
    assert [await revocation.revoke_all(store, PID, actor="portal") for _ in range(2)] == [2, 0]
    assert await noted(store) == [("app", "revoked", PID), ("portal", "revoked", PID)]


async def test_what_can_t_be_noted_is_not_done(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_arguments: object) -> None:
        raise RedisError

    monkeypatch.setattr(audit, "note", away)
    issued = await sessions.create(store.client, KEY, pid=PID, tier="default")
    with pytest.raises(RedisError):
        await revocation.revoke(store, issued.sid, actor="cli")
    with pytest.raises(RedisError):
        await revocation.revoke_all(store, PID, actor="cli")
    assert not isinstance(await lookup(store.client, KEY, issued.access_token), Denial)


async def test_an_old_token_makes_nobody_work(store: Store) -> None:
    """What was revoked long ago is read, and not written, announced and noted on disk again."""
    issued = await sessions.create(store.client, KEY, pid=PID, tier="default")
    journal = Journal()
    for _ in range(2):  # a repetition of an unconfirmed call is taken
        assert await revocation.revoke(store, issued.sid, actor="app", journal=journal)
    assert journal.names == [issued.sid] * 2
    await store.client.hset(session_key(issued.sid), "revoked", now_ms() - (revocation.SETTLED_S + 1) * 1_000)
    lone = Store(store.client, store.info, replicas=1)  # where nothing can be confirmed
    for _ in range(2):
        assert await revocation.revoke(lone, issued.sid, actor="app", journal=journal)
    assert journal.names == [issued.sid] * 2
