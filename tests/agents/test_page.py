"""The page of agents: each agent's texts can be filled in, and `docs/agents.md` shows what the suite runs."""

from __future__ import annotations

import json
import tomllib

import pytest

from gateway.catalog.lifecycle import end_of
from gateway.cli import dev
from providers.dialect import Family
from tests.agents.bench import ROOT
from tests.agents.page import page
from tests.agents.table import AGENTS, MODELS, Agent
from tests.integration.sdk_stack import LASTING


def test_the_document_shows_the_set_up_that_the_suite_runs() -> None:
    """What was seen is of the last run; everything above is of the table."""
    shown = (ROOT / "docs" / "agents.md").read_text().partition("## What was seen")[0]
    assert shown == page(AGENTS, {}).partition("## What was seen")[0], "run python -m tests.agents --write"


@pytest.mark.parametrize("models", [MODELS, dev.MODELS, LASTING], ids=["agents", "dev", "sdks"])
def test_models_that_lists_must_have_do_not_end(models: dict[str, str]) -> None:
    """Else the tests, and the lines to paste, fail on a day and not with a change."""
    assert {kind: end_of(Family(kind), name) for kind, name in models.items()} == dict.fromkeys(models)


@pytest.mark.parametrize("agent", AGENTS, ids=lambda agent: agent.name)
def test_an_agents_files_can_be_read(agent: Agent) -> None:
    values = {"url": "http://127.0.0.1:1", "token": "t", "model": agent.model, "home": "/h", "folder": "/f"}
    for path, text in agent.files.items():
        filled = text.format(**values)
        if path.endswith(".json"):
            json.loads(filled)
        elif path.endswith(".toml"):
            tomllib.loads(filled)
    assert all(part.format(**values, prompt="x") for part in agent.command)
    assert bool(agent.writes) != bool(agent.reply)
