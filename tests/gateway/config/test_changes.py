"""What a reload takes, and what waits for a restart: every setting is one or the other, and is named."""

from __future__ import annotations

import dataclasses
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any

import pytest

from gateway.config import Config, ServerConfig
from gateway.config.changes import RELOADED, RELOADED_OF_SERVER, changes
from gateway.config.load import load
from tests.gateway_process import model, provider, toml


class Other:
    """Is equal to nothing else."""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return loaded(tmp_path)


def loaded(folder: Path, **more: Any) -> Config:
    tables = {
        "server": {"port": 0},
        "providers": {"one": provider("openai", "http://127.0.0.1:1"), "two": provider("openai", "http://127.0.0.1:2")},
        "tiers": {"default": {}, "small": {"concurrent": 1}},
        "models": [model("a", "one"), model("b", "two")],
        **more,
    }
    path = folder / "gateway.toml"
    path.write_text(toml(tables))
    return load(path, {})


def test_nothing_changes_with_the_same_file(config: Config, tmp_path: Path) -> None:
    found = changes(config, loaded(tmp_path))
    assert (found.config, found.changed, found.needs_restart) == (config, (), ())


@pytest.mark.parametrize("name", [field.name for field in fields(Config) if field.name not in {"path", "server"}])
def test_each_table_is_taken_or_waits(config: Config, name: str) -> None:
    found = changes(config, replace(config, **{name: Other()}))
    assert (found.changed, found.needs_restart) == (((name,), ()) if name in RELOADED else ((), (name,)))
    assert (getattr(found.config, name) is getattr(config, name)) is (name not in RELOADED)


@pytest.mark.parametrize("name", [field.name for field in fields(ServerConfig)])
def test_each_setting_of_the_server_is_taken_or_waits(config: Config, name: str) -> None:
    server = replace(config.server, **{name: Other()})
    found = changes(config, replace(config, server=server))
    taken = name in RELOADED_OF_SERVER
    assert (found.changed, found.needs_restart) == (((f"server.{name}",), ()) if taken else ((), (f"server.{name}",)))
    assert (getattr(found.config.server, name) is getattr(server, name)) is taken


def test_parts_with_names_are_named(config: Config, tmp_path: Path) -> None:
    new = loaded(
        tmp_path,
        providers={
            "one": provider("openai", "http://127.0.0.1:1", api_keys=["other"]),
            "three": provider("openai", "http://127.0.0.1:3"),
        },
        tiers={"default": {"concurrent": 5}},
        models=[model("c", "one"), model("a", "one")],
    )
    found = changes(config, new)
    assert set(found.changed) == {
        "providers.one", "providers.two", "providers.three", "models.b", "models.c", "tiers.default", "tiers.small"
    }  # fmt: skip
    assert found.config.models == new.models


def test_the_order_of_models_is_a_change(config: Config) -> None:
    found = changes(config, replace(config, models=config.models[::-1]))
    assert (found.changed, found.config.models) == (("models",), config.models[::-1])


def test_every_default_of_a_part_is_comparable() -> None:
    """A default that is equal to no other object of its kind would be a change at each reload."""
    for field in fields(Config):
        if field.default_factory is not MISSING:
            assert field.default_factory() == field.default_factory(), field.name
        assert dataclasses.is_dataclass(Config)
