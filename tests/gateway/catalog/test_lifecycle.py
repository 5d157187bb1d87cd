"""The dated list of models that their makers have switched off, against the price list."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from gateway.catalog.compile import compile_list
from gateway.catalog.lifecycle import _ENDS, _SUCCEEDED, READ, end_of
from providers.dialect import Family

DEAD = {
    Family.OPENAI: (
        "ada",
        "davinci",
        "text-davinci-003",
        "gpt-4",
        "gpt-4-0613",
        "gpt-3.5-turbo-16k-0613",
        "o1-preview",
    ),
    Family.ANTHROPIC: (
        "claude-v1",
        "claude-2",
        "claude-3-opus-20240229",
        "claude-opus-4-1-20250805",
        "claude-sonnet-4",
    ),
    Family.GOOGLE: ("gemini-pro", "gemini-1.5-pro-002", "gemini-2.0-flash-001", "gemini-2.5-pro-preview-06-05"),
}
ALIVE = {
    Family.OPENAI: ("gpt-6-sol", "gpt-5.6-terra", "gpt-5.2", "text-embedding-3-large", "gpt-oss-20b"),
    Family.ANTHROPIC: ("claude-opus-5-5", "claude-sonnet-4-6", "claude-haiku-4-5-20251001", "claude-opus-4-8"),
    Family.GOOGLE: ("gemini-3.8-flash", "gemini-2.5-flash-lite", "gemini-3-pro-image", "gemini-embedding-001"),
}


@pytest.mark.parametrize(("family", "name"), [(family, name) for family, names in DEAD.items() for name in names])
def test_what_has_ended(family: Family, name: str) -> None:
    end = end_of(family, name)
    assert end is not None
    assert end <= READ


@pytest.mark.parametrize(("family", "name"), [(family, name) for family, names in ALIVE.items() for name in names])
def test_what_has_no_known_end(family: Family, name: str) -> None:
    assert end_of(family, name) is None


@pytest.mark.parametrize(
    ("family", "name", "end"),
    [
        (Family.OPENAI, "gpt-5-mini-2025-08-07", date(2026, 12, 11)),
        (Family.OPENAI, "gpt-4o-2024-08-06", date(2027, 1, 14)),
        (Family.OPENAI, "gpt-4o-2024-05-13", date(2026, 10, 23)),
        (Family.ANTHROPIC, "claude-sonnet-4-5-20250929", date(2026, 11, 30)),
        (Family.GOOGLE, "gemini-2.5-flash", date(2026, 12, 1)),
    ],
)
def test_a_dated_name_ends_with_its_base_unless_it_has_an_entry(family: Family, name: str, end: date) -> None:
    assert end_of(family, name) == end


def test_no_model_is_entered_twice_and_what_goes_on_has_no_end() -> None:
    for family, days in _ENDS.items():
        names = [name for listed in days.values() for name in listed.split()]
        assert len(names) == len(set(names)), family
        assert list(days) == sorted(days)
    for ended, lasting in _SUCCEEDED.items():
        assert end_of(Family.GOOGLE, ended) is not None
        assert end_of(Family.GOOGLE, lasting) is None


def test_each_company_keeps_models_on_the_day_of_the_list() -> None:
    alive: dict[Family, int] = {}
    for model in compile_list(datetime(READ.year, READ.month, READ.day, tzinfo=UTC)).models:
        end = end_of(model.family, model.id)
        alive[model.family] = alive.get(model.family, 0) + (model.row is not None and (end is None or end > READ))
    assert all(alive[family] >= 10 for family in Family), alive
