from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.auth import attempts
from gateway.auth.attempts import FailedTokens, StartedGrants, UserCodeAttempts, prefix_of
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


async def test_and_over_all_networks_also_when_they_come_at_once(store: Store, clock: list[float]) -> None:
    limits = [UserCodeAttempts(store.client, KEY, everywhere=5) for _ in range(2)]
    found = await asyncio.gather(*(limits[n % 2].admit(f"10.0.{n}.1") for n in range(20)), return_exceptions=True)
    assert sum(isinstance(answer, RateLimited) for answer in found) == 15


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


def test_failed_tokens_are_limited_for_a_window(clock: list[float]) -> None:
    failed = FailedTokens(2)
    failed.check("192.0.2.1")
    for _ in range(2):
        failed.failed("192.0.2.1")
    with pytest.raises(RateLimited):
        failed.check("192.0.2.2")
    failed.check("198.51.100.1")
    clock[0] += attempts.WINDOW_S
    failed.check("192.0.2.1")
    assert failed._counts == {}


def test_what_is_counted_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.auth.attempts.MOST_PREFIXES", 3)
    failed = FailedTokens()
    for n in range(10):
        failed.failed(f"10.0.{n}.1")
    assert len(failed._counts) == 3
