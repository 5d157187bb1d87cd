from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.auth import entitlements, sessions
from gateway.auth.authenticator import Authenticator
from gateway.auth.entitlements import Entitlements
from gateway.auth.principal import Denial, Mode, Principal
from gateway.errors import MeteringUnavailable, TokenExpired, TokenInvalid, TokenRevoked
from metering.store.store import Store, open_store

KEY = b"k" * 32
PID = "p" + "a" * 24


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await open_store("embedded:", data_dir=tmp_path)
    yield opened
    await opened.close()


async def test_a_token_opens_its_session_and_is_then_known_without_the_store(store: Store) -> None:
    issued = await sessions.create(store.client, KEY, pid=PID, tier="default")
    authenticator = Authenticator(store.client, KEY)
    assert authenticator.cached(issued.access_token) is None
    principal = await authenticator.authenticate(issued.access_token)
    assert (principal.pid, principal.sid) == (PID, issued.sid)
    assert authenticator.cached(issued.access_token) == principal


@pytest.mark.parametrize("token", [None, "", "nonsense", "cgx_at_" + "0" * 20 + "_" + "0" * 43, "\udcff"])
async def test_what_is_no_token_is_invalid(store: Store, token: str | None) -> None:
    with pytest.raises(TokenInvalid):
        await Authenticator(store.client, KEY).authenticate(token)


async def test_a_revoked_session_is_told_apart_once_it_is_forgotten(store: Store) -> None:
    issued = await sessions.create(store.client, KEY, pid=PID, tier="default")
    authenticator = Authenticator(store.client, KEY)
    await authenticator.authenticate(issued.access_token)
    await sessions.revoke(store.client, issued.sid)
    authenticator.forget(issued.sid)
    with pytest.raises(TokenRevoked):
        await authenticator.authenticate(issued.access_token)


