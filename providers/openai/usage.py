"""What the usage objects of OpenAI, and of hosts that use its format, mean.

The documented shapes (API reference, "CompletionUsage" and "ResponseUsage"): the prompt's count includes cached,
cache-write, audio and image tokens; the completion's count includes reasoning, audio and image tokens.
Hosts differ from this in ways that the numbers show:

1. ``total_tokens`` is prompt plus completion. It gives a missing side, and reveals tokens that a side does not
   include: a surplus that equals the cached tokens is input, any other surplus is output and is billed
   (xAI reports reasoning outside of the completion's count, Google's compatibility layer does not report it).
2. Some hosts use other names for the cache (``prompt_cache_hit_tokens``, ``num_cached_tokens``, ``cached_tokens``,
   ``prompt_token_details``), or for a side (``input_tokens`` in a chat).
3. A part is never larger than its whole. If it is, and the total confirms the whole, the part is reduced to the whole.
   (For reasoning this does not make the price doubtful: some hosts count all reasoning and bill only what is shown.)
   Otherwise it is not known which of the two is wrong, and the side is unknown. A total below the sides makes them
   suspect, but they are kept, because the total is the derived number.
4. A prompt always has tokens. If the end of an answer states a prompt of zero tokens, the zero is kept, since it was
   reported, but it makes the report suspect; a larger total replaces it. Before the end it is a
   placeholder and is ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from metering.usage import ServiceTier, Usage
from providers.answers.counts import (
    IGNORED,
    Counted,
    Known,
    count,
    doubtful,
    doubts,
    first_count,
    lay_over,
    member,
    take,
)

_TIERS = {
    "default": ServiceTier.STANDARD,
    "auto": ServiceTier.STANDARD,
    "standard": ServiceTier.STANDARD,
    "on_demand": ServiceTier.STANDARD,
    "flex": ServiceTier.FLEX,
    "priority": ServiceTier.PRIORITY,
    "fast": ServiceTier.PRIORITY,
    "scale": ServiceTier.PROVISIONED,
    "provisioned": ServiceTier.PROVISIONED,
    "batch": ServiceTier.BATCH,
}

_WRITES: Final[Known] = {"ephemeral_5m_input_tokens": None, "ephemeral_1h_input_tokens": None, "ttl_30m_tokens": None}
_PROMPT: Final[Known] = {
    "cached_tokens": None,
    "cache_write_tokens": None,
    "cache_write_tokens_details": _WRITES,
    "cache_creation_tokens": None,
    "audio_tokens": None,
    "image_tokens": None,
    "text_tokens": IGNORED,
}
_OUTPUT: Final[Known] = {
    "reasoning_tokens": None,
    "audio_tokens": None,
    "image_tokens": None,
    "text_tokens": IGNORED,
    "accepted_prediction_tokens": None,
    "rejected_prediction_tokens": None,
}
_SERVER_TOOLS: Final[Known] = {
    "web_search_requests": None,
    "tool_calls_executed": IGNORED,
    "tool_calls_requested": IGNORED,
}
KNOWN: Final[Known] = {
    "prompt_tokens": None,
    "completion_tokens": None,
    "input_tokens": None,
    "output_tokens": None,
    "total_tokens": None,
    "prompt_tokens_details": _PROMPT,
    "prompt_token_details": _PROMPT,
    "input_tokens_details": _PROMPT,
    "completion_tokens_details": _OUTPUT,
    "output_tokens_details": _OUTPUT,
    "reasoning_tokens": None,
    "cached_tokens": None,
    "num_cached_tokens": None,
    "prompt_cache_hit_tokens": None,
    "prompt_cache_miss_tokens": IGNORED,
    "cache_read_input_tokens": None,
    "cache_creation_input_tokens": None,
    "cache_creation": _WRITES,
    "server_tool_use": _SERVER_TOOLS,
    "server_tool_use_details": _SERVER_TOOLS,
    "num_search_queries": None,
    "request_count": IGNORED,
    "context_details": IGNORED,  # xAI: the last turn's share of the counts
}
_TOOLS: Final[Known] = {"web_search": {"num_requests": None}}


class _Names(NamedTuple):
    """An API's names for the two sides; if a side is missing, the other API's name is read."""

    prompt: tuple[str, str]
    output: tuple[str, str]


_CHAT: Final = _Names(("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens"))
_RESPONSES: Final = _Names(("input_tokens", "prompt_tokens"), ("output_tokens", "completion_tokens"))
_PROMPT_DETAILS: Final = ("prompt_tokens_details", "prompt_token_details", "input_tokens_details")
_SIDES: Final = (*_CHAT.prompt, *_CHAT.output)
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


def service_tier(value: object) -> ServiceTier | None:
    """The tier that an answer states, or ``None``."""
    if not isinstance(value, str) or not value:
        return None
    return _TIERS.get(value, ServiceTier.OTHER)


def add_usage(stated: dict[str, Any], usage: object) -> None:
    """Overwrite an answer's earlier statements with a later ``usage`` object. A total belongs to its own object."""
    if not isinstance(usage, dict):
        return
    if not count(usage.get("total_tokens")) and any(count(usage.get(name)) for name in _SIDES):
        stated.pop("total_tokens", None)
    lay_over(stated, usage)


def chat_usage(usage: object, *, ended: bool = True) -> Counted:
    """Counts of a chat, completions or embeddings ``usage`` object.

    Args:
        usage: The object; any other value is ignored.
        ended: The answer is whole, so a total that equals the input means that there is no output.
    """
    return _counted(usage, _CHAT, _stated_searches(usage), ended=ended)


