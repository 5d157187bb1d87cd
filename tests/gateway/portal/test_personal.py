from __future__ import annotations

import re
from dataclasses import astuple

import pytest

from gateway.auth import revocation, sessions
from gateway.auth.principal import EVERY_SCOPE, Denial, Mode, Principal, Scope, lookup, session_key
from gateway.portal import personal
from metering.accounts.audit import read_audit
from metering.store.store import Store

KEY = b"k" * 32
DAY = 86_400


async def made(store: Store, name: str = "laptop", pid: str = "p1", life_s: int = DAY) -> sessions.Issued:
    return await personal.create(store, KEY, pid=pid, name=name, scopes=[Scope.MODELS, Scope.INFERENCE], life_s=life_s)


async def test_it_opens_its_account_with_its_scopes_and_no_other(store: Store) -> None:
    issued = await made(store)
    assert re.fullmatch(r"cgx_pat_[0-9A-Za-z]{20}_[0-9A-Za-z]{43}", issued.access_token)
    found = await lookup(store.client, KEY, issued.access_token)
    assert isinstance(found, Principal)
    assert (found.pid, found.mode, found.scopes) == ("p1", Mode.CLOUD, {Scope.INFERENCE, Scope.MODELS})


async def test_a_sign_in_has_every_scope_and_a_scope_of_another_version_is_not_had(store: Store) -> None:
    signed_in = await sessions.create(store.client, KEY, pid="p1", tier="t")
    found = await lookup(store.client, KEY, signed_in.access_token)
    assert isinstance(found, Principal)
    assert found.scopes == EVERY_SCOPE
    issued = await made(store)
    for stated, had in (("models everything", {Scope.MODELS}), ("", set()), ("INFERENCE", set())):
        await store.client.hset(session_key(issued.sid), "scopes", stated)
        found = await lookup(store.client, KEY, issued.access_token)
        assert isinstance(found, Principal)
        assert found.scopes == had


async def test_the_start_of_one_kind_does_not_open_the_other(store: Store) -> None:
    issued, signed_in = await made(store), await sessions.create(store.client, KEY, pid="p1", tier="t")
    for token in (
        issued.access_token.replace("cgx_pat_", "cgx_at_"),
        signed_in.access_token.replace("cgx_at_", "cgx_pat_"),
    ):
        assert await lookup(store.client, KEY, token) is Denial.TOKEN_INVALID


async def test_it_is_listed_apart_with_its_name_and_without_its_secret(store: Store) -> None:
    signed_in = await sessions.create(store.client, KEY, pid="p1", tier="t")
    first, second = await made(store, "a", life_s=60), await made(store, "CI job 2", life_s=120)
    await made(store, pid="p2")
    listed = await personal.of_account(store.client, "p1")
    assert [(token.sid, token.name, token.scopes) for token in listed] == [
        (first.sid, "a", (Scope.INFERENCE, Scope.MODELS)),
        (second.sid, "CI job 2", (Scope.INFERENCE, Scope.MODELS)),
    ]
    assert not any(second.access_token[-43:] in str(value) for value in astuple(listed[1]))
    everything = await sessions.of_account(store.client, "p1")
    assert [session.sid for session in everything if not session.personal] == [signed_in.sid]
    assert len(everything) == 3


async def test_it_is_revoked_as_every_session_is(store: Store) -> None:
    issued = await made(store)
    assert await revocation.revoke(store, issued.sid, actor="cli")
    assert await lookup(store.client, KEY, issued.access_token) is Denial.TOKEN_REVOKED
    assert [token.revoked_ms is None for token in await personal.of_account(store.client, "p1")] == [False]


async def test_it_goes_with_its_account(store: Store) -> None:
    issued = await made(store)
    assert await sessions.forget_account(store.client, "p1") == 1
    assert await lookup(store.client, KEY, issued.access_token) is Denial.TOKEN_INVALID
    assert await store.client.keys("*") == [b"audit"]


async def test_that_it_was_made_is_noted_and_a_refusal_is_not(store: Store) -> None:
    await made(store)
    with pytest.raises(personal.InvalidToken):
        await made(store, name="")
    assert [(entry.actor, entry.action, entry.pid) async for entry in read_audit(store)] == [("portal", "issued", "p1")]


@pytest.mark.parametrize("name", ["", " x", "x ", "x" * 33, "a\nb", "a/b", "<b>", "ünïcode"])
async def test_a_name_has_a_narrow_form(name: str, store: Store) -> None:
    with pytest.raises(personal.InvalidToken, match="letters"):
        await made(store, name)
    assert await store.client.dbsize() == 0


@pytest.mark.parametrize("life_s", [0, -1, personal.LONGEST_LIFE_S + 1])
async def test_it_lasts_a_year_at_most(life_s: int, store: Store) -> None:
    with pytest.raises(personal.InvalidToken, match="days"):
        await made(store, life_s=life_s)


async def test_it_has_a_scope_and_an_account_a_bounded_number(store: Store) -> None:
    with pytest.raises(personal.InvalidToken, match="inference, models, account"):
        await personal.create(store, KEY, pid="p1", name="x", scopes=(), life_s=DAY)
    issued = [await made(store, f"n{number}") for number in range(personal.MOST)]
    with pytest.raises(personal.InvalidToken, match="Revoke one"):
        await made(store)
    await revocation.revoke(store, issued[0].sid, actor="cli")
    await made(store)