async def test_a_session_expires_also_in_the_cache(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    issued = await sessions.create(store.client, KEY, pid=PID, tier="default", life_s=60)
    authenticator = Authenticator(store.client, KEY)
    principal = await authenticator.authenticate(issued.access_token)
    monkeypatch.setattr("time.time_ns", lambda: (principal.expires_ms + 1) * 1_000_000)
    with pytest.raises(TokenExpired):
        await authenticator.authenticate(issued.access_token)


async def test_a_store_that_is_away_never_becomes_a_401(tmp_path: Path) -> None:
    store = await open_store("embedded:", data_dir=tmp_path)
    issued = await sessions.create(store.client, KEY, pid=PID, tier="default")
    await store.close()
    authenticator = Authenticator(store.client, KEY)
    with pytest.raises(MeteringUnavailable):
        await authenticator.authenticate(issued.access_token)
    assert authenticator.cached(issued.access_token) is None


ORG = entitlements.org_digest(KEY, "an organisation")


async def test_what_account_and_organisation_state_joins_the_session(store: Store) -> None:
    issued = await sessions.create(store.client, KEY, pid=PID, tier="default", region="eu")
    await entitlements.write(store.client, PID, Entitlements(1, "pro", frozenset("ab"), org=ORG))
    await entitlements.write_org(store.client, ORG, Entitlements(1, models=frozenset("bc"), mode="cloud"))
    principal = await Authenticator(store.client, KEY).authenticate(issued.access_token)
    assert (principal.sid, principal.pid, principal.tier, principal.tiers) == (issued.sid, PID, "pro", ("pro",))
    assert (principal.models, principal.regions, principal.mode) == ({"b"}, {"eu"}, Mode.CLOUD)


@pytest.mark.parametrize("name", ["sid", "pid", "org"])
async def test_a_changed_policy_is_seen_once_it_is_announced(store: Store, name: str) -> None:
    issued = await sessions.create(store.client, KEY, pid=PID, tier="default")
    await entitlements.write(store.client, PID, Entitlements(1, org=ORG))
    authenticator = Authenticator(store.client, KEY)
    for _ in range(3):  # cold, and then with what is known of the session
        assert (await authenticator.authenticate(issued.access_token)).mode is Mode.CLOUD
        authenticator.forget(issued.sid)
    before = await authenticator.authenticate(issued.access_token)
    if name == "org":
        await entitlements.write_org(store.client, ORG, Entitlements(1, mode="local"))
    else:
        await entitlements.write(store.client, PID, Entitlements(2, org=ORG, mode="local"))
    assert await authenticator.authenticate(issued.access_token) is before
    authenticator.forget("p" + "b" * 24)
    assert await authenticator.authenticate(issued.access_token) is before
    authenticator.forget({"sid": issued.sid, "pid": PID, "org": ORG}[name])
    assert (await authenticator.authenticate(issued.access_token)).mode is Mode.LOCAL


async def test_another_organisation_is_found_at_once(store: Store) -> None:
    issued = await sessions.create(store.client, KEY, pid=PID, tier="default")
    other = entitlements.org_digest(KEY, "another")
    await entitlements.write_org(store.client, ORG, Entitlements(1, region="eu"))
    await entitlements.write_org(store.client, other, Entitlements(1, region="us"))
    authenticator = Authenticator(store.client, KEY)
    seen = []
    for version, org in enumerate((ORG, other, "", ORG), 1):
        await entitlements.write(store.client, PID, Entitlements(version, org=org))
        authenticator.forget(PID)
        seen.append((await authenticator.authenticate(issued.access_token)).regions)
    assert seen == [{"eu"}, {"us"}, None, {"eu"}]


async def test_what_is_forgotten_while_it_is_loaded_is_not_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    issued = await sessions.create(store.client, KEY, pid=PID, tier="default")
    authenticator = Authenticator(store.client, KEY)
    load = authenticator._load

    async def announced_meanwhile(token: str) -> Principal | Denial:
        found = await load(token)
        authenticator.forget(issued.sid)
        return found

    monkeypatch.setattr(authenticator, "_load", announced_meanwhile)
    assert (await authenticator.authenticate(issued.access_token)).sid == issued.sid
    assert authenticator.cached(issued.access_token) is None


async def test_what_is_revoked_while_it_is_loaded_begins_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    issued = await sessions.create(store.client, KEY, pid=PID, tier="default")
    authenticator = Authenticator(store.client, KEY)
    load = authenticator._load

    async def revoked_meanwhile(token: str) -> Principal | Denial:
        found = await load(token)
        if isinstance(found, Principal):
            await sessions.revoke(store.client, issued.sid)
            authenticator.forget(issued.sid)
        return found

    monkeypatch.setattr(authenticator, "_load", revoked_meanwhile)
    with pytest.raises(TokenRevoked):
        await authenticator.authenticate(issued.access_token)


async def test_a_gap_forgets_everything(store: Store) -> None:
    issued = await sessions.create(store.client, KEY, pid=PID, tier="default")
    authenticator = Authenticator(store.client, KEY)
    await authenticator.authenticate(issued.access_token)
    authenticator.forget_all()
    assert authenticator.cached(issued.access_token) is None


async def test_the_cache_is_bounded_and_so_is_its_index(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.auth.authenticator.CACHE_ENTRIES", 3)
    authenticator = Authenticator(store.client, KEY)
    for _ in range(10):
        issued = await sessions.create(store.client, KEY, pid=PID, tier="default")
        await authenticator.authenticate(issued.access_token)
    assert len(authenticator._cache) == 3
    assert {name: len(keys) for name, keys in authenticator._named.items() if name == PID} == {PID: 3}
    assert len(authenticator._named) == 4


async def test_on_a_cluster_the_keys_are_in_different_slots(cluster: Store) -> None:
    issued = await sessions.create(cluster.client, KEY, pid=PID, tier="default")
    await entitlements.write(cluster.client, PID, Entitlements(1, "pro", org=ORG))
    await entitlements.write_org(cluster.client, ORG, Entitlements(1, region="eu"))
    authenticator = Authenticator(cluster.client, KEY)
    for _ in range(2):
        principal = await authenticator.authenticate(issued.access_token)
        assert (principal.tier, principal.regions) == ("pro", {"eu"})
        authenticator.forget(PID)
