"""What the name of a model says of it.

Price lists and answers know a model under several names. What is decided by name is decided here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from providers.dialect import Family

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


def reasons(family: Family, model: str) -> bool:
    """Whether a model of OpenAI's own keeps reasoning items; elsewhere there are none to ask for."""
    return family is Family.OPENAI and _REASONING.match(model) is not None


@lru_cache(maxsize=1_024)
def text_only(family: Family, model: str) -> bool:
    """Whether the model answers with text only, if the request asks for nothing else."""
    return family is Family.ANTHROPIC or _MEDIA.search(model) is None


def most_output(family: Family, model: str) -> int | None:
    """The longest answer of a model of the API's own maker, in tokens, or ``None``: nobody here knows."""
    for of, names, tokens in _MOST_OUTPUT:
        if of is family and names.match(model):
            return tokens
    return None


@lru_cache(maxsize=1_024)
def searches(family: Family, model: str) -> bool:
    """Whether the model searches the web for each request, whatever it is asked, and each search is billed."""
    return family is Family.OPENAI and _SEARCHING.search(model) is not None


def is_snapshot(name: str, of: Iterable[str]) -> bool:
    """Whether ``name`` is a dated, versioned or staged form of one of the names ``of``.

    Price lists match names by their first letters. Without this, a new kind of model (``-mini``, ``-tts``,
    ``-image-generation``) would be served at the price of the model whose name it extends.
    """
    return any(name.startswith(base) and _SUFFIX.fullmatch(name, len(base)) for base in of)
