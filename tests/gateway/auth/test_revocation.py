from __future__ import annotations

import pytest

from gateway.auth import revocation, sessions
from gateway.auth.announcements import Announcement, Kind, Listener
from gateway.auth.principal import Denial, lookup
from metering.store import Store, Unconfirmed
from tests.gateway.auth.test_announcements import until

KEY = b"k" * 32
PID = "p" + "a" * 24


class Journal:
    def __init__(self) -> None:
        self.names: list[str] = []

    def revoked(self, name: str) -> None:
        self.names.append(name)


async def test_it_is_written_announced_and_journalled(store: Store) -> None:
    heard: list[Announcement] = []
    listener = Listener(store.client)
    listener.on(Kind.SESSION_REVOKED, heard.append)
    await listener.start()
    issued = await sessions.create(store.client, KEY, pid=PID, tier="default")
    journal = Journal()
    assert await revocation.revoke(store, issued.sid, journal=journal)
    assert await lookup(store.client, KEY, issued.access_token) is Denial.TOKEN_REVOKED
    await until(lambda: heard == [Announcement(Kind.SESSION_REVOKED, sid=issued.sid)])
    assert journal.names == [issued.sid]
    await listener.close()


async def test_what_is_not_held_is_not_announced(store: Store) -> None:
    journal = Journal()
    assert not await revocation.revoke(store, "s" * 20, journal=journal)
    assert journal.names == []


async def test_all_of_an_account_and_no_other_s(store: Store) -> None:
    mine = [await sessions.create(store.client, KEY, pid=PID, tier="default") for _ in range(3)]
    other = await sessions.create(store.client, KEY, pid="pother", tier="default")
    await sessions.revoke(store.client, mine[0].sid)
    assert await revocation.revoke_all(store, PID) == 2
    for issued in mine:
        assert await lookup(store.client, KEY, issued.access_token) is Denial.TOKEN_REVOKED
    assert not isinstance(await lookup(store.client, KEY, other.access_token), Denial)


async def test_what_might_not_survive_a_failover_is_not_said_to_be_done(store: Store) -> None:
    issued = await sessions.create(store.client, KEY, pid=PID, tier="default")
    lone = Store(store.client, store.info, replicas=1)  # it is to be on a replica, and there is none
    with pytest.raises(Unconfirmed):
        await revocation.revoke(lone, issued.sid)
    assert await lookup(store.client, KEY, issued.access_token) is Denial.TOKEN_REVOKED
