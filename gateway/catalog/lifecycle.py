"""When makers switch off models: a dated list in addition to the price list.

Rules:

1. Only what a maker's own page or client library states is an entry: `SOURCES`, read on `READ`, as stored copies or
   quotations of the pages. A model without an entry has no known end. Google's dates are the earliest possible ones: a
   past date is entered only if the end was reported. The pages no longer list models that ended long ago
   (gpt-4-vision-preview, gpt-4-32k, Claude 3 Haiku, 3.5 and 3.7, Gemini 1 and 1.5, gemini-2.5-flash-preview): their
   dates are the announced ones.
2. An entry applies to the API of the model's maker (`gateway.config.providers.ProviderConfig.first_party`): other hosts
   serve models for longer.
3. The list decides what is offered, not what is served: a maker may postpone, so a request for such a model is still
   sent to the maker (decision 010).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from gateway.catalog.naming import is_snapshot
from providers.dialect import Family

if TYPE_CHECKING:
    from gateway.catalog.catalog import Model

READ: Final = date(2026, 11, 28)
SOURCES: Final[Mapping[Family, tuple[str, ...]]] = MappingProxyType(
    {
        Family.OPENAI: ("https://developers.openai.com/api/docs/deprecations",),
        Family.ANTHROPIC: (
            "https://platform.claude.com/docs/en/about-claude/model-deprecations",
            "https://platform.claude.com/docs/en/release-notes/overview",
            "anthropic 2.14.0, anthropic/_data/deprecated_models.py and anthropic/types/model_param.py",
        ),
        Family.GOOGLE: (
            "https://ai.google.dev/gemini-api/docs/deprecations",
            "https://ai.google.dev/gemini-api/docs/changelog",
        ),
    }
)

# The first day on which requests fail, and the models by their makers' names without a date; a dated name follows its
# base unless it stands here itself. Names of the price list that no maker has (claude-v1, gemini-flash-1.5) are those
# of hosts, for the same models.
_ENDS: Final = {
    Family.OPENAI: {
        "2024-01-04": (
            "ada babbage curie davinci text-ada-001 text-babbage-001 text-curie-001 text-davinci-001 text-davinci-002 "
            "text-davinci-003"
        ),
        "2024-09-13": "gpt-3.5-0301 gpt-3.5-turbo-0301 gpt-3.5-turbo-0613 gpt-3.5-turbo-16k",
        "2024-12-06": "gpt-4-vision-preview gpt-4-1106-vision-preview",
        "2025-06-06": "gpt-4-32k",
        "2025-07-14": "gpt-4.5-preview",
        "2025-07-28": "o1-preview",
        "2025-10-27": "o1-mini",
        "2026-01-16": "codex-mini codex-mini-latest",
        "2026-02-17": "chatgpt-4o-latest",
        "2026-03-26": "gpt-4-0125-preview gpt-4-0314 gpt-4-turbo-0125-preview gpt-4-turbo-preview",
        "2026-07-23": (
            "computer-use computer-use-preview gpt-4o-mini-search-preview gpt-4o-search-preview gpt-5-chat-latest "
            "gpt-5-codex gpt-5.1-chat-latest gpt-5.1-codex gpt-5.1-codex-max gpt-5.1-codex-mini gpt-5.2-codex "
            "gpt-audio-mini-2025-10-06 o3-deep-research o4-mini-deep-research"
        ),
        "2026-08-10": "gpt-5.2-chat-latest gpt-5.3-chat-latest",
        "2026-09-28": "babbage-002 davinci-002 gpt-3.5-turbo-1106 gpt-3.5-turbo-instruct",
        "2026-10-23": (
            "gpt-3.5-turbo gpt-4 gpt-4-1106-preview gpt-4-turbo gpt-4.1-nano gpt-4o-2024-05-13 o1 o1-pro o3-mini "
            "o4-mini"
        ),
        "2026-12-11": "gpt-5 gpt-5-mini gpt-5-nano gpt-5-pro o3 o3-pro",
        "2027-01-14": "gpt-4.1 gpt-4.1-mini gpt-4o gpt-4o-mini",
        "2027-04-01": "gpt-5.1",
    },
    Family.ANTHROPIC: {
        "2024-11-06": "claude-v1 claude-1.0 claude-1.1 claude-1.2 claude-1.3 claude-instant-1",
        "2025-07-21": "claude-2 claude-2.0 claude-2.1 claude-3-sonnet",
        "2025-10-28": "claude-3-5-sonnet",
        "2026-01-05": "claude-3-opus",
        "2026-02-19": "claude-3-5-haiku claude-3-7-sonnet",
        "2026-04-20": "claude-3-haiku",
        "2026-06-15": "claude-opus-4 claude-opus-4-0 claude-sonnet-4 claude-sonnet-4-0",
        "2026-06-30": "claude-mythos-preview",
        "2026-08-05": "claude-opus-4-1",
        "2026-11-30": "claude-sonnet-4-5",
        "2027-01-22": "claude-opus-4-5",
    },
    Family.GOOGLE: {
        "2025-02-15": "gemini-pro gemini-1.0-pro gemini-1.0-pro-vision",
        "2025-09-29": (
            "gemini-1.5-pro gemini-1.5-flash gemini-1.5-flash-8b gemini-pro-1.5 gemini-flash-1.5 gemini-flash-1.5-8b"
        ),
        "2025-11-18": "gemini-2.5-flash-preview",
        "2025-12-02": "gemini-2.5-pro-preview",
        "2026-03-09": "gemini-3-pro-preview gemini-3-pro-text-preview",
        "2026-05-25": "gemini-3.1-flash-lite-preview",
        "2026-06-01": "gemini-2.0-flash gemini-2.0-flash-lite",
        "2026-06-25": "gemini-3-pro-image-preview gemini-3.1-flash-image-preview",
        "2026-12-01": "gemini-2.5-flash gemini-2.5-pro",
        "2027-05-07": "gemini-3.1-flash-lite",
    },
}
_NAMES: Final = {
    family: {name: date.fromisoformat(day) for day, names in days.items() for name in names.split()}
    for family, days in _ENDS.items()
}
_SUCCEEDED: Final = {
    "gemini-3-pro-image-preview": "gemini-3-pro-image",
    "gemini-3.1-flash-image-preview": "gemini-3.1-flash-image",
}
"""Names that have ended although the same model goes on under another one."""


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """What is known of a model's end at its maker.

    Attributes:
        ends: The first day (UTC) on which the maker does not serve it any more; ``None`` if no day was said.
        deprecated: The maker advises against it.
    """

    ends: date | None = None
    deprecated: bool = False

    def ended(self, today: date) -> bool:
        return self.ends is not None and self.ends <= today


ACTIVE: Final = Lifecycle()


@lru_cache(maxsize=1_024)
def end_of(family: Family, model: str) -> date | None:
    """The first day on which the maker does not serve a model, by its own name of it; ``None`` if none was said."""
    names = _NAMES[family]
    if model in names:
        return names[model]
    bases = [base for base in names if is_snapshot(model, (base,))]
    return names[max(bases, key=len)] if bases else None


def lasting_name(model: str) -> str | None:
    """The current name of a model whose name ``model`` has ended."""
    return _SUCCEEDED.get(model)


def ends_of(models: Iterable[Model], today: date) -> Iterator[str]:
    """A sentence for each target that its maker switches off, and how to fix it."""
    for model in models:
        for target in model.targets:
            end = target.lifecycle
            if end.ends is not None:
                when = "was switched off by its maker" if end.ended(today) else "is switched off by its maker"
                yield (
                    f"models: {model.name}: {target.model} at {target.provider.name} {when} on {end.ends}: name "
                    "another model there, or take the target out"
                )
