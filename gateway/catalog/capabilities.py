"""What a model can do, as far as somebody states it.

Rules:

1. A capability that nobody states is unknown: it has no entry, is shown in no list, and has no effect.
2. The operator's statement about a target overrides the one about its model, and both override the list in this module.
3. The list has only what the makers' own pages say: of present models as stored copies or quotations had it on
   28 November 2026, of earlier ones (before GPT-6, Claude Opus 5 and Gemini 3) as is commonly known. It applies to the
   makers' APIs, to clouds that serve a maker's model under its own name, and to targets that name the maker's model
   (``published_price``). A deployment's or another host's name says nothing.
4. A request that needs what every target is stated to lack is refused (`gateway.inference.needs`). So ``False`` stands
   here only for a model whose page says so.

Sources: the pages of the models below https://developers.openai.com/api/docs/models, and .../guides/prompt-caching;
https://platform.claude.com/docs/en/models/overview, and .../build-with-claude/pdf-support, structured-outputs,
extended-thinking and prompt-caching; the pages of the models below https://ai.google.dev/gemini-api/docs/models.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from gateway.catalog.naming import thinks_by_budget
from gateway.config import Capability, Cloud, ProviderConfig
from providers.dialect import Family
from providers.media.rules import plain_name

_LETTERS: Final = {
    "t": Capability.TOOLS,
    "v": Capability.VISION,
    "d": Capability.DOCUMENTS,
    "a": Capability.AUDIO,
    "r": Capability.REASONING,
    "c": Capability.CACHING,
    "s": Capability.STRUCTURED_OUTPUT,
}


def _says(has: str, lacks: str = "") -> Mapping[Capability, bool]:
    return MappingProxyType({_LETTERS[one]: True for one in has} | {_LETTERS[one]: False for one in lacks})


_NOTHING: Final[Mapping[Capability, bool]] = MappingProxyType({})
_OTHER: Final = "image|audio|live|realtime|tts|omni"
# The first match holds. A name that none matches (pictures, speech, searches, what is newer) says nothing.
_LISTED: Final = tuple(
    (family, re.compile(names), _says(has, lacks))
    for family, names, has, lacks in (
        (Family.OPENAI, r"gpt-5\.?\d?-pro(?!\w)", "tvdr", "a"),
        (Family.OPENAI, rf"gpt-[56](?:\.\d)?(?![\w.])(?!.*(?:chat|search|spark|{_OTHER}))", "tvdrcs", "a"),
        (Family.OPENAI, r"gpt-4\.1(?![\d.])", "tvdcs", "ar"),
        (Family.OPENAI, r"gpt-4o-2024-05-13", "tvd", "ars"),
        (Family.OPENAI, r"gpt-4o(?:-mini)?(?:-\d{4}-\d\d-\d\d)?$", "tvdcs", "ar"),
        (Family.OPENAI, r"gpt-4o(?:-mini)?-audio|gpt-audio", "ta", "vr"),
        (Family.OPENAI, r"o1-(?:mini|preview)", "r", "tvas"),
        (Family.OPENAI, r"o3-mini", "trcs", "va"),
        (Family.OPENAI, r"o[134](?:-pro|-mini)?(?:-\d{4}-\d\d-\d\d)?$", "tvdrs", "a"),
        (Family.OPENAI, r"gpt-4-turbo(?:-2024-04-09)?$", "tv", "ars"),
        (Family.OPENAI, r"gpt-4(?:-(?:0314|0613|32k|1106-preview|0125-preview|turbo-preview))?$", "", "vars"),
        (Family.OPENAI, r"(?:gpt-3\.5-turbo-instruct|babbage|davinci)", "", "tvars"),
        (Family.OPENAI, r"gpt-3\.5-turbo", "", "vars"),
        (Family.ANTHROPIC, r"claude-(?:opus|sonnet|haiku)-4-[5-9](?!\d)", "tvdrcs", "a"),
        (Family.ANTHROPIC, r"claude-(?:opus|sonnet|haiku|fable|mythos)-5(?!\d)", "tvdrcs", "a"),
        (Family.ANTHROPIC, r"claude-(?:opus|sonnet)-4(?!-[2-9](?!\d))(?!\d)", "tvdrc", "a"),
        (Family.ANTHROPIC, r"claude-3-7-", "tvdrc", "a"),
        (Family.ANTHROPIC, r"claude-3-5-sonnet", "tvdc", "ar"),
        (Family.ANTHROPIC, r"claude-3-(?:5-haiku|opus|sonnet|haiku)", "tv", "ar"),
        (Family.GOOGLE, rf"gemini-(?:2\.5|3(?:\.\d)?)-(?:pro|flash(?:-lite)?)(?!.*(?:{_OTHER}))", "tvdarcs", ""),
    )
)  # fmt: skip
# What Claude gives at most, where its page says it; a request states its own limit, so that nothing else depends on it.
_CLAUDE_OUTPUT: Final = (
    (re.compile(r"claude-(?:fable-5(?:-1)?|opus-5(?:-5)?|sonnet-5|opus-4-[678])(?:-\d{8}|@|$)"), 128_000),
    (re.compile(r"claude-(?:(?:haiku|sonnet|opus)-4-5|sonnet-4(?:-0)?|3-7-sonnet)(?:-\d{8}|-latest|@|$)"), 64_000),
    (re.compile(r"claude-opus-4(?:-[01])?(?:-\d{8}|@|$)"), 32_000),
)
_OWN_NAMES: Final = frozenset((Cloud.VERTEX, Cloud.BEDROCK, Cloud.MANTLE))
_BOTH_WAYS: Final = re.compile(r"claude-(?:opus|sonnet)-4-6(?!\d)")


@lru_cache(maxsize=1_024)
def listed(family: Family, model: str) -> Mapping[Capability, bool]:
    """What the maker's pages say of a model, by its name there.

    Args:
        family: The API of its maker.
        model: Its maker's name, or the one that Vertex AI or Bedrock makes of it.
    """
    name = plain_name(model)
    return next((says for of, names, says in _LISTED if of is family and names.match(name)), _NOTHING)


def capabilities_of(
    provider: ProviderConfig, model: str, *stated: Mapping[Capability, bool], published: str = ""
) -> Mapping[Capability, bool]:
    """What a model can do at a provider.

    Args:
        provider: Where it is served.
        model: Its name there.
        stated: By the operator; a later one overrides.
        published: The maker's name of it, if the target states one.
    """
    known = _NOTHING
    if published or provider.first_party or provider.cloud in _OWN_NAMES:
        known = listed(provider.family, published or model)
    if not any(stated):
        return known
    merged = dict(known)
    for one in stated:
        merged |= one
    return MappingProxyType(merged)


def of_any(targets: Iterable[Mapping[Capability, bool]]) -> Mapping[Capability, bool]:
    """What a model can do that several targets serve: what any of them can, since a request goes to one that can; what
    it can't, only if all of them are stated to lack it.
    """
    several = list(targets)
    found: dict[Capability, bool] = {}
    for capability in Capability:
        said = {one.get(capability) for one in several}
        if True in said:
            found[capability] = True
        elif said == {False}:
            found[capability] = False
    return found


def longest_answer(model: str) -> int | None:
    """The longest answer of Claude in tokens, or ``None`` if its page does not say it."""
    name = plain_name(model)
    return next((tokens for names, tokens in _CLAUDE_OUTPUT if names.match(name)), None)


def thinking_types(model: str) -> tuple[bool, bool] | None:
    """Whether Claude thinks adaptively, and by a budget that the request states; ``None`` for another model."""
    name = plain_name(model)
    if not name.startswith("claude-"):
        return None
    if thinks_by_budget(name):
        return False, True
    return True, _BOTH_WAYS.match(name) is not None
