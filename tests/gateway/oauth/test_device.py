"""The device grant on a real store: what each party asks, and what it is told."""

from __future__ import annotations

import asyncio
import re

import pytest

from gateway.auth.principal import Client
from gateway.oauth import device
from gateway.oauth.device import GrantState, PollDenied, Redeemed, Started, grant_key
from metering.store.store import Store

KEY = b"k" * 32
PID = "p" + "a" * 24
APP = "codegrex-ide"


async def begin(client: Client) -> Started:
    return await device.start(client, KEY, client_id=APP, app_version="1.2.3", platform="linux-x64", scope="inference")


def handle(started: Started) -> str:
    return grant_key(started.device_code.split("_")[2])


async def ask(client: Client, started: Started) -> Redeemed | PollDenied:
    return await device.poll(client, KEY, started.device_code, client_id=APP)


async def test_the_codes_have_their_form(store: Store) -> None:
    started = await begin(store.client)
    assert re.fullmatch(r"cgx_dc_[0-9a-f]{32}_[0-9A-Za-z]{43}", started.device_code)
    assert re.fullmatch(r"[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}", started.user_code)
    assert (started.expires_in, started.interval) == (600, 5)


async def test_the_store_holds_neither_code(store: Store) -> None:
    started = await begin(store.client)
    [name] = await store.client.keys()
    held = name.decode() + repr(await store.client.hgetall(name))
    assert started.device_code not in held
    assert started.device_code.rpartition("_")[2] not in held
    assert started.user_code.replace("-", "") not in held
    assert 600_000 < await store.client.pttl(name) <= 1_200_000


async def test_what_a_person_decides_about(store: Store) -> None:
    started = await begin(store.client)
    grant = await device.pending(store.client, KEY, started.user_code)
    assert grant is not None
    assert (grant.client_id, grant.app_version, grant.platform) == (APP, "1.2.3", "linux-x64")
    assert (grant.scope, grant.state) == ("inference", GrantState.PENDING)
    assert grant.expires_ms - grant.created_ms == 600_000


@pytest.mark.parametrize("write", [str.lower, lambda code: code.replace("-", " "), lambda code: f" {code}\n"])
async def test_a_user_code_is_found_however_it_is_written(store: Store, write) -> None:  # type: ignore[no-untyped-def]
    started = await begin(store.client)
    assert await device.pending(store.client, KEY, write(started.user_code)) is not None


@pytest.mark.parametrize("code", ["", "BBBB-BBB", "AAAA-AAAA", "B" * 9, "B" * 100_000, "ﬀBBBBBB", "BBBB\0BBBB"])
async def test_what_is_no_user_code_finds_nothing(store: Store, code: str) -> None:
    assert await device.pending(store.client, KEY, code) is None
    assert not await device.approve(store.client, KEY, code, pid=PID, tier="default")
    assert not await device.deny(store.client, KEY, code)


async def test_approved_and_redeemed_once(store: Store) -> None:
    client = store.client
    started = await begin(client)
    assert await ask(client, started) is PollDenied.AUTHORIZATION_PENDING
    assert await device.approve(client, KEY, started.user_code, pid=PID, tier="pro")
    assert await ask(client, started) == Redeemed(PID, "pro", "inference", "1.2.3", "linux-x64")
    assert await ask(client, started) is PollDenied.INVALID_GRANT
    grant = await device.pending(client, KEY, started.user_code)
    assert grant is not None
    assert grant.state is GrantState.REDEEMED


async def test_of_many_polls_that_race_one_redeems(store: Store) -> None:
    started = await begin(store.client)
    await device.approve(store.client, KEY, started.user_code, pid=PID, tier="pro")
    answers = await asyncio.gather(*(ask(store.client, started) for _ in range(20)))
    assert sum(isinstance(answer, Redeemed) for answer in answers) == 1
    assert answers.count(PollDenied.INVALID_GRANT) == 19


async def test_of_two_decisions_that_race_one_stands(store: Store) -> None:
    started = await begin(store.client)
    decided = await asyncio.gather(
        *(device.approve(store.client, KEY, started.user_code, pid=PID, tier="pro") for _ in range(5)),
        *(device.deny(store.client, KEY, started.user_code) for _ in range(5)),
    )
    assert sum(decided) == 1


