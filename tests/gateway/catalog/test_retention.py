"""What is known of a model beside what is stated of it: the longer counts, under each of its names, and `check` says so."""

from __future__ import annotations

import json
import tomllib
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.catalog import catalog, published
from gateway.catalog.catalog import Catalog, Model
from gateway.catalog.retention import LONGER_RETENTION, contradictions, effective, longer_retention
from gateway.config import DataHandling, Region
from gateway.config.load import read

STATED = DataHandling(0, False, Region.US)
CLAUDE = (
    '[providers.claude]\nkind = "anthropic"\napi_keys = "k"\nretention_days = 0\ntraining = false\nregion = "global"\n'
)


def loaded(text: str, folder: Path) -> Catalog:
    config = read(tomllib.loads(text, parse_float=Decimal), folder / "gateway.toml", {})
    published.prepare(config)
    return catalog.load(config)


@pytest.mark.parametrize(
    "name",
    [
        "claude-fable-5",
        "claude-fable-5-1",
        "claude-fable-5-20260609",
        "claude-mythos-5",
        "claude-mythos-preview",
        "claude-fable-5@20260609",
        "claude-fable-latest",
        "claude-5-fable",
        "Claude-Fable-5",
        "anthropic/claude-fable-5",
        "anthropic.claude-fable-5-v1:0",
        "eu.anthropic.claude-mythos-5",
    ],
)
def test_a_covered_model_is_known_by_each_of_its_names(name: str) -> None:
    assert effective(name, STATED) == DataHandling(30, False, Region.US)


@pytest.mark.parametrize(
    "name", ["claude-opus-5", "claude-sonnet-4-5", "gpt-5", "fable", "claude-fabled-1", "my-claude", "aesop-fable-5"]
)
def test_what_is_no_covered_model_is_what_is_stated(name: str) -> None:
    assert effective(name, STATED) is STATED


@given(st.sampled_from(["claude-fable-5", "claude-opus-5", "x"]), st.integers(0, 100), st.booleans())
def test_nothing_is_kept_for_less_than_is_stated_or_known(name: str, days: int, training: bool) -> None:
    stated = DataHandling(days, training, Region.EU)
    found, known = effective(name, stated), longer_retention(name)
    assert found.retention_days == max(days, 0 if known is None else known.days)
    assert (found.training, found.region) == (training, Region.EU)
    assert effective(name, found) == found


def test_each_entry_says_since_when_who_and_where() -> None:
    for entry in LONGER_RETENTION:
        assert entry.days > 0
        assert date(2026, 1, 1) <= entry.since <= entry.read
        assert entry.source.startswith("https://")
        assert entry.said


def test_published_models_have_it_under_their_dated_names_too(tmp_path: Path) -> None:
    found = loaded(CLAUDE, tmp_path)
    for name in ("claude-fable-5", "claude-fable-5-20260609"):
        model = found.resolve(name)
        assert isinstance(model, Model)
        assert [target.handling.retention_days for target in model.targets] == [30]
    plain = found.resolve("claude-sonnet-4-5-20250929")
    assert plain is not None
    assert plain.targets[0].handling == plain.targets[0].provider.handling
    warned = {warning.split(": ")[1] for warning in contradictions(found)}
    assert warned == {model.name for model in found.models if longer_retention(model.name)}


def test_a_target_states_its_own_and_a_warning_says_how_to_fix_it(tmp_path: Path) -> None:
    targets = [
        {"provider": "claude", "model": "claude-fable-5"},
        {"provider": "claude", "model": "claude-fable-5", "retention_days": 7, "region": "us"},
        {"provider": "claude", "model": "claude-fable-5", "retention_days": 30},
        {"provider": "claude", "model": "claude-sonnet-5", "retention_days": 2, "training": True},
    ]
    written = ", ".join(
        "{" + ", ".join(f"{key} = {json.dumps(value)}" for key, value in target.items()) + "}" for target in targets
    )
    text = f'[[models]]\nname = "m"\ntargets = [{written}]\nprice = {{input = 1, output = 2}}\n' + CLAUDE
    found = loaded(text, tmp_path)
    assert [target.handling for target in found.models[0].targets] == [
        DataHandling(30, False, Region.GLOBAL),
        DataHandling(30, False, Region.US),
        DataHandling(30, False, Region.GLOBAL),
        DataHandling(2, True, Region.GLOBAL),
    ]
    of_provider, of_target = contradictions(found)
    assert of_provider.startswith("models: m: retention_days = 0 of providers.claude is too low: Anthropic keeps ")
    assert of_target.startswith("models: m: retention_days = 7 of the target at claude is too low: ")
    assert "since 2026-06-09" in of_target
    assert "30 applies. State it in a target of [[models]], or remove the model" in of_target
