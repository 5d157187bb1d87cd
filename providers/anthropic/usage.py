"""What Anthropic's usage objects mean.

Rules (Messages API reference, "Usage" and "Streaming messages"):

1. ``input_tokens``, ``cache_read_input_tokens`` and ``cache_creation_input_tokens`` do not
   overlap. ``cache_creation`` splits the writes by lifetime; writes that it does not cover count as
   five minutes, the API's default lifetime.
2. ``output_tokens`` includes thinking (``output_tokens_details.thinking_tokens``).
3. A stream states usage in ``message_start`` and again, cumulatively, in ``message_delta``: a later
   count replaces an earlier one, unless it is absent or zero. Counts are never added up. If the input differs, all its
   counts are replaced, zeros included (a compaction removes the cached context). The output
   count in ``message_start`` is a placeholder and is ignored.
4. ``iterations`` split a request into its samplings. The top level is the sum of those of the serving model
   (``message``, ``fallback_message``). It does not include ``compaction``, which ran on the same model,
   ``advisor_message``, which ran on another, and ``message`` entries of another model that declined
   before a fallback answered. These are added at their own model's price, except a
   decline without output, which is not billed.
5. A ``fallback_message`` means that a model other than the requested one answered: then the top
   level belongs to that model. An entry that names its model belongs to that model.
6. A part that is larger than its whole contradicts it (thinking above the output, writes by lifetime above
   all writes). Nothing confirms either number, so that side is unknown.
7. A prompt always has tokens. If the end of an answer states a prompt of zero tokens, the zero is kept, since it was
   reported, but it makes the report suspect. Before the end it is a placeholder and is ignored.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from metering.usage import COUNTS, INPUT_COUNTS, OUTPUT_COUNTS, Geography, ServiceTier, Speed, Usage
from providers.answers.counts import IGNORED, Counted, Known, count, doubts, lay_over, member, take
from providers.bounds import ITERATIONS

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
_SPEEDS = {"standard": Speed.NORMAL, "fast": Speed.FAST}
_COUNTS: Final[Known] = {
    "input_tokens": None,
    "output_tokens": None,
    "cache_read_input_tokens": None,
    "cache_creation_input_tokens": None,
    "cache_creation": {"ephemeral_5m_input_tokens": None, "ephemeral_1h_input_tokens": None},
    "output_tokens_details": {"thinking_tokens": None},
}
_ITERATION: Final[Known] = {**_COUNTS, "type": IGNORED, "model": IGNORED}
KNOWN: Final[Known] = {
    **_COUNTS,
    "server_tool_use": {"web_search_requests": None, "web_fetch_requests": None, "code_execution_requests": None},
    "iterations": IGNORED,  # read entry by entry
    "fallback_credit": IGNORED,  # a discount that the provider's own invoice applies
    "total_tokens": IGNORED,
    "prompt_tokens": IGNORED,
    "completion_tokens": IGNORED,
}
_ITERATIONS: Final = frozenset({"message", "fallback_message", "compaction", "advisor_message"})


def service_tier(value: object) -> ServiceTier | None:
    """The tier that a usage object states."""
    return _TIERS.get(value, ServiceTier.OTHER) if isinstance(value, str) and value else None


def speed(value: object) -> Speed | None:
    """The speed that a usage object states."""
    return _SPEEDS.get(value, Speed.NORMAL) if isinstance(value, str) and value else None


def geography(value: object) -> Geography | None:
    """The geography of the inference that a usage object states."""
    return _GEOGRAPHIES.get(value, Geography.OTHER) if isinstance(value, str) and value else None


def add_usage(stated: dict[str, Any], usage: object, *, placeholder: bool = False) -> None:
    """Overwrite ``stated``, the state of one answer, with a later usage object. See rule 3.

    Args:
        stated: The earlier statements of the answer.
        usage: The object; any other value is ignored.
        placeholder: It comes from ``message_start``, so its output is ignored.
    """
    if not isinstance(usage, dict):
        return
    if placeholder:
        usage = {name: value for name, value in usage.items() if name not in _OUTPUT}
    again = count(usage.get("input_tokens"))
    if again and again != count(stated.get("input_tokens")):
        for name in _INPUT:
            if count(usage.get(name)) == 0:
                stated.pop(name, None)
        written = count(usage.get("cache_creation_input_tokens"))
        if written is not None and written < sum(_split_of(stated)):
            stated.pop("cache_creation", None)
    lay_over(stated, usage)


def _split_of(usage: dict[str, Any]) -> tuple[int, int]:
    writes = usage.get("cache_creation")
    names = ("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens")
    short, long = (count(member(writes, name)) or 0 for name in names)
    return short, long


_OUTPUT: Final = frozenset({"output_tokens", "output_tokens_details"})
_INPUT: Final = ("cache_read_input_tokens", "cache_creation_input_tokens")


class Spent(NamedTuple):
    """The usage of one answer.

    Attributes:
        counted: The requested model's counts, and the flags ``suspect`` and ``unpriced`` of all counts.
        others: The counts of other models, by name, one entry for each model request.
        contexts: The model requests of which the requested model's counts are the sum, if they are stated.
    """

    counted: Counted
    others: tuple[tuple[str, Usage], ...] = ()
    contexts: tuple[Usage, ...] = ()


def read_usage(stated: dict[str, Any], *, ended: bool = True) -> Spent:
    """Read the usage of one answer. See rules 4, 5 and 7.

    Args:
        stated: Its merged usage objects (`add_usage`).
        ended: The answer is whole.
    """
    suspect, unpriced = doubts(stated, KNOWN)
    for table, name in ((_TIERS, "service_tier"), (_SPEEDS, "speed"), (_GEOGRAPHIES, "inference_geo")):
        value = stated.get(name)
        unpriced = unpriced or (isinstance(value, str) and value not in table and bool(value))
    listed = stated.get("iterations")
    iterations = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    if len(iterations) > ITERATIONS:
        iterations, unpriced = [], True  # no answer has that many: they are not priced separately
    for entry in iterations:
        inner = doubts(entry, _ITERATION)
        suspect, unpriced = suspect or inner[0], unpriced or inner[1] or not _known(entry.get("type"))
    usage, contradicted = _counts(stated)
    if ended and not contradicted and _is_zero(stated, usage):
        usage = replace(usage or Usage(), in_uncached=0, cache_read=count(stated.get("cache_read_input_tokens")))
        suspect = True
    mine, others, contexts = _split_by_model(stated, iterations, usage)
    return Spent(Counted(mine, suspect or contradicted, unpriced), others, contexts)


def _is_zero(stated: dict[str, Any], usage: Usage | None) -> bool:
    """Whether the prompt is stated with zero tokens."""
    return count(stated.get("input_tokens")) == 0 and (usage is None or usage.in_uncached is None)


def _split_by_model(
    stated: dict[str, Any], iterations: list[dict[str, Any]], usage: Usage | None
) -> tuple[Usage | None, tuple[tuple[str, Usage], ...], tuple[Usage, ...]]:
    if usage is None or not iterations:
        return usage, (), ()
    served_by = None
    for entry in iterations:
        if entry.get("type") == "fallback_message":
            served_by = _model(entry) or served_by
    others: list[tuple[str, Usage]] = []
    left_out = _left_out(stated, iterations, served_by)
    included = [entry for entry in iterations if not any(entry is other for other in left_out)]
    contexts = _contexts(usage, included)
    if served_by is not None:
        calls = Usage(searches=usage.searches, fetches=usage.fetches, code_runs=usage.code_runs)
        tokens = replace(usage, searches=None, fetches=None, code_runs=None)
        models = [_model(entry) or served_by for entry in included] if contexts else [served_by]
        others += zip(models, contexts or (tokens,), strict=True)
        usage, contexts = replace(calls, in_uncached=0, out_visible=0), ()
    for entry in left_out:
        spent, _ = _counts(entry)
        model = _model(entry) or (served_by if entry.get("type") == "compaction" else None)
        if spent is not None and model is not None:
            others.append((model, spent))
        elif spent is not None:
            contexts = (*contexts, spent) if contexts else ()
            usage = _added(usage, spent)
    return usage, tuple(others), contexts


def _contexts(usage: Usage, entries: list[dict[str, Any]]) -> tuple[Usage, ...]:
    """The model requests of which the top level is the sum; empty if the entries do not add up to it.

    Entries do not split the output into thinking and text: the thinking of the top level is assigned to the first one.
    """
    found: list[Usage] = []
    thoughts = usage.out_reasoning
    for entry in entries:
        spent, _ = _counts(entry)
        if spent is None:
            return ()
        if thoughts is not None and spent.out_reasoning is None and spent.out_visible is not None:
            spent.out_reasoning, spent.out_visible = take(thoughts, spent.out_visible)
            thoughts -= spent.out_reasoning or 0
        found.append(spent)
    adds_up = all(
        (getattr(usage, name) or 0) == sum(getattr(part, name) or 0 for part in found)
        for name in (*INPUT_COUNTS, *OUTPUT_COUNTS)
    )
    return tuple(found) if adds_up else ()


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
    # Entries of an unknown kind are not in the top level exactly if
    # the known ones already add up to it.
    if unknown and _sums_to(stated, included):
        never += unknown
    if declined and not _sums_to(stated, included + declined):
        never += [entry for entry in declined if count(entry.get("output_tokens"))]
    return never


def _sums_to(stated: dict[str, Any], entries: list[dict[str, Any]]) -> bool:
    return all(
        count(stated.get(name)) == sum(count(entry.get(name)) or 0 for entry in entries)
        for name in ("input_tokens", "output_tokens")
    )


def _known(kind: object) -> bool:
    return isinstance(kind, str) and kind in _ITERATIONS


def _model(entry: dict[str, Any]) -> str | None:
    name = entry.get("model")
    return name if isinstance(name, str) and 0 < len(name) <= _MODEL_NAME_LIMIT else None


def _counts(usage: dict[str, Any]) -> tuple[Usage | None, bool]:
    """The counts of the top level or of one iteration, and whether they contradict each other. See rule 6."""
    calls = usage.get("server_tool_use")
    found = Usage(
        searches=count(member(calls, "web_search_requests")),
        fetches=count(member(calls, "web_fetch_requests")),
        code_runs=count(member(calls, "code_execution_requests")),
    )
    writes = usage.get("cache_creation")
    short = count(member(writes, "ephemeral_5m_input_tokens"))
    long = count(member(writes, "ephemeral_1h_input_tokens"))
    written = count(usage.get("cache_creation_input_tokens"))
    uncached, cached = count(usage.get("input_tokens")), count(usage.get("cache_read_input_tokens"))
    more_writes = bool(written) and (short or 0) + (long or 0) > (written or 0)
    if not more_writes and any((uncached, cached, written, short, long)):
        found.in_uncached, found.cache_read = uncached, cached
        if written:
            long, short = take(long, written)
        found.cache_write_5m, found.cache_write_1h = (short if short is not None else written), long
    output = count(usage.get("output_tokens"))
    thinking = count(member(usage.get("output_tokens_details"), "thinking_tokens"))
    more_thinking = output is not None and (thinking or 0) > output
    if output is not None and not more_thinking:
        found.out_reasoning, found.out_visible = take(thinking, output)
    return found if found != Usage() else None, more_writes or more_thinking


def _added(usage: Usage, more: Usage) -> Usage:
    sums = {}
    for name in COUNTS:
        one, other = getattr(usage, name), getattr(more, name)
        sums[name] = one if other is None else other + (one or 0)
    return Usage(**sums)
