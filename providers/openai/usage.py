"""What OpenAI's usage objects mean, and those of hosts that speak its format.

The documented shapes (API reference, "CompletionUsage" and "ResponseUsage"): cached, cache-write,
audio and image tokens are inside the prompt's count; reasoning, audio and image tokens are inside
the completion's. Compatible hosts differ in two ways that the numbers themselves give away:

1. Some report reasoning beside the completion (xAI) or leave it out of both (Google's
   compatibility layer). ``total_tokens`` tells: where it exceeds prompt plus completion, the
   surplus was produced and is billed.
2. Some name the cache differently (``prompt_cache_hit_tokens``, ``num_cached_tokens``,
   ``cached_tokens``, ``prompt_token_details``), or report more cached tokens than prompt. A part is
   never larger than what it is a part of.
"""

from __future__ import annotations

from metering.usage import ServiceTier, Usage
from providers.answers.counts import count, first_count, member, take

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


def service_tier(value: object) -> ServiceTier | None:
    """The tier that an answer states, ``None`` where it states none."""
    if not isinstance(value, str):
        return None
    return _TIERS.get(value, ServiceTier.OTHER)


def chat_usage(usage: object) -> Usage | None:
    """Counts of a chat, completions or embeddings ``usage`` object; ``None`` if it has none."""
    if not isinstance(usage, dict):
        return None
    prompt_details = member(usage, "prompt_tokens_details") or member(usage, "prompt_token_details")
    output_details = member(usage, "completion_tokens_details")
    server_tools = member(usage, "server_tool_use") or member(usage, "server_tool_use_details")
    return _usage(
        prompt=count(usage.get("prompt_tokens")),
        output=count(usage.get("completion_tokens")),
        total=count(usage.get("total_tokens")),
        cached=first_count(
            member(prompt_details, "cached_tokens"),
            usage.get("prompt_cache_hit_tokens"),
            usage.get("num_cached_tokens"),
            usage.get("cached_tokens"),
        ),
        written=first_count(member(prompt_details, "cache_write_tokens"), usage.get("cache_creation_input_tokens")),
        prompt_details=prompt_details,
        output_details=output_details,
        searches=first_count(member(server_tools, "web_search_requests"), usage.get("num_search_queries")),
    )


def responses_usage(usage: object, *, tool_usage: object = None) -> Usage | None:
    """Counts of a Responses ``usage`` object and of the ``tool_usage`` beside it."""
    searches = count(member(member(tool_usage, "web_search"), "num_requests"))
    if not isinstance(usage, dict):
        return None if searches is None else Usage(searches=searches)
    prompt_details = member(usage, "input_tokens_details")
    return _usage(
        prompt=count(usage.get("input_tokens")),
        output=count(usage.get("output_tokens")),
        total=count(usage.get("total_tokens")),
        cached=count(member(prompt_details, "cached_tokens")),
        written=count(member(prompt_details, "cache_write_tokens")),
        prompt_details=prompt_details,
        output_details=member(usage, "output_tokens_details"),
        searches=searches,
    )


def _usage(
    *,
    prompt: int | None,
    output: int | None,
    total: int | None,
    cached: int | None,
    written: int | None,
    prompt_details: object,
    output_details: object,
    searches: int | None,
) -> Usage | None:
    if prompt is None and output is None and searches is None:
        return None
    found = Usage(searches=searches)
    if prompt is not None:
        found.cache_read, rest = take(cached, prompt)
        found.cache_write_other, rest = take(written, rest)
        found.audio_in, rest = take(count(member(prompt_details, "audio_tokens")), rest)
        found.image_in, found.in_uncached = take(count(member(prompt_details, "image_tokens")), rest)
    reasoning = count(member(output_details, "reasoning_tokens"))
    surplus = 0
    if prompt is not None and total is not None:
        surplus = max(0, total - prompt - (output or 0))
    if output is not None or surplus:
        found.out_reasoning, rest = take(reasoning or surplus or reasoning, (output or 0) + surplus)
        found.audio_out, rest = take(count(member(output_details, "audio_tokens")), rest)
        found.image_out, found.out_visible = take(count(member(output_details, "image_tokens")), rest)
    return found
