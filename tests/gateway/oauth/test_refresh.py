"""Refresh tokens on a real store: rotation, lost answers, races, reuse."""

from __future__ import annotations

import asyncio

import pytest

from gateway.auth import sessions
from gateway.auth.principal import Client, Denial, Principal, family_key, lookup, session_key
from gateway.oauth import refresh
from gateway.oauth.device import Redeemed
from gateway.oauth.refresh import GRACE_S, RefreshDenied, Reused, Tokens
from metering.store.store import Store

KEY = b"k" * 32
PID = "p" + "a" * 24


async def sign_in(client: Client) -> Tokens:
    redeemed = Redeemed(PID, "pro", "inference", "1.2.3", "linux-x64")
    return await refresh.begin(client, KEY, redeemed, client_id="codegrex-ide")


async def refreshed(client: Client, token: str) -> Tokens:
    found = await refresh.rotate(client, KEY, token)
    assert isinstance(found, Tokens)
    return found


async def later(client: Client, sid: str, seconds: float) -> None:
    """Let the last rotation be so long ago."""
    rotated = int(await client.hget(family_key(sid), "rotated") or 0)
    await client.hset(family_key(sid), "rotated", str(rotated - int(seconds * 1_000)))


async def test_a_sign_in_is_a_session_of_its_account(store: Store) -> None:
    tokens = await sign_in(store.client)
    found = await lookup(store.client, KEY, tokens.access_token)
    assert isinstance(found, Principal)
    assert (found.sid, found.pid, found.tier, found.app_version) == (tokens.sid, PID, "pro", "1.2.3")
    assert tokens.expires_in == 900
    session = await sessions.get(store.client, tokens.sid)
    assert session is not None
    assert session.expires_ms - session.created_ms == 90 * 86_400_000


async def test_a_refresh_keeps_the_session_and_both_access_tokens_work(store: Store) -> None:
    first = await sign_in(store.client)
    second = await refreshed(store.client, first.refresh_token)
    assert second.sid == first.sid
    assert second.refresh_token != first.refresh_token
    assert second.access_token != first.access_token
    for token in (first.access_token, second.access_token):
        assert isinstance(await lookup(store.client, KEY, token), Principal)
    third = await refreshed(store.client, second.refresh_token)
    assert isinstance(await lookup(store.client, KEY, third.access_token), Principal)
    await store.client.hset(session_key(first.sid), "created", "7")  # a sign-in of long ago stays one
    fourth = await refreshed(store.client, third.refresh_token)
    found = await lookup(store.client, KEY, fourth.access_token)
    assert isinstance(found, Principal)
    assert found.begun_ms == 7
    assert await lookup(store.client, KEY, first.access_token) is Denial.TOKEN_INVALID


async def test_the_token_before_the_refresh_ends_at_its_own_time(store: Store) -> None:
    first = await sign_in(store.client)
    await store.client.hset(session_key(first.sid), "expires", "1")
    second = await refreshed(store.client, first.refresh_token)
    assert await lookup(store.client, KEY, first.access_token) is Denial.TOKEN_EXPIRED
    assert isinstance(await lookup(store.client, KEY, second.access_token), Principal)


async def test_a_lost_answer_is_given_again(store: Store) -> None:
    first = await sign_in(store.client)
    answers = [await refreshed(store.client, first.refresh_token) for _ in range(3)]
    assert {(answer.access_token, answer.refresh_token) for answer in answers} == {
        (answers[0].access_token, answers[0].refresh_token)
    }
    await refreshed(store.client, answers[0].refresh_token)


async def test_refreshes_that_race_get_the_same_tokens(store: Store) -> None:
    first = await sign_in(store.client)
    answers = await asyncio.gather(*(refreshed(store.client, first.refresh_token) for _ in range(20)))
    assert len({(answer.access_token, answer.refresh_token) for answer in answers}) == 1
    assert isinstance(await lookup(store.client, KEY, answers[0].access_token), Principal)


async def test_reuse_after_the_grace_revokes_the_session(store: Store) -> None:
    first = await sign_in(store.client)
    second = await refreshed(store.client, first.refresh_token)
    await later(store.client, first.sid, GRACE_S + 1)
    assert await refresh.rotate(store.client, KEY, first.refresh_token) == Reused(first.sid, PID)
    assert await refresh.rotate(store.client, KEY, second.refresh_token) is RefreshDenied.REVOKED
    assert await lookup(store.client, KEY, second.access_token) is Denial.TOKEN_REVOKED


async def test_reuse_of_an_older_one_revokes_at_once(store: Store) -> None:
    first = await sign_in(store.client)
    second = await refreshed(store.client, first.refresh_token)
    await refreshed(store.client, second.refresh_token)
    assert isinstance(await refresh.rotate(store.client, KEY, first.refresh_token), Reused)


async def test_who_knows_the_session_s_id_can_t_revoke_it(store: Store) -> None:
    first = await sign_in(store.client)
    for forged in (f"cgx_rt_{first.sid}_{'x' * 54}", first.refresh_token[:-1] + "!", "", first.access_token):
        assert await refresh.rotate(store.client, KEY, forged) is RefreshDenied.INVALID
    assert await refresh.rotate(store.client, b"x" * 32, first.refresh_token) is RefreshDenied.INVALID
    await refreshed(store.client, first.refresh_token)


async def test_another_client_s_refresh_is_invalid_and_harmless(store: Store) -> None:
    first = await sign_in(store.client)
    assert await refresh.rotate(store.client, KEY, first.refresh_token, client_id="other") is RefreshDenied.INVALID
    assert isinstance(
        await refresh.rotate(store.client, KEY, first.refresh_token, client_id="codegrex-ide", app_version="2.0"),
        Tokens,
    )
    session = await sessions.get(store.client, first.sid)
    assert session is not None
    assert session.app_version == "2.0"


async def test_a_family_ends(store: Store) -> None:
    first = await sign_in(store.client)
    await store.client.hset(family_key(first.sid), "until", "1")
    assert await refresh.rotate(store.client, KEY, first.refresh_token) is RefreshDenied.EXPIRED
    await store.client.delete(family_key(first.sid))
    assert await refresh.rotate(store.client, KEY, first.refresh_token) is RefreshDenied.INVALID


async def test_the_store_holds_no_token(store: Store) -> None:
    first = await sign_in(store.client)
    second = await refreshed(store.client, first.refresh_token)
    held = ""
    for name in (family_key(first.sid), session_key(first.sid)):
        held += repr(await store.client.hgetall(name))
        assert await store.client.pttl(name) > 0
    for token in (first.access_token, first.refresh_token, second.access_token, second.refresh_token):
        assert token.rpartition("_")[2] not in held


@pytest.mark.parametrize("version", ["has space", "x" * 33])
async def test_an_app_version_that_nobody_can_read_changes_nothing(store: Store, version: str) -> None:
    first = await sign_in(store.client)
    await refresh.rotate(store.client, KEY, first.refresh_token, app_version=version)
    session = await sessions.get(store.client, first.sid)
    assert session is not None
    assert session.app_version == "1.2.3"


async def test_on_a_cluster(cluster: Store) -> None:
    first = await sign_in(cluster.client)
    answers = await asyncio.gather(*(refreshed(cluster.client, first.refresh_token) for _ in range(10)))
    assert len({answer.refresh_token for answer in answers}) == 1
    assert isinstance(await lookup(cluster.client, KEY, answers[0].access_token), Principal)
