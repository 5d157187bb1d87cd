from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.auth import attempts
from gateway.auth.attempts import LookUps, StartedGrants, UserCodeAttempts, prefix_of
from gateway.errors import MeteringUnavailable, RateLimited
from metering.store.store import Store, open_store

KEY = b"k" * 32


@pytest.mark.parametrize(
    ("address", "prefix"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("::ffff:192.0.2.1", "192.0.2.0/24"),
        ("2001:db8:1:2ff::9", "2001:db8:1:200::/56"),
        ("fe80::1%eth0", "fe80::/56"),
        ("", "none"),
        ("unix", "none"),
    ],
)
def test_an_address_counts_as_its_network(address: str, prefix: str) -> None:
    assert prefix_of(address) == prefix


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [6_000.0]
    monkeypatch.setattr("gateway.auth.attempts.time.time", lambda: now[0])
    return now


async def test_user_codes_are_limited_by_network(store: Store, clock: list[float]) -> None:
    limit = UserCodeAttempts(store.client, KEY, per_prefix=3)
    for last in range(3):
        await limit.admit(f"192.0.2.{last}")
    clock[0] += 20
    with pytest.raises(RateLimited) as refused:
        await limit.admit("192.0.2.200")
    assert refused.value.retry_after == 40
    await limit.admit("198.51.100.1")
    clock[0] += 40
    await limit.admit("192.0.2.1")


async def test_over_all_networks_each_still_has_a_few(store: Store, clock: list[float]) -> None:
    """Guesses from many networks leave the door open for a person on one more."""
    limits = [UserCodeAttempts(store.client, KEY, everywhere=5) for _ in range(2)]
    found = await asyncio.gather(*(limits[n % 2].admit(f"10.0.{n}.1") for n in range(50)), return_exceptions=True)
    assert found == [None] * 50
    for attempt in range(10):
        found = await asyncio.gather(limits[0].admit("10.0.1.1"), return_exceptions=True)
        assert isinstance(found[0], RateLimited) is (attempt >= attempts.SCARCE - 1)
    for _ in range(attempts.SCARCE):
        await limits[1].admit("198.51.100.1")


async def test_an_account_is_limited_on_whatever_networks(store: Store, clock: list[float]) -> None:
    limit = UserCodeAttempts(store.client, KEY)
    for number in range(attempts.PER_ACCOUNT):
        await limit.admit(f"10.0.{number}.1", "pid")
    with pytest.raises(RateLimited):
        await limit.admit("10.1.0.1", "pid")
    await limit.admit("10.1.0.2", "another")


async def test_started_sign_ins_are_counted_apart_from_user_codes(store: Store, clock: list[float]) -> None:
    codes, grants = UserCodeAttempts(store.client, KEY, per_prefix=2), StartedGrants(store.client, KEY, per_prefix=2)
    for _ in range(2):
        await codes.admit("192.0.2.1")
        await grants.admit("192.0.2.1")
    for limit in (codes, grants):
        with pytest.raises(RateLimited):
            await limit.admit("192.0.2.1")


async def test_no_address_is_stored_and_nothing_outlives_its_window(store: Store) -> None:
    await UserCodeAttempts(store.client, KEY).admit("192.0.2.77")
    names = await store.client.keys("*")
    assert len(names) == 2
    for name in names:
        assert b"192" not in name
        assert 0 < await store.client.pttl(name) <= attempts.WINDOW_S * 1_000


async def test_without_the_store_nothing_may_be_tried(tmp_path: Path) -> None:
    store = await open_store("embedded:", data_dir=tmp_path)
    await store.close()
    with pytest.raises(MeteringUnavailable):
        await UserCodeAttempts(store.client, KEY).admit("192.0.2.77")


async def test_a_network_with_many_wrong_ones_has_one_look_up_at_a_time(clock: list[float]) -> None:
    look_ups = LookUps(2)
    running: list[str] = []
    most: dict[str, int] = {}

    async def look_up(address: str, *, good: bool = False) -> bool:
        async with look_ups.turn(address):
            running.append(prefix_of(address))
            most[running[-1]] = max(most.get(running[-1], 0), running.count(running[-1]))
            await asyncio.sleep(0)
            running.remove(prefix_of(address))
        if not good:
            await look_ups.failed(address)
        return good

    await asyncio.gather(*(look_up("192.0.2.1") for _ in range(5)))
    assert most.pop("192.0.2.0/24") == 5
    found = await asyncio.gather(
        *(look_up("192.0.2.1") for _ in range(20)),
        look_up("192.0.2.9", good=True),
        *(look_up("10.0.0.1") for _ in "ab"),
    )
    assert most == {"192.0.2.0/24": 1, "10.0.0.0/24": 2}
    assert found.count(True) == 1  # the right one waited, and passed
    clock[0] += attempts.WINDOW_S
    most.clear()
    await asyncio.gather(*(look_up("192.0.2.1") for _ in range(3)))
    assert most == {"192.0.2.0/24": 3}


async def test_only_wrong_ones_are_answered_late_and_only_after_many(monkeypatch: pytest.MonkeyPatch) -> None:
    rests: list[float] = []

    async def rest(seconds: float) -> None:
        rests.append(seconds)

    monkeypatch.setattr("gateway.auth.attempts.asyncio.sleep", rest)
    look_ups = LookUps(2)
    for _ in range(5):
        async with look_ups.turn("192.0.2.1"):
            assert rests == [attempts.REST_SECONDS] * len(rests)
        await look_ups.failed("192.0.2.1")
    await look_ups.failed("10.0.0.1")
    assert len(rests) == 3


async def test_what_is_counted_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.auth.attempts.MOST_PREFIXES", 3)
    look_ups = LookUps()
    for n in range(10):
        await look_ups.failed(f"10.0.{n}.1")
    assert len(look_ups._failed) == 3
