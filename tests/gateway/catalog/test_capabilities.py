"""The dated list of what models can do, against the price list, and what an operator states over it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.catalog.capabilities import (
    _LISTED,
    capabilities_of,
    listed,
    longest_answer,
    of_any,
    thinking_types,
)
from gateway.catalog.catalog import Catalog, load
from gateway.catalog.compile import compile_list
from gateway.catalog.lifecycle import READ
from gateway.config import Capability, Cloud, DataHandling, Endpoint, ProviderConfig, Region
from gateway.config.load import read
from providers.dialect import Family

C = Capability
KNOWN = [
    (Family.OPENAI, "gpt-6.1-terra", {C.TOOLS: True, C.VISION: True, C.AUDIO: False, C.REASONING: True}),
    (Family.OPENAI, "gpt-5-2025-08-07", {C.VISION: True, C.STRUCTURED_OUTPUT: True}),
    (Family.OPENAI, "gpt-5.2-pro", {C.VISION: True, C.STRUCTURED_OUTPUT: None}),
    (Family.OPENAI, "gpt-5-chat-latest", {C.TOOLS: None, C.VISION: None}),
    (Family.OPENAI, "gpt-5.3-codex-spark", {C.VISION: None}),
    (Family.OPENAI, "gpt-4o-mini", {C.VISION: True, C.AUDIO: False, C.REASONING: False}),
    (Family.OPENAI, "gpt-4o-audio-preview-2025-06-03", {C.VISION: False, C.AUDIO: True}),
    (Family.OPENAI, "gpt-4o-2024-05-13", {C.STRUCTURED_OUTPUT: False}),
    (Family.OPENAI, "gpt-4", {C.VISION: False, C.TOOLS: None}),
    (Family.OPENAI, "gpt-4-turbo", {C.VISION: True, C.STRUCTURED_OUTPUT: False}),
    (Family.OPENAI, "gpt-3.5-turbo-instruct", {C.TOOLS: False}),
    (Family.OPENAI, "o1-mini", {C.TOOLS: False, C.REASONING: True}),
    (Family.OPENAI, "o3-mini", {C.TOOLS: True, C.VISION: False}),
    (Family.OPENAI, "o4-mini-2025-04-16", {C.VISION: True}),
    (Family.OPENAI, "gpt-oss-20b", {C.VISION: None}),
    (Family.OPENAI, "text-embedding-3-small", {C.VISION: None, C.TOOLS: None}),
    (Family.ANTHROPIC, "claude-haiku-4-5-20251001", {C.VISION: True, C.DOCUMENTS: True, C.AUDIO: False}),
    (Family.ANTHROPIC, "claude-opus-5-5", {C.TOOLS: True, C.REASONING: True, C.STRUCTURED_OUTPUT: True}),
    (Family.ANTHROPIC, "claude-opus-4-1-20250805", {C.REASONING: True, C.STRUCTURED_OUTPUT: None}),
    (Family.ANTHROPIC, "claude-sonnet-4-20250514", {C.REASONING: True, C.STRUCTURED_OUTPUT: None}),
    (Family.ANTHROPIC, "claude-3-haiku-20240307", {C.VISION: True, C.DOCUMENTS: None, C.REASONING: False}),
    (Family.ANTHROPIC, "eu.anthropic.claude-sonnet-4-5-20250929-v1:0", {C.VISION: True}),
    (Family.ANTHROPIC, "claude-2", {C.VISION: None}),
    (Family.GOOGLE, "gemini-3.8-flash", dict.fromkeys(Capability, True)),
    (Family.GOOGLE, "gemini-2.5-flash-image", {C.TOOLS: None}),
    (Family.GOOGLE, "gemini-embedding-001", {C.VISION: None}),
]


@pytest.mark.parametrize(("family", "name", "says"), KNOWN)
def test_what_the_list_says(family: Family, name: str, says: dict[Capability, bool | None]) -> None:
    found = listed(family, name)
    assert {one: found.get(one) for one in says} == says


def test_every_line_of_the_list_is_about_a_published_model() -> None:
    published = [
        (model.family, name)
        for model in compile_list(datetime(READ.year, READ.month, READ.day, tzinfo=UTC)).models
        for name in model.names
    ]
    unused = [
        names.pattern
        for of, names, _ in _LISTED
        if not any(
            family is of and listed(family, name) is not None and names.match(name) for family, name in published
        )
    ]
    assert unused == []


def test_what_is_stated_of_a_place_comes_before_what_is_stated_of_the_model_and_that_before_the_list() -> None:
    place = ProviderConfig(
        "p", Family.OPENAI, Endpoint(True, "api.openai.com", 443), ("k",), DataHandling(0, False, Region.US), "p"
    )
    assert capabilities_of(place, "gpt-4o")[C.VISION]
    model, target = {C.VISION: False, C.TOOLS: False}, {C.TOOLS: True}
    found = capabilities_of(place, "gpt-4o", model, target)
    assert (found[C.VISION], found[C.TOOLS], found[C.REASONING]) == (False, True, False)
    assert capabilities_of(place, "gpt-4o", {}, {}) == capabilities_of(place, "gpt-4o")


def test_another_hosts_name_says_nothing_unless_it_states_the_makers() -> None:
    handling = DataHandling(0, False, Region.EU)
    elsewhere = ProviderConfig("p", Family.OPENAI, Endpoint(True, "h.example", 443), ("k",), handling, "p")
    assert capabilities_of(elsewhere, "gpt-4o") == {}
    assert capabilities_of(elsewhere, "deployment", published="gpt-4o")[C.VISION]
    bedrock = ProviderConfig(
        "p", Family.ANTHROPIC, Endpoint(True, "h.example", 443), (), handling, "p", cloud=Cloud.BEDROCK
    )
    assert capabilities_of(bedrock, "eu.anthropic.claude-opus-4-7")[C.VISION]
    azure = ProviderConfig("p", Family.OPENAI, Endpoint(True, "h.example", 443), (), handling, "p", cloud=Cloud.AZURE)
    assert capabilities_of(azure, "gpt-4o") == {}  # a deployment may have any name


def test_several_places() -> None:
    assert of_any([{C.VISION: False, C.TOOLS: True, C.AUDIO: False}, {C.VISION: True, C.AUDIO: False}]) == {
        C.VISION: True,
        C.TOOLS: True,
        C.AUDIO: False,
    }
    assert of_any([{C.VISION: False}, {}]) == {}  # the second one may see


@pytest.mark.parametrize(
    ("name", "tokens"),
    [
        ("claude-opus-5-5", 128_000),
        ("claude-haiku-4-5-20251001", 64_000),
        ("eu.anthropic.claude-sonnet-4-5-20250929-v1:0", 64_000),
        ("claude-opus-4-1-20250805", 32_000),
        ("claude-haiku-5-5", None),
        ("gpt-5", None),
    ],
)
def test_the_longest_answer_of_claude(name: str, tokens: int | None) -> None:
    assert longest_answer(name) == tokens


@pytest.mark.parametrize(
    ("name", "types"),
    [
        ("claude-haiku-4-5", (False, True)),
        ("claude-opus-4-6", (True, True)),
        ("claude-opus-5", (True, False)),
        ("gemini-2.5-pro", None),
    ],
)
def test_how_claude_thinks(name: str, types: tuple[bool, bool] | None) -> None:
    assert thinking_types(name) == types


PROVIDERS = {
    "own": {"kind": "openai", "api_keys": ["k"], "retention_days": 0, "training": False, "region": "global"},
    "host": {
        "kind": "openai", "base_url": "https://h.example", "api_keys": ["k"], "retention_days": 0, "training": False,
        "region": "eu",
    },
}  # fmt: skip


def catalog(**model: Any) -> Catalog:
    stated = {"name": "m", "price": {"input": 1, "output": 1}, **model}
    return load(read({"providers": PROVIDERS, "models": [stated]}, Path("gateway.toml"), {}))


def test_of_a_configured_model() -> None:
    targets = [
        {"provider": "own", "model": "gpt-4o"},
        {"provider": "host", "model": "x", "capabilities": {"vision": False}},
        {"provider": "host", "model": "y"},
    ]
    found = catalog(targets=targets, capabilities={"tools": False, "caching": True}).models[0].targets
    assert [one.capabilities.get(C.VISION) for one in found] == [True, False, None]
    assert [one.capabilities.get(C.TOOLS) for one in found] == [False, False, False]
    assert found[2].capabilities == {C.TOOLS: False, C.CACHING: True}


def test_of_a_published_model_and_its_dated_name(tmp_path: Path) -> None:
    from gateway.catalog import published

    table = {"providers": {"own": PROVIDERS["own"]}, "server": {"data_dir": str(tmp_path)}}
    config = read(table, tmp_path / "gateway.toml", {})
    published.prepare(config)
    made = load(config)
    for name, structured in (("gpt-4o", True), ("gpt-4o-2024-11-20", True), ("gpt-4o-2024-05-13", False)):
        model = made.resolve(name)
        assert model is not None
        assert model.targets[0].capabilities[C.STRUCTURED_OUTPUT] is structured
