from __future__ import annotations

import multiprocessing
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.auth.identity import KEY_FILE, ROTATION_DAYS, digest, load_key, pseudonym
from gateway.config import Config, ConfigError, IdentityConfig, ServerConfig


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


def test_pseudonyms_rotate_for_everybody_at_once() -> None:
    key, day = b"k" * 32, 86_400
    start = 700 * ROTATION_DAYS * day
    days = [start + number * day for number in range(3 * ROTATION_DAYS)]
    for pid in ("p1", "p2"):
        names = [pseudonym(key, pid, "openai", now) for now in days]
        assert len(set(names)) == 3
        changes = [number for number in range(1, len(names)) if names[number] != names[number - 1]]
        assert changes == [ROTATION_DAYS, 2 * ROTATION_DAYS]


def test_pseudonyms_are_stable_at_one_provider_and_unlinked_between_two() -> None:
    key = b"k" * 32
    assert pseudonym(key, "p1", "openai") == pseudonym(key, "p1", "openai")
    assert len({pseudonym(key, pid, provider) for pid in ("p1", "p2") for provider in ("a", "b")}) == 4
    assert "p1" not in pseudonym(key, "p1", "openai")
