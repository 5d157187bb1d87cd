from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth import sessions
from gateway.auth.principal import (
    Client,
    Denial,
    Mode,
    Principal,
    lookup,
    session_key,
    sid_of,
    token_digest,
    worth_trying,
)
from metering.store.store import open_store

KEY = b"k" * 32


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    store = await open_store("embedded:", data_dir=tmp_path)
    yield store.client
    await store.close()


async def test_a_token_opens_its_session(client: Client) -> None:
    issued = await sessions.create(
        client, KEY, pid="p1", tier="pro", life_s=60, region="eu", app_version="1.2.3", platform="linux-x64"
    )
    found = await lookup(client, KEY, issued.access_token)
    assert isinstance(found, Principal)
    assert (found.sid, found.pid, found.tier, found.mode) == (issued.sid, "p1", "pro", Mode.CLOUD)
    assert (found.region, found.app_version, found.platform) == ("eu", "1.2.3", "linux-x64")


@pytest.mark.parametrize("mode", ["local", "Cloud", "cloud ", "", "hybrid"])
async def test_a_session_that_is_not_exactly_cloud_is_local(mode: str, client: Client) -> None:
    issued = await sessions.create(client, KEY, pid="p1", tier="t")
    await client.hset(session_key(issued.sid), "mode", mode)
    found = await lookup(client, KEY, issued.access_token)
    assert isinstance(found, Principal)
    assert found.mode is Mode.LOCAL


async def test_a_session_without_a_mode_is_local(client: Client) -> None:
    issued = await sessions.create(client, KEY, pid="p1", tier="t")
    await client.hdel(session_key(issued.sid), "mode")
    found = await lookup(client, KEY, issued.access_token)
    assert isinstance(found, Principal)
    assert found.mode is Mode.LOCAL


async def test_a_wrong_secret_is_invalid_whatever_the_session_s_state(client: Client) -> None:
    issued = await sessions.create(client, KEY, pid="p1", tier="t", life_s=1)
    other = issued.access_token[:-1] + ("A" if issued.access_token[-1] != "A" else "B")
    assert await lookup(client, KEY, other) is Denial.TOKEN_INVALID
    assert await lookup(client, KEY, other, now_ms=2**52) is Denial.TOKEN_INVALID
    await sessions.revoke(client, issued.sid)
    assert await lookup(client, KEY, other) is Denial.TOKEN_INVALID


async def test_another_key_opens_nothing(client: Client) -> None:
    issued = await sessions.create(client, KEY, pid="p1", tier="t")
    assert await lookup(client, b"x" * 32, issued.access_token) is Denial.TOKEN_INVALID


async def test_expiry_is_exact(client: Client) -> None:
    issued = await sessions.create(client, KEY, pid="p1", tier="t", life_s=60)
    session = await sessions.get(client, issued.sid)
    assert session is not None
    before = await lookup(client, KEY, issued.access_token, now_ms=session.expires_ms - 1)
    assert isinstance(before, Principal)
    assert before.expires_ms == session.expires_ms
    at = await lookup(client, KEY, issued.access_token, now_ms=session.expires_ms)
    assert at is Denial.TOKEN_EXPIRED


async def test_revoked_is_told_apart_from_unknown_and_goes_before_expired(client: Client) -> None:
    issued = await sessions.create(client, KEY, pid="p1", tier="t", life_s=60)
    await sessions.revoke(client, issued.sid)
    assert await lookup(client, KEY, issued.access_token) is Denial.TOKEN_REVOKED
    assert await lookup(client, KEY, issued.access_token, now_ms=2**52) is Denial.TOKEN_REVOKED
    await client.delete(session_key(issued.sid))
    assert await lookup(client, KEY, issued.access_token) is Denial.TOKEN_INVALID


WELL_FORMED = "cgx_at_" + "s" * 20 + "_" + "x" * 43


async def test_a_well_formed_token_of_nobody(client: Client) -> None:
    assert sid_of(WELL_FORMED) == "s" * 20
    assert await lookup(client, KEY, WELL_FORMED) is Denial.TOKEN_INVALID


async def test_a_session_without_a_digest_opens_to_nothing(client: Client) -> None:
    await client.hset(session_key("s" * 20), "pid", "p1")
    assert await lookup(client, KEY, WELL_FORMED) is Denial.TOKEN_INVALID


@pytest.mark.parametrize(
    "token",
    [
        "",
        WELL_FORMED + "x",
        WELL_FORMED[:-1],
        WELL_FORMED + "\n",
        " " + WELL_FORMED,
        WELL_FORMED.replace("cgx_at_", "cgx_rt_"),
        WELL_FORMED.replace("cgx_at_", "cgx_pat_at_"),
        WELL_FORMED.replace("s", "}", 1),
        WELL_FORMED.replace("s", "é", 1),
        WELL_FORMED.replace("s", "\udcff", 1),
        "sk-" + "x" * 48,
    ],
)
async def test_a_malformed_token_never_reaches_the_store(token: str) -> None:
    class Untouchable:
        def __getattr__(self, name: str) -> object:
            raise AssertionError(name)

    assert await lookup(Untouchable(), KEY, token) is Denial.TOKEN_INVALID  # type: ignore[arg-type]


@given(st.text())
def test_only_well_formed_tokens_have_a_session_id(token: str) -> None:
    sid = sid_of(token)
    assert sid is None or re.fullmatch(r"[0-9A-Za-z]{20}", sid)


def test_the_digest_is_keyed_and_not_the_token() -> None:
    assert token_digest(KEY, WELL_FORMED) != token_digest(b"x" * 32, WELL_FORMED)
    assert WELL_FORMED not in token_digest(KEY, WELL_FORMED)


A, B, C = (f"cgx_at_{letter * 20}_{letter * 43}" for letter in "abc")
PERSONAL = f"cgx_pat_{'p' * 20}_{'p' * 43}"


@pytest.mark.parametrize(
    ("tokens", "tried"),
    [
        ([], []),
        (["anything"], ["anything"]),
        (["sk-ant-oat01-stale", A], [A]),
        ([A, "sk-ant-api03-cached"], [A]),
        (["sk-old", PERSONAL, "sk-older"], [PERSONAL]),
        ([A, A], [A]),
        ([B, A], [B, A]),
        ([A, B, C, PERSONAL], [A, B, C]),
        (["a", "b"], ["a"]),
    ],
)
def test_which_of_several_tokens_are_tried(tokens: list[str], tried: list[str]) -> None:
    assert list(worth_trying(tokens)) == tried
