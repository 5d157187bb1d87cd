from __future__ import annotations

import multiprocessing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.identity import (
    KEY_FILE,
    LONGEST_DAYS,
    ROTATION_DAYS,
    cache_key,
    digest,
    load_key,
    period,
    pseudonym,
)
from gateway.config import Config, ConfigError, IdentityConfig, ServerConfig
from gateway.oauth.refresh import REFRESH_LIFE_S
from metering.clock import DAY_MS, DAY_SECONDS


def config(folder: Path) -> Config:
    return Config(path=folder / "gateway.toml", providers={}, server=ServerConfig(data_dir=folder / "data"))


def test_a_configured_key_is_taken_and_no_file_is_made(tmp_path: Path) -> None:
    stated = replace(config(tmp_path), identity=IdentityConfig(b"k" * 32))
    assert load_key(stated) == b"k" * 32
    assert not (tmp_path / "data").exists()


def test_a_key_is_made_once_for_the_owner_alone(tmp_path: Path) -> None:
    first = load_key(config(tmp_path))
    path = tmp_path / "data" / KEY_FILE
    assert len(first) == 32
    assert load_key(config(tmp_path)) == first
    assert path.read_bytes() == first
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert list(path.parent.iterdir()) == [path]


def test_two_data_directories_have_two_keys(tmp_path: Path) -> None:
    assert load_key(config(tmp_path / "a")) != load_key(config(tmp_path / "b"))


def test_of_many_makers_at_once_all_get_the_same_key(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        keys = pool.map(load_key, [config(tmp_path)] * 16)
    assert len(set(keys)) == 1
    assert [path.name for path in (tmp_path / "data").iterdir()] == [KEY_FILE]


@pytest.mark.parametrize(
    ("content", "mode", "what"),
    [(b"k" * 32, 0o644, "others may read"), (b"short", 0o600, "not 32 bytes"), (b"k" * 33, 0o600, "not 32 bytes")],
)
def test_a_key_file_that_cannot_be_used(content: bytes, mode: int, what: str, tmp_path: Path) -> None:
    path = tmp_path / "data" / KEY_FILE
    path.parent.mkdir()
    path.write_bytes(content)
    path.chmod(mode)
    with pytest.raises(ConfigError, match=what) as caught:
        load_key(config(tmp_path))
    assert caught.value.faults[0].startswith("identity.key: ")
    assert path.read_bytes() == content


def test_a_data_directory_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(ConfigError, match="cannot be used"):
        load_key(config(tmp_path))


def test_digests_depend_on_key_purpose_and_text() -> None:
    digests = {
        digest(b"1" * 32, "session", "x"),
        digest(b"2" * 32, "session", "x"),
        digest(b"1" * 32, "user", "x"),
        digest(b"1" * 32, "session", "y"),
    }
    assert len(digests) == 4
    assert all(len(text) == 64 for text in digests)


MIDNIGHT = 700 * ROTATION_DAYS * DAY_MS
"""When a period begins."""


@given(
    begun=st.integers(0, 2 * LONGEST_DAYS * DAY_MS),
    other=st.integers(0, 2 * LONGEST_DAYS * DAY_MS),
    ages=st.lists(st.integers(0, 400 * DAY_MS), min_size=2, max_size=8).map(sorted),
)
def test_a_period_belongs_to_the_sign_in(begun: int, other: int, ages: list[int]) -> None:
    begun, other, longest = MIDNIGHT + begun, MIDNIGHT + other, LONGEST_DAYS * DAY_MS
    seen = [period(begun, begun + age) for age in ages]
    for (age, one), (later, two) in pairwise(zip(ages, seen, strict=True)):
        assert (one == two) == (age // longest == later // longest)  # changes at the multiples and nowhere else
    assert seen[0] >= begun // (ROTATION_DAYS * DAY_MS)
    same = begun // (ROTATION_DAYS * DAY_MS) == other // (ROTATION_DAYS * DAY_MS)
    assert (period(begun, begun) == period(other, other)) == same  # for all accounts at the same midnight
    for age, one in zip(ages, seen, strict=True):
        # No pseudonym is older than the sign-ins of its period get.
        assert begun + age < (one + 1) * ROTATION_DAYS * DAY_MS + longest


def test_a_sign_in_of_which_the_clock_says_that_it_is_yet_to_come_has_begun() -> None:
    assert period(MIDNIGHT, MIDNIGHT - 5_000) == period(MIDNIGHT, MIDNIGHT)


def test_tokens_that_are_refreshed_do_not_outlast_their_pseudonym() -> None:
    assert REFRESH_LIFE_S <= LONGEST_DAYS * DAY_SECONDS
    assert period(MIDNIGHT, MIDNIGHT + REFRESH_LIFE_S * 1_000 - 1) == period(MIDNIGHT, MIDNIGHT)


def test_pseudonyms_are_one_for_each_account_provider_and_period() -> None:
    names = {
        pseudonym(b"k" * 32, pid, provider, of) for pid in ("p1", "p2") for provider in ("a", "b") for of in (1, 2)
    }
    assert len(names) == 8
    assert pseudonym(b"k" * 32, "p1", "a", 1) in names
    assert not any("p1" in name for name in names)


def test_cache_keys_tell_conversations_accounts_and_providers_apart_and_fit_the_api() -> None:
    names = {
        cache_key(key, pid, provider, of, text)
        for key in (b"k" * 32, b"l" * 32)
        for pid in ("p1", "p2")
        for provider in ("a", "b")
        for of in (1, 2)
        for text in ("", "thread one", "thread two", "x" * 4_096)
    }
    assert len(names) == 64
    assert all(len(name) <= 64 for name in names)
    assert cache_key(b"k" * 32, "p1", "a", 1, "thread one") in names
    assert pseudonym(b"k" * 32, "p1", "a", 1) not in names
