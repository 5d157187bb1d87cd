import asyncio
import re

from metering.accounts.identity_map import Accounts, IdentityKey, new_pid

OLD, NEW = IdentityKey(1, b"o" * 32), IdentityKey(2, b"n" * 32)


async def test_a_user_keeps_the_account_drawn_first(store):
    accounts = Accounts(store, [OLD])
    assert await accounts.pid_of("alice@example.com") is None
    pid = await accounts.pid_of("alice@example.com", create=True)
    assert await accounts.pid_of("alice@example.com", create=True) == pid
    assert await accounts.pid_of("alice@example.com") == pid
    assert await accounts.pid_of("bob@example.com", create=True) != pid


async def test_callers_at_once_agree(store):
    pids = await asyncio.gather(*(Accounts(store, [OLD]).pid_of("alice", create=True) for _ in range(50)))
    assert len(set(pids)) == 1


async def test_the_store_does_not_hold_the_user(store):
    await Accounts(store, [OLD]).pid_of("alice@example.com", create=True)
    (name,) = await store.client.keys("*")
    assert re.fullmatch(rb"u:[0-9a-f]{64}", name)
    assert re.fullmatch(rb"1:p[a-z2-7]{24}", await store.client.get(name))


async def test_rotating_the_key_keeps_the_account(store):
    pid = await Accounts(store, [OLD]).pid_of("alice", create=True)
    assert await Accounts(store, [NEW, OLD]).pid_of("alice", create=True) == pid
    assert await Accounts(store, [NEW]).pid_of("alice") == pid
    assert await Accounts(store, [OLD]).pid_of("alice") == pid


async def test_the_names_are_every_link(store):
    both = Accounts(store, [NEW, OLD])
    await Accounts(store, [OLD]).pid_of("alice", create=True)
    await both.pid_of("alice")
    assert await store.client.delete(*both.names("alice")) == 2
    assert await store.client.keys("*") == []
    assert await both.pid_of("alice") is None


def test_account_ids_are_random():
    assert len({new_pid() for _ in range(1000)}) == 1000
