"""Decisions from the name of a model.

A model has several names in price lists and answers. Everything that depends on a name is decided here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from providers.dialect import Family
from providers.media.rules import plain_name

# OpenAI models that accept a request without caching; older ones always cache, and reject the member for it:
# https://developers.openai.com/api/docs/guides/prompt-caching
_ASKING = re.compile(r"gpt-(?:5\.(?:[6-9]|[1-9]\d)|[6-9]|[1-9]\d)(?![0-9])")
# OpenAI models that take `include: ["reasoning.encrypted_content"]`; others answer it with a 400.
_REASONING = re.compile(r"(?:o[1-9]|codex-mini|gpt-(?:[5-9]|\d\d))(?![0-9])(?!.*(?:chat|image|audio|(?<!re)search))")
# "The model always retrieves information from the web before responding to your query":
# https://developers.openai.com/api/docs/guides/tools-web-search (Chat Completions)
_SEARCHING = re.compile(r"-search-(?:preview|api)(?=-|$)")
# What may follow a listed name and still mean the same model at the same price: dates, versions, stages.
_SUFFIX = re.compile(
    r"(?:-(?:preview|exp|latest|customtools|\d{3,8}|\d\d-\d\d|\d\d-\d{4}|\d{4}-\d\d-\d\d)|@(?:\d{8}|latest|default))*"
)

# Models that answer with images or speech although the request does not ask for them.
_MEDIA = re.compile(r"image|banana|tts|audio|live|omni")
# Models that hold no conversation in text.
_SILENT = re.compile(r"embed|instruct|davinci|babbage|moderation|transcribe|realtime|whisper|dall-e|sora|veo")
# The longest answer, reasoning included: https://developers.openai.com/api/docs/models,
# https://ai.google.dev/gemini-api/docs/models. Anthropic's API has no default: each request states its limit.
_MOST_OUTPUT = (
    (Family.OPENAI, re.compile(r"gpt-4o-2024-05-13"), 4_096),
    (Family.OPENAI, re.compile(r"gpt-5-pro(?!\w)"), 272_000),
    (Family.OPENAI, re.compile(r"(?:gpt-[5-6](?:\.\d)?(?:-\w+)?-chat|chatgpt-4o|gpt-4o|gpt-audio)"), 16_384),
    (Family.OPENAI, re.compile(r"(?:gpt-[5-6](?:\.\d)?)(?![\w.])(?!.*(?:image|audio|search|live))"), 128_000),
    (Family.OPENAI, re.compile(r"gpt-4\.1"), 32_768),
    (Family.OPENAI, re.compile(r"o1-mini"), 65_536),
    (Family.OPENAI, re.compile(r"o1-preview"), 32_768),
    (Family.OPENAI, re.compile(r"(?:o[134]|codex-mini)(?![0-9])"), 100_000),
    (Family.OPENAI, re.compile(r"(?:gpt-4-turbo|gpt-3\.5-turbo)"), 4_096),
    (Family.OPENAI, re.compile(r"gpt-4(?:-0613)?$"), 8_192),
    (Family.GOOGLE, re.compile(r"gemini-(?:2\.5|3)(?:\.\d)?-(?:pro|flash(?:-lite)?)(?!.*(?:image|tts|live))"), 65_536),
    (Family.GOOGLE, re.compile(r"gemini-2\.5-flash-image"), 32_768),
    (Family.GOOGLE, re.compile(r"gemini-2\.0-flash(?:-lite)?(?!.*(?:image|tts|live))"), 8_192),
)


# Models that think by a number of tokens and know no effort: Claude before 4.6, Gemini 2.5.
# https://platform.claude.com/docs/en/build-with-claude/extended-thinking, https://ai.google.dev/gemini-api/docs/thinking
_BUDGETS = re.compile(r"claude-(?:3|(?:opus|sonnet|haiku)-4(?:-[0-5](?!\d))?(?:-\d{8}|@|-latest|$))|gemini-2\.")
# What Claude gives at most where a request must state a limit: https://platform.claude.com/docs/en/about-claude/models
_CLAUDE_OUTPUT = ((re.compile(r"claude-3-(?:haiku|opus|sonnet)"), 4_096), (re.compile(r"claude-3-5"), 8_192))
_CLAUDE_USUAL = 32_000  # the least of Claude 4 and newer


def reasons(family: Family, model: str) -> bool:
    """Whether a model of OpenAI has reasoning items; other models have none to request."""
    return family is Family.OPENAI and _REASONING.match(model) is not None


def asks_before_caching(family: Family, model: str) -> bool:
    """Whether a model of the API's own maker caches of a prompt only what the request asks for."""
    return family is Family.ANTHROPIC or (family is Family.OPENAI and _ASKING.match(model) is not None)


@lru_cache(maxsize=1_024)
def text_only(family: Family, model: str) -> bool:
    """Whether the model answers with text only, if the request asks for nothing else."""
    return family is Family.ANTHROPIC or _MEDIA.search(model) is None


@lru_cache(maxsize=1_024)
def thinks_by_budget(model: str) -> bool:
    """Whether the model takes a number of tokens to think with, and no effort."""
    return _BUDGETS.match(plain_name(model)) is not None


def required_output(model: str) -> int:
    """The output limit of a request to Claude that states none, which its API requires."""
    name = plain_name(model)
    return next((tokens for names, tokens in _CLAUDE_OUTPUT if names.match(name)), _CLAUDE_USUAL)


def converses(model: str) -> bool:
    """Whether the model answers a conversation with text, so that a request to it can be translated."""
    return _MEDIA.search(model) is None and _SILENT.search(model) is None


def most_output(family: Family, model: str) -> int | None:
    """The longest answer of a model of the API's own maker, in tokens, or ``None`` if it is unknown."""
    for of, names, tokens in _MOST_OUTPUT:
        if of is family and names.match(model):
            return tokens
    return None


@lru_cache(maxsize=1_024)
def searches(family: Family, model: str) -> bool:
    """Whether the model searches the web for each request, for any prompt, and each search is billed."""
    return family is Family.OPENAI and _SEARCHING.search(model) is not None


def is_snapshot(name: str, of: Iterable[str]) -> bool:
    """Whether ``name`` is a dated, versioned or staged form of one of the names ``of``.

    Price lists match names by their first letters. Without this, a new kind of model (``-mini``, ``-tts``,
    ``-image-generation``) would be served at the price of the model whose name it extends.
    """
    return any(name.startswith(base) and _SUFFIX.fullmatch(name, len(base)) for base in of)
