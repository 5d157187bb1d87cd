"""Models whose prompts providers keep for longer than contracts say: a dated list, joined with the operator's
statements.

Rules:

1. The longer value of statement and list applies (`effective`). The list never shortens a statement.
2. An entry applies to models at every host: it is matched by the provider's own name of the model. For a name that the
   operator gave (a deployment), only the operator's statement is known.
3. An entry counts from the release that contains it, even if it begins later, so that no promise is given that is about
   to end.
4. An entry has its source and the day on which that was read. To change or remove an entry, read the source again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from gateway.config import DataHandling

if TYPE_CHECKING:
    from gateway.catalog.catalog import Catalog

MOST_NAMED = 5  # models in one sentence


@dataclass(frozen=True, slots=True)
class LongerRetention:
    """Models whose prompts and answers are kept regardless of contracts.

    Attributes:
        models: Looked for in the provider's own name of the model.
        days: For how long, at the least.
        since: The day from which it holds.
        read: The day on which the source was read.
        source: The page that states it.
        said: By whom and of what, for people.
    """

    models: re.Pattern[str]
    days: int
    since: date
    read: date
    source: str
    said: str


# Anthropic's page says that prompts to its Mythos-class models, and their answers, are kept for 30 days on every
# platform where these models are offered, agreements about zero retention included, from 9 June 2026 on. It calls them
# covered models and names Claude Mythos 5 and Claude Fable 5 (https://support.claude.com/en/articles/15425695); the
# API's page on retention (https://platform.claude.com/docs/en/manage-claude/api-and-data-retention) was quoted with 5.1
# of both as well. All three are known here as a search of stored pages quotes them. So the entry takes every
# version of the two lines. What else is designated later needs an entry of its own.
# OpenAI and Google may exclude models for single customers, in writing, and publish no list: that is the operator's to
# state (https://developers.openai.com/api/docs/guides/your-data).
LONGER_RETENTION: Final = (
    LongerRetention(
        re.compile(r"claude(?:[-_.]?\d+)*[-_.](?:fable|mythos)(?![a-z])", re.IGNORECASE),
        30,
        since=date(2026, 6, 9),
        read=date(2026, 11, 28),
        source="https://support.claude.com/en/articles/15425996-data-retention-practices-for-mythos-class-models",
        said="Anthropic keeps prompts to its covered models",
    ),
)


@lru_cache(maxsize=1_024)
def longer_retention(model: str) -> LongerRetention | None:
    """What is known of a model, by its provider's own name, beside what the operator states."""
    found = [entry for entry in LONGER_RETENTION if entry.models.search(model)]
    return max(found, key=lambda entry: entry.days, default=None)


def effective(model: str, stated: DataHandling) -> DataHandling:
    """What becomes of prompts to a model, if this is stated of it."""
    known = longer_retention(model)
    if known is None or known.days <= stated.retention_days:
        return stated
    return replace(stated, retention_days=known.days)


def contradictions(catalog: Catalog) -> Iterator[str]:
    """A sentence for each target whose stated retention is shorter than the known one, and how to fix it."""
    for model in catalog.models:
        for target in model.targets:
            stated, known = target.stated or target.provider.handling, longer_retention(target.model)
            if known is None or stated.retention_days >= known.days:
                continue
            where = "providers." if target.stated is None else "the target at "
            yield (
                f"models: {model.name}: retention_days = {stated.retention_days} of {where}{target.provider.name} is "
                f"too low: {known.said} for {known.days} days since {known.since}, regardless of contracts "
                f"({known.source}), so {known.days} applies. State it in a target of [[models]], or remove the model"
            )


def out_of_limit(catalog: Catalog, limit: int | None) -> Iterator[str]:
    """A sentence if the gateway's own limit makes models unusable for everybody, and how to fix it."""
    names = [
        model.name
        for model in catalog.models
        if limit is not None and all(target.handling.retention_days > limit for target in model.targets)
    ]
    if names:
        yield (
            f"policy.max_retention_days: {len(names)} of {len(catalog.models)} models have no target that keeps "
            f"prompts for at most {limit} days, and are refused ({first_of(names)}); raise it, or add such targets"
        )


def first_of(names: Sequence[str]) -> str:
    """The first few of many names, for a sentence."""
    return ", ".join(names[:MOST_NAMED]) + (", ..." if len(names) > MOST_NAMED else "")