def responses_usage(usage: object, *, tool_usage: object = None, ended: bool = True) -> Counted:
    """Counts of a Responses ``usage`` object and of the ``tool_usage`` beside it; see `chat_usage`."""
    searches = count(member(member(tool_usage, "web_search"), "num_requests"))
    counted = _counted(usage, _RESPONSES, _stated_searches(usage) if searches is None else searches, ended=ended)
    suspect, unpriced = doubts(tool_usage, _TOOLS)
    return Counted(counted.usage, counted.suspect or suspect, counted.unpriced or unpriced)


def _writes(details: object) -> object:
    """Cache writes by their lifetime, if a router passes on Anthropic's counts."""
    return member(details, "cache_write_tokens_details") or member(details, "cache_creation")


def _stated_searches(usage: object) -> int | None:
    """The searches that routers state inside the usage object (OpenRouter, Perplexity)."""
    server_tools = member(usage, "server_tool_use") or member(usage, "server_tool_use_details")
    return first_count(member(server_tools, "web_search_requests"), member(usage, "num_search_queries"))


class _Side(NamedTuple):
    """One side's count, and whether the total confirms it."""

    tokens: int | None
    confirmed: bool = False


def _counted(usage: object, names: _Names, searches: int | None, *, ended: bool) -> Counted:
    stated = usage if isinstance(usage, dict) else _NOTHING
    suspect, unpriced = doubts(stated, KNOWN)
    into = next((stated[name] for name in _PROMPT_DETAILS if stated.get(name)), None)
    out = stated.get("completion_tokens_details") or stated.get("output_tokens_details")
    cached = first_count(
        member(into, "cached_tokens"),
        stated.get("prompt_cache_hit_tokens"),
        stated.get("num_cached_tokens"),
        stated.get("cached_tokens"),
        stated.get("cache_read_input_tokens"),
    )
    written = first_count(
        member(into, "cache_write_tokens"),
        member(into, "cache_creation_tokens"),
        stated.get("cache_creation_input_tokens"),
    )
    reasoning = first_count(member(out, "reasoning_tokens"), stated.get("reasoning_tokens"))
    prompt, output, hidden, short = _sides(stated, names, cached, written, reasoning, ended=ended)
    found = Usage(searches=searches)
    parts = {
        "cache_read": cached,
        "cache_write_other": written,
        "audio_in": count(member(into, "audio_tokens")),
        "image_in": count(member(into, "image_tokens")),
    }
    contradicted = _split(found, prompt, parts, "in_uncached")
    hour = first_count(*(member(_writes(each), "ephemeral_1h_input_tokens") for each in (into, stated)))
    if hour and found.cache_write_other:
        found.cache_write_1h, found.cache_write_other = take(hour, found.cache_write_other)
    parts = {
        "out_reasoning": hidden,
        "audio_out": count(member(out, "audio_tokens")),
        "image_out": count(member(out, "image_tokens")),
    }
    contradicted |= _split(found, output, parts, "out_visible")
    contradicted |= prompt.tokens == 0
    return Counted(found if found != Usage() else None, suspect or short or contradicted, unpriced)


def _sides(
    stated: Mapping[str, Any],
    names: _Names,
    cached: int | None,
    written: int | None,
    reasoning: int | None,
    *,
    ended: bool,
) -> tuple[_Side, _Side, int | None, bool]:
    """The prompt, the completion and its reasoning by rules 1 and 4, and whether the total is below them."""
    prompt = first_count(*(stated.get(name) for name in names.prompt))
    output = first_count(*(stated.get(name) for name in names.output))
    total = count(stated.get("total_tokens")) or None
    if prompt == 0 and (not ended or (total is not None and total > (output or 0))):
        prompt = None
    if total is None:
        return _Side(prompt), _Side(output), reasoning, False
    if prompt is None and output is None:
        return _Side(None), _Side(None), reasoning, False
    if prompt is None or output is None:
        known = output if prompt is None else prompt
        rest = total - (known or 0)
        if rest < 0:
            return _Side(prompt), _Side(output), reasoning, True
        if prompt is None and not any(doubtful(stated.get(name)) for name in names.prompt):
            prompt = rest or None
        elif output is None and (rest or ended) and not any(doubtful(stated.get(name)) for name in names.output):
            output = rest
        return _Side(prompt), _Side(output), reasoning, False
    surplus = total - prompt - output
    if surplus > 0:
        beside = {cached, written, (cached or 0) + (written or 0)}
        if surplus in beside and not (surplus == reasoning and reasoning > output):
            prompt += surplus
        else:
            output += surplus
            reasoning = reasoning or surplus
    return _Side(prompt, surplus >= 0), _Side(output, surplus >= 0), reasoning, surplus < 0


def _split(found: Usage, side: _Side, parts: Mapping[str, int | None], rest: str) -> bool:
    """Write a side's parts and its remainder into ``found``; return whether they contradict it. See rule 3."""
    tokens = side.tokens
    if tokens is None:
        return False
    larger = {name for name, part in parts.items() if part is not None and part > tokens}
    if larger and not side.confirmed:
        return True
    for name, part in parts.items():
        taken, tokens = take(part, tokens)
        setattr(found, name, taken)
    setattr(found, rest, tokens)
    return bool(larger - {"out_reasoning"})
