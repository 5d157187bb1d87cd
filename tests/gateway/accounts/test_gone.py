"""What an act leaves behind of an account is not there once the account is erased, whichever of the two came first."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from gateway.accounts.administration import Administration
from gateway.auth import choice, entitlements, sessions
from gateway.auth.principal import Denial, Scope, lookup
from gateway.oauth import refresh
from gateway.oauth.device import Redeemed
from gateway.portal import personal
from metering.accounts.identity_map import Accounts
from metering.accounts.living import AccountGone, lives
from metering.ledger.types import LedgerConflict
from metering.store.store import Store
from metering.stripe import customers
from tests.gateway.accounts.test_administration import everything
from tests.gateway.billing_fixtures import KEY, USER, accounts, admin, erase, erased
from tests.ledger_fixtures import embedded_url, folder, ledger, store, store_url

__all__ = ["accounts", "admin", "embedded_url", "erased", "folder", "ledger", "store", "store_url"]

ROUNDS = 30
WRITES: dict[str, Callable[[Store, str], Awaitable[object]]] = {
    "a session": lambda store, pid: sessions.create(store.client, KEY, pid=pid, tier="default"),
    "a personal token": lambda store, pid: personal.create(
        store, KEY, pid=pid, name="tool", scopes=[Scope.MODELS], life_s=60
    ),
    "a device's tokens": lambda store, pid: refresh.begin(
        store.client, KEY, Redeemed(pid, "default", "inference", "", ""), client_id="codegrex-ide"
    ),
    "a choice": lambda store, pid: choice.write(store, pid, choice.Choice("local", "")),
    "entitlements": lambda store, pid: entitlements.write(store.client, pid, entitlements.Entitlements(7)),
    "a customer": lambda store, pid: customers.assign(store, pid, "cus_1"),
}


async def left(store: Store, pid: str) -> set[str]:
    """What is held of an account, but for its mark, the audit stream and the tombstones of grants."""
    found = {name for name, value in await everything(store) if pid in name + value}
    return {name for name in found if name != "audit" and ":grant:" not in name and not name.endswith(f"acct:{pid}")}


async def made(admin: Administration) -> str:
    return (await admin.grant(USER, 100, "g", actor="billing")).pid


@pytest.mark.parametrize("what", WRITES)
async def test_it_is_refused_and_taken_back(admin: Administration, store: Store, what: str) -> None:
    pid = await made(admin)
    await WRITES[what](store, pid)
    await erase(admin, actor="cli")
    assert not await lives(store.client, pid)
    assert await left(store, pid) == set()
    with pytest.raises(AccountGone):
        await WRITES[what](store, pid)
    assert await left(store, pid) == set()


@pytest.mark.parametrize("what", WRITES)
async def test_it_is_gone_however_the_two_meet(admin: Administration, store: Store, what: str) -> None:
    rng = random.Random(what)
    for _ in range(ROUNDS):
        pid = await made(admin)

        async def act(pid: str = pid) -> None:
            await asyncio.sleep(rng.uniform(0, 0.004))
            await WRITES[what](store, pid)

        done = asyncio.gather(act(), return_exceptions=True)
        await erase(admin, actor="cli")
        [outcome] = await done
        assert outcome is None or isinstance(outcome, LedgerConflict), outcome
        assert await left(store, pid) == set(), outcome


async def test_refresh_tokens_go_with_their_session(admin: Administration, store: Store) -> None:
    pid = await made(admin)
    await refresh.begin(store.client, KEY, Redeemed(pid, "default", "inference", "", ""), client_id="codegrex-ide")
    assert [name async for name in store.client.scan_iter(match="f:*")]
    await erase(admin, actor="cli")
    assert not [name async for name in store.client.scan_iter(match="[fs]:*")]


async def test_a_link_that_an_erasure_missed_leads_nowhere(
    admin: Administration, store: Store, accounts: Accounts
) -> None:
    """As of a key that was rotated while somebody was signed in."""
    pid = await made(admin)
    [name] = accounts.names(USER)
    link = await store.client.get(name)
    issued = await sessions.create(store.client, KEY, pid=pid, tier="default")
    await admin.rights.erase(pid, (), actor="cli")
    assert await store.client.get(name) == link
    assert await accounts.pid_of(USER) is None
    assert await store.client.get(name) is None
    await store.client.set(name, link)
    pids = await asyncio.gather(*(accounts.pid_of(USER, create=True) for _ in range(20)))
    assert len(set(pids)) == 1
    assert pids[0] != pid
    assert await lookup(store.client, KEY, issued.access_token) is Denial.TOKEN_INVALID
