from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.auth import sessions
from gateway.auth.principal import Client, Mode, session_key
from gateway.auth.sessions import EXPIRED_GRACE_MS, index_key
from metering.store.store import Store, open_store

KEY = b"k" * 32


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    store = await open_store("embedded:", data_dir=tmp_path)
    yield store.client
    await store.close()


async def test_a_token_is_found_by_scanners_and_has_256_bits(client: Client) -> None:
    tokens = [(await sessions.create(client, KEY, pid="p1", tier="t")).access_token for _ in range(20)]
    assert len(set(tokens)) == 20
    for token in tokens:
        assert re.fullmatch(r"cgx_at_[0-9A-Za-z]{20}_[0-9A-Za-z]{43}", token)
    assert 62**43 > 2**256


async def test_the_store_never_holds_a_token_or_its_secret(client: Client) -> None:
    issued = await sessions.create(client, KEY, pid="p1", tier="t", mode=Mode.LOCAL)
    secret = issued.access_token.rpartition("_")[2]
    held = b""
    async for name in client.scan_iter():
        kind = await client.type(name)
        held += name + repr(await (client.hgetall(name) if kind == b"hash" else client.zrange(name, 0, -1))).encode()
    assert issued.sid.encode() in held
    assert secret.encode() not in held


async def test_what_is_held_about_a_session(client: Client) -> None:
    issued = await sessions.create(
        client, KEY, pid="p1", tier="pro", mode=Mode.LOCAL, life_s=60, region="eu", app_version="1+2", platform="x"
    )
    session = await sessions.get(client, issued.sid)
    assert session is not None
    assert (session.pid, session.tier, session.mode) == ("p1", "pro", "local")
    assert (session.region, session.app_version, session.platform) == ("eu", "1+2", "x")
    assert session.expires_ms - session.created_ms == 60_000 == issued.expires_in * 1_000
    assert session.revoked_ms is None


@pytest.mark.parametrize("label", ["has space", "x" * 33, "new\nline", "ünïcode", "a/b"])
@pytest.mark.parametrize("name", ["region", "app_version", "platform"])
async def test_a_label_is_a_short_word(name: str, label: str, client: Client) -> None:
    with pytest.raises(ValueError, match="label"):
        await sessions.create(client, KEY, pid="p1", tier="t", **{name: label})  # type: ignore[arg-type]
    assert await client.dbsize() == 0


async def test_everything_about_a_session_goes_a_day_after_its_expiry(client: Client) -> None:
    issued = await sessions.create(client, KEY, pid="p1", tier="t", life_s=60)
    session = await sessions.get(client, issued.sid)
    assert session is not None
    gone = session.expires_ms + EXPIRED_GRACE_MS
    assert await client.pexpiretime(session_key(issued.sid)) == gone
    assert await client.pexpiretime(index_key("p1")) == gone


async def test_the_index_lives_as_long_as_its_longest_session(client: Client) -> None:
    await sessions.create(client, KEY, pid="p1", tier="t", life_s=1_000)
    longest = await client.pexpiretime(index_key("p1"))
    await sessions.create(client, KEY, pid="p1", tier="t", life_s=10)
    assert await client.pexpiretime(index_key("p1")) == longest
    await sessions.create(client, KEY, pid="p1", tier="t", life_s=2_000)
    assert await client.pexpiretime(index_key("p1")) > longest


async def test_the_index_forgets_sessions_that_are_gone(client: Client) -> None:
    await client.zadd(index_key("p1"), {"gone" * 5: 1})
    issued = await sessions.create(client, KEY, pid="p1", tier="t")
    assert await client.zrange(index_key("p1"), 0, -1) == [issued.sid.encode()]


async def test_listing_is_per_account_and_over_all(client: Client) -> None:
    first = await sessions.create(client, KEY, pid="p1", tier="t", life_s=20)
    second = await sessions.create(client, KEY, pid="p1", tier="t", life_s=10)
    other = await sessions.create(client, KEY, pid="p2", tier="t")
    await client.set("s:plain", "another key")
    assert [session.sid for session in await sessions.of_account(client, "p1")] == [second.sid, first.sid]
    assert {session.sid for session in await sessions.all_held(client)} == {first.sid, second.sid, other.sid}
    assert await sessions.of_account(client, "nobody") == []


async def test_on_a_cluster_sessions_are_read_and_forgotten_a_batch_at_a_time(
    cluster: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "BATCH", 2)
    client = cluster.client
    # Later ones expire earlier: the order of the account's list is not that of all.
    made = [(await sessions.create(client, KEY, pid="p1", tier=f"t{n}", life_s=1_000 - n)).sid for n in range(7)]
    other = (await sessions.create(client, KEY, pid="p2", tier="t")).sid
    gone = made.pop(3)
    await client.delete(session_key(gone))
    listed = await sessions.of_account(client, "p1")
    assert [session.sid for session in listed] == made[::-1]
    assert [session.tier for session in listed] == ["t6", "t5", "t4", "t2", "t1", "t0"]
    held = await sessions.all_held(client)
    assert [(session.created_ms, session.sid) for session in held] == sorted(
        (session.created_ms, session.sid) for session in held
    )
    assert {session.sid for session in held} == {*made, other}
    assert await sessions.forget_account(client, "p1") == 7  # as many as its index held
    assert [session.sid for session in await sessions.all_held(client)] == [other]
    assert not await client.exists(index_key("p1"))


async def test_a_session_that_is_gone_is_not_listed(client: Client) -> None:
    issued = await sessions.create(client, KEY, pid="p1", tier="t")
    await client.delete(session_key(issued.sid))
    assert await sessions.of_account(client, "p1") == []


async def test_revoking_leaves_a_tombstone_with_the_first_time(client: Client) -> None:
    issued = await sessions.create(client, KEY, pid="p1", tier="t", life_s=60)
    assert await sessions.revoke(client, issued.sid)
    first = await sessions.get(client, issued.sid)
    assert await sessions.revoke(client, issued.sid)
    second = await sessions.get(client, issued.sid)
    assert first is not None
    assert first == second
    assert first.revoked_ms is not None
    assert await client.pexpiretime(session_key(issued.sid)) == first.expires_ms + EXPIRED_GRACE_MS


async def test_revoking_what_is_not_held_leaves_nothing(client: Client) -> None:
    assert not await sessions.revoke(client, "s" * 20)
    assert await client.dbsize() == 0
