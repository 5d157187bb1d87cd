"""gateway.example.toml is valid, states the defaults and documents every key."""

from __future__ import annotations

import re
import tomllib
from decimal import Decimal
from pathlib import Path

import pytest

from gateway.config import Capability
from gateway.config.load import load, read
from gateway.config.reader import Section
from providers.dialect import Family
from tests.gateway.config.parsing import parse

EXAMPLE = Path(__file__).parents[3] / "gateway.example.toml"
TOML_IN_COMMENT = re.compile(r'# (?:\[|"?[a-z0-9_.]+"? = )')
ENV_OF_EXAMPLE = dict.fromkeys(("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY"), "k" * 40)


def test_the_example_is_valid_as_it_stands() -> None:
    config = load(EXAMPLE, ENV_OF_EXAMPLE)
    assert {provider.family for provider in config.providers.values()} == set(Family)
    assert config.models == ()


def test_the_example_states_the_defaults() -> None:
    config = load(EXAMPLE, ENV_OF_EXAMPLE)
    bare = parse("", path=EXAMPLE)
    assert (config.server, config.internal, config.store) == (bare.server, bare.internal, bare.store)
    assert (config.billing, config.policy, config.log) == (bare.billing, bare.policy, bare.log)
    assert config.tiers["default"] == bare.tiers["default"]


def with_models(text: str) -> str:
    """The example with its commented-out models taken in."""
    start = text.index("# [[models]]")
    end = text.index("# Plans: ")
    lines = [line[2:] for line in text[start:end].splitlines() if TOML_IN_COMMENT.match(line)]
    return "\n".join((text[:start], *lines, text[end:]))


def test_the_example_documents_every_key_and_its_models_are_valid() -> None:
    text = with_models(EXAMPLE.read_text())
    config = read(tomllib.loads(text, parse_float=Decimal), EXAMPLE, ENV_OF_EXAMPLE)
    assert config.models[0].name == "fast"
    assert config.models[0].targets[0].price is not None
    written = {line.lstrip("# ").split(" = ")[0].strip('"') for line in text.splitlines() if " = " in line}
    written |= {"provider", "model", "published_price", "above"} | {
        one.value for one in Capability
    }  # inside inline tables
    tables = {"variants", "price", "clients", "tokens", *config.providers, *config.tiers}
    assert asked_keys(text, ENV_OF_EXAMPLE) - tables - written == set()


def asked_keys(text: str, env: dict[str, str]) -> set[str]:
    """Every key that the loader asks for, recorded while it reads the example."""
    seen: set[str] = set()
    plain = Section.has
    raw = Section.raw

    def has(self: Section, key: str) -> bool:
        if self.name:
            seen.add(key)
        return plain(self, key)

    def take(self: Section, key: str) -> object:
        if self.name:
            seen.add(key)
        return raw(self, key)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Section, "has", has)
        patch.setattr(Section, "raw", take)
        read(tomllib.loads(text, parse_float=Decimal), EXAMPLE, env)
    return seen
