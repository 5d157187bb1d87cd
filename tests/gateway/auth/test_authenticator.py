from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.auth import sessions
from gateway.auth.authenticator import Authenticator
from gateway.errors import MeteringUnavailable, TokenExpired, TokenInvalid, TokenRevoked
from metering.store import Store, open_store

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
    monkeypatch.setattr("gateway.auth.authenticator.time.time_ns", lambda: (principal.expires_ms + 1) * 1_000_000)
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
