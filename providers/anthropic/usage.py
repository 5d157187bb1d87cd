"""What Anthropic's usage objects mean.

Rules (Messages API reference, "Usage" and "Streaming messages"):

1. ``input_tokens``, ``cache_read_input_tokens`` and ``cache_creation_input_tokens`` stand beside
   each other. ``cache_creation`` splits the writes by lifetime; what it does not explain counts as
   five minutes, the API's default lifetime.
2. ``output_tokens`` includes thinking (``output_tokens_details.thinking_tokens``).
3. A stream states usage in ``message_start`` and again, cumulatively, in ``message_delta``: what is
   stated later replaces what was stated before, what is absent stays. Nothing is added up.
4. ``iterations`` break a request into its samplings. The top level holds those of the serving model
   (``message``, ``fallback_message``). It leaves out ``compaction``, which ran on the same model,
   ``advisor_message``, which ran on another, and ``message`` entries of another model that declined
   before a fallback answered. What was left out is added at its own model's price, except a
   decline without output, which is not billed.
5. A ``fallback_message`` says that another model than the requested one answered: then the top
   level is that model's, not the requested one's.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from metering.usage import COUNTS, Geography, ServiceTier, Speed, Usage
from providers.answers.counts import count, member, take

_MODEL_NAME_LIMIT = 128

_TIERS = {
    "standard": ServiceTier.STANDARD,
    "priority": ServiceTier.PRIORITY,
    "batch": ServiceTier.BATCH,
}
_GEOGRAPHIES = {
    "global": Geography.GLOBAL,
    "not_available": Geography.GLOBAL,
    "us": Geography.US,
    "eu": Geography.EU,
}
_SCALARS = (
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
)
_NESTED = {
    "cache_creation": ("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"),
    "output_tokens_details": ("thinking_tokens",),
    "server_tool_use": ("web_search_requests", "web_fetch_requests", "code_execution_requests"),
}


def service_tier(value: object) -> ServiceTier | None:
    """The tier that a usage object states."""
    return _TIERS.get(value, ServiceTier.OTHER) if isinstance(value, str) else None


def speed(value: object) -> Speed | None:
    """The speed that a usage object states."""
    if not isinstance(value, str):
        return None
    return Speed.FAST if value == "fast" else Speed.NORMAL


def geography(value: object) -> Geography | None:
    """Where inference ran, as a usage object states it."""
    return _GEOGRAPHIES.get(value, Geography.OTHER) if isinstance(value, str) else None


def overlay(stated: dict[str, Any], usage: object, *, output: bool = True) -> None:
    """Write what ``usage`` states over ``stated``, the state of one answer. See rule 3.

    Without ``output`` the output is not stated yet: ``message_start`` has a placeholder there.
    """
    if not isinstance(usage, dict):
        return
    for name in _SCALARS:
        value = count(usage.get(name))
        if value is not None and (output or name != "output_tokens"):
            stated[name] = value
    for parent, names in _NESTED.items():
        for name in names:
            value = count(member(usage.get(parent), name))
            if value is not None:
                stated.setdefault(parent, {})[name] = value
    for name in ("service_tier", "speed", "inference_geo"):
        if isinstance(usage.get(name), str):
            stated[name] = usage[name]
    if isinstance(usage.get("iterations"), list):
        stated["iterations"] = usage["iterations"]


def split_by_model(stated: dict[str, Any]) -> tuple[Usage | None, tuple[tuple[str, Usage], ...]]:
    """The requested model's counts, and those of other models by name. See rules 4 and 5."""
    usage = _counts(stated)
    iterations = [entry for entry in stated.get("iterations", ()) if isinstance(entry, dict)]
    if usage is None or not iterations:
        return usage, ()
    served_by = None
    for entry in iterations:
        if entry.get("type") == "fallback_message":
            served_by = _model(entry) or served_by
    others: list[tuple[str, Usage]] = []
    left_out = _left_out(stated, iterations, served_by)
    if served_by is not None:
        calls = Usage(searches=usage.searches, fetches=usage.fetches, code_runs=usage.code_runs)
        others.append((served_by, replace(usage, searches=None, fetches=None, code_runs=None)))
        usage = replace(calls, in_uncached=0, out_visible=0)
    for entry in left_out:
        spent = _counts(entry)
        model = _model(entry) or (served_by if entry.get("type") == "compaction" else None)
        if spent is not None and model is not None:
            others.append((model, spent))
        elif spent is not None:
            usage = _added(usage, spent)
    return usage, tuple(others)


def _left_out(stated: dict[str, Any], iterations: list[dict[str, Any]], served_by: str | None) -> list[dict[str, Any]]:
    never, declined, unknown, included = [], [], [], []
    for entry in iterations:
        kind = entry.get("type")
        if not isinstance(kind, str):
            continue
        if kind in {"compaction", "advisor_message"}:
            never.append(entry)
        elif kind == "message" and served_by is not None and _model(entry) not in {None, served_by}:
            declined.append(entry)
        elif kind in {"message", "fallback_message"}:
            included.append(entry)
        else:
            unknown.append(entry)
    # Entries of a kind that this version does not know are left out of the top level exactly if
    # the known ones already add up to it.
    if unknown and _sums_to(stated, included):
        never += unknown
    if declined and not _sums_to(stated, included + declined):
        never += [entry for entry in declined if count(entry.get("output_tokens"))]
    return never


def _sums_to(stated: dict[str, Any], entries: list[dict[str, Any]]) -> bool:
    return all(
        stated.get(name) == sum(count(entry.get(name)) or 0 for entry in entries)
        for name in ("input_tokens", "output_tokens")
    )


def _model(entry: dict[str, Any]) -> str | None:
    name = entry.get("model")
    return name if isinstance(name, str) and 0 < len(name) <= _MODEL_NAME_LIMIT else None


def _counts(usage: dict[str, Any]) -> Usage | None:
    writes = usage.get("cache_creation")
    short = count(member(writes, "ephemeral_5m_input_tokens"))
    long = count(member(writes, "ephemeral_1h_input_tokens"))
    written = count(usage.get("cache_creation_input_tokens"))
    if written is not None:
        long, rest = take(long, written)
        short = rest
    thinking = count(member(usage.get("output_tokens_details"), "thinking_tokens"))
    output = count(usage.get("output_tokens"))
    visible = None
    if output is not None:
        thinking, visible = take(thinking, output)
    calls = usage.get("server_tool_use")
    found = Usage(
        in_uncached=count(usage.get("input_tokens")),
        cache_read=count(usage.get("cache_read_input_tokens")),
        cache_write_5m=short,
        cache_write_1h=long,
        out_visible=visible,
        out_reasoning=thinking if output is not None else None,
        searches=count(member(calls, "web_search_requests")),
        fetches=count(member(calls, "web_fetch_requests")),
        code_runs=count(member(calls, "code_execution_requests")),
    )
    return found if found != Usage() else None


def _added(usage: Usage, more: Usage) -> Usage:
    sums = {}
    for name in COUNTS:
        one, other = getattr(usage, name), getattr(more, name)
        sums[name] = one if other is None else other + (one or 0)
    return Usage(**sums)