async def test_denied(store: Store) -> None:
    started = await begin(store.client)
    assert await device.deny(store.client, KEY, started.user_code)
    assert not await device.approve(store.client, KEY, started.user_code, pid=PID, tier="pro")
    assert [await ask(store.client, started) for _ in range(2)] == [PollDenied.ACCESS_DENIED] * 2


async def test_who_asks_too_often_is_slowed_down_for_good(store: Store) -> None:
    started = await begin(store.client)
    answers = [await ask(store.client, started) for _ in range(3)]
    assert answers == [PollDenied.AUTHORIZATION_PENDING, PollDenied.SLOW_DOWN, PollDenied.SLOW_DOWN]
    assert await store.client.hget(handle(started), "interval") == b"15000"
    polled = int(await store.client.hget(handle(started), "polled") or 0)
    # 14 s ago: not often enough apart for 15 s, whatever it was told at first; and so 20 s from here.
    await store.client.hset(handle(started), "polled", str(polled - 14_000))
    assert await ask(store.client, started) is PollDenied.SLOW_DOWN
    polled = int(await store.client.hget(handle(started), "polled") or 0)
    await store.client.hset(handle(started), "polled", str(polled - 20_000))
    assert await ask(store.client, started) is PollDenied.AUTHORIZATION_PENDING


async def test_an_approval_is_not_kept_from_who_asks_too_often(store: Store) -> None:
    started = await begin(store.client)
    await ask(store.client, started)
    await device.approve(store.client, KEY, started.user_code, pid=PID, tier="pro")
    assert isinstance(await ask(store.client, started), Redeemed)


async def test_expired(store: Store) -> None:
    started = await begin(store.client)
    await store.client.hset(handle(started), "expires", "1")
    assert not await device.approve(store.client, KEY, started.user_code, pid=PID, tier="pro")
    assert await ask(store.client, started) is PollDenied.EXPIRED_TOKEN


async def test_an_approval_that_nobody_fetched_in_time_expires(store: Store) -> None:
    started = await begin(store.client)
    await device.approve(store.client, KEY, started.user_code, pid=PID, tier="pro")
    await store.client.hset(handle(started), "expires", "1")
    assert await ask(store.client, started) is PollDenied.EXPIRED_TOKEN


async def test_a_code_is_its_client_s_and_whole(store: Store) -> None:
    started = await begin(store.client)
    await device.approve(store.client, KEY, started.user_code, pid=PID, tier="pro")
    other = started.device_code[:-1] + ("0" if started.device_code[-1] != "0" else "1")
    for code in ("", "x", other, started.device_code + "x", started.user_code):
        assert await device.poll(store.client, KEY, code, client_id=APP) is PollDenied.INVALID_GRANT
    assert await device.poll(store.client, KEY, started.device_code, client_id="other") is PollDenied.INVALID_GRANT
    assert await device.poll(store.client, b"x" * 32, started.device_code, client_id=APP) is PollDenied.INVALID_GRANT
    assert isinstance(await ask(store.client, started), Redeemed)


async def test_a_user_code_in_use_is_drawn_anew(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = iter(["B" * 8, "x" * 43, "B" * 8, "x" * 43, "C" * 8, "x" * 43])
    monkeypatch.setattr("gateway.oauth.device.drawn", lambda *_: next(codes))
    assert [(await begin(store.client)).user_code for _ in range(2)] == ["BBBB-BBBB", "CCCC-CCCC"]


@pytest.mark.parametrize("label", ["aWordOfItsOwn", "has space", "x" * 33, "ünïcode"])
async def test_nothing_is_kept_of_words_of_the_devices_own(store: Store, label: str) -> None:
    started = await device.start(store.client, KEY, client_id=APP, app_version=label, platform=label)
    grant = await device.pending(store.client, KEY, started.user_code)
    assert grant is not None
    assert (grant.app_version, grant.platform) == ("", "")


async def test_on_a_cluster(cluster: Store) -> None:
    started = await begin(cluster.client)
    assert await ask(cluster.client, started) is PollDenied.AUTHORIZATION_PENDING
    assert await device.approve(cluster.client, KEY, started.user_code, pid=PID, tier="pro")
    answers = await asyncio.gather(*(ask(cluster.client, started) for _ in range(10)))
    assert sum(isinstance(answer, Redeemed) for answer in answers) == 1
