"""What Gemini's ``usageMetadata`` means.

Rules (GenerateContentResponse reference, "UsageMetadata"):

1. ``promptTokenCount`` includes ``cachedContentTokenCount``; it does not include tool-use prompts, and
   ``candidatesTokenCount`` does not include thoughts.
2. Details by modality split a count: audio and images have counts of their own, video and cached audio are parts with
   a price of their own, and documents are priced like text. Cached tokens are subtracted from their own modality first,
   and from text if no modality is stated.
3. The details need not add up to the count (they are seen above and below it); the count is right.
4. Enumerations may be sent as numbers (``enum-encoding=int``).
5. ``totalTokenCount`` is the sum of prompt, tool-use prompts, thoughts and candidates. Counts of zero are not sent, so
   at the end of an answer the total shows whether a missing count was zero; a surplus belongs to the first missing one
   of candidates, thoughts, tool-use prompts. A total below the counts makes them suspect, but they are kept.
6. A part is never larger than its whole. If it is, and the total confirms the whole, the part is reduced to the whole.
   Otherwise it is not known which of the two is wrong, and the side is unknown.
7. A prompt always has tokens. If the end of an answer states a prompt of zero tokens, the zero is kept, since it was
   reported, but it makes the report suspect; a larger total replaces it. Before the end it is ignored.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from metering.usage import ServiceTier, Usage
from providers.answers.counts import IGNORED, Counted, Known, count, doubtful, doubts, lay_over, member, take

_MODALITIES: dict[str | int, str] = {
    "IMAGE": "IMAGE",
    "VIDEO": "VIDEO",
    "AUDIO": "AUDIO",
    2: "IMAGE",
    3: "VIDEO",
    4: "AUDIO",
}

_TIERS: dict[object, ServiceTier] = {
    "standard": ServiceTier.STANDARD,
    "unspecified": ServiceTier.STANDARD,
    "service_tier_unspecified": ServiceTier.STANDARD,
    "flex": ServiceTier.FLEX,
    "priority": ServiceTier.PRIORITY,
    "batch": ServiceTier.BATCH,
    "on_demand": ServiceTier.STANDARD,
    "traffic_type_unspecified": ServiceTier.STANDARD,
    "on_demand_flex": ServiceTier.FLEX,
    "on_demand_priority": ServiceTier.PRIORITY,
    "provisioned_throughput": ServiceTier.PROVISIONED,
    0: ServiceTier.STANDARD,
    1: ServiceTier.STANDARD,
    2: ServiceTier.PROVISIONED,
}


KNOWN: Final[Known] = {
    "promptTokenCount": None,
    "candidatesTokenCount": None,
    "thoughtsTokenCount": None,
    "toolUsePromptTokenCount": None,
    "cachedContentTokenCount": None,
    "totalTokenCount": None,
    "trafficType": IGNORED,  # see `service_tier`
    "serviceTier": IGNORED,
    # Read entry by entry:
    "promptTokensDetails": IGNORED,
    "promptTokenDetails": IGNORED,
    "cacheTokensDetails": IGNORED,
    "candidatesTokensDetails": IGNORED,
    "toolUsePromptTokensDetails": IGNORED,
}
_SIDES: Final = ("promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount", "toolUsePromptTokenCount")
# The modalities that can be priced, for the details of each count.
_READ: Final = frozenset(("MODALITY_UNSPECIFIED", "TEXT", "IMAGE", "AUDIO", "VIDEO", "DOCUMENT", 0, 1, 2, 3, 4, 5))
_MADE: Final = frozenset(("MODALITY_UNSPECIFIED", "TEXT", "IMAGE", "AUDIO", "DOCUMENT", 0, 1, 2, 4, 5))
_PRICED: Final = {
    "promptTokensDetails": _READ,
    "promptTokenDetails": _READ & {"TEXT", 1},  # of embeddings: only promptTokensDetails is split
    "cacheTokensDetails": _READ,
    "toolUsePromptTokensDetails": _READ - {"AUDIO", 4},
    "candidatesTokensDetails": _MADE,
}


def service_tier(usage: object) -> ServiceTier | None:
    """The tier that ``usageMetadata`` states as ``serviceTier`` (Gemini) or ``trafficType`` (Vertex)."""
    if not isinstance(usage, dict):
        return None
    for name in ("serviceTier", "trafficType"):
        value = usage.get(name)
        if isinstance(value, str) and value:
            return _TIERS.get(value.lower(), ServiceTier.OTHER)
        if type(value) is int and name == "trafficType":
            return _TIERS.get(value, ServiceTier.OTHER)
    return None


def add_usage(stated: dict[str, Any], usage: object) -> None:
    """Overwrite an answer's earlier statements with a later ``usageMetadata``. A total belongs to its own object."""
    if not isinstance(usage, dict):
        return
    if not count(usage.get("totalTokenCount")) and any(count(usage.get(name)) for name in _SIDES):
        stated.pop("totalTokenCount", None)
    lay_over(stated, usage)


def gemini_usage(usage: object, *, ended: bool = True) -> Counted:
    """Counts of a ``usageMetadata`` object.

    Args:
        usage: The object; any other value is ignored.
        ended: The answer is whole, so a total that equals the input means that there is no output.
    """
    if not isinstance(usage, dict):
        return Counted()
    suspect, unpriced = doubts(usage, KNOWN)
    for name, priced in _PRICED.items():
        unpriced = unpriced or any(kind not in priced for kind in _modalities(usage.get(name)))
    unpriced = unpriced or service_tier(usage) is ServiceTier.OTHER
    found = Usage(
        tool_in=count(usage.get("toolUsePromptTokenCount")), out_reasoning=count(usage.get("thoughtsTokenCount"))
    )
    prompt, candidates, confirmed = _fill_in(found, usage, ended=ended)
    contradicted = confirmed is False or prompt == 0
    if prompt is not None:
        contradicted |= _split_prompt(found, prompt, usage, confirmed=bool(confirmed))
    if candidates is not None:
        contradicted |= _split_candidates(found, candidates, usage, confirmed=bool(confirmed))
    return Counted(found if found != Usage() else None, suspect or contradicted, unpriced)


def _fill_in(found: Usage, usage: dict[str, Any], *, ended: bool) -> tuple[int | None, int | None, bool | None]:
    """The prompt, the candidates, and whether the total confirms them (``None``: there is no total). Rules 5 and 7."""
    prompt = count(usage.get("promptTokenCount"))
    candidates = count(usage.get("candidatesTokenCount"))
    total = count(usage.get("totalTokenCount")) or None
    beside = sum(tokens or 0 for tokens in (candidates, found.tool_in, found.out_reasoning))
    if prompt == 0 and (not ended or (total is not None and total > beside)):
        prompt = None
    if total is None or (prompt is None and candidates is None):
        return prompt, candidates, None
    rest = total - beside - (prompt or 0)
    if rest < 0:
        return prompt, candidates, False
    if prompt is None:
        return (None if doubtful(usage.get("promptTokenCount")) else rest or None), candidates, None
    if candidates is None:
        fills = (rest or ended) and not doubtful(usage.get("candidatesTokenCount"))
        return prompt, rest if fills else None, None
    if rest and not found.out_reasoning:
        found.out_reasoning = rest
    elif rest and not found.tool_in:
        found.tool_in = rest
    elif rest:
        return prompt, candidates, False
    return prompt, candidates, True


def counted_tokens(answer: object) -> Usage | None:
    """Counts of a ``countTokens`` answer. Nothing was used."""
    if not isinstance(answer, dict):
        return None
    total = count(answer.get("totalTokens"))
    if total is None:
        return None
    found = Usage()
    found.cache_read, found.in_uncached = take(count(answer.get("cachedContentTokenCount")), total)
    return found


def _split_candidates(found: Usage, candidates: int, usage: dict[str, Any], *, confirmed: bool) -> bool:
    """Split the candidates by modality; return whether a part contradicts them. See rule 6."""
    details = _by_modality(usage.get("candidatesTokensDetails"))
    contradicted = max(details.values(), default=0) > candidates
    if contradicted and not confirmed:
        found.out_reasoning = None
        return True
    found.audio_out, rest = take(details.get("AUDIO"), candidates)
    found.image_out, found.out_visible = take(details.get("IMAGE"), rest)
    return contradicted


def _split_prompt(found: Usage, prompt: int, usage: dict[str, Any], *, confirmed: bool) -> bool:
    """Split the prompt by modality; return whether a part contradicts it. See rules 2 and 6."""
    details = _by_modality(usage.get("promptTokensDetails"))
    cached_details = _by_modality(usage.get("cacheTokensDetails"))
    stated = count(usage.get("cachedContentTokenCount"))
    contradicted = max(stated or 0, *details.values(), 0) > prompt
    if contradicted and not confirmed:
        found.tool_in = None
        return True
    audio, rest = take(details.get("AUDIO"), prompt)
    image, rest = take(details.get("IMAGE"), rest)
    found.cache_read, _ = take(stated, prompt)
    cached = found.cache_read or 0
    of_audio = min(cached, cached_details.get("AUDIO", 0), audio or 0)
    of_image = min(cached - of_audio, cached_details.get("IMAGE", 0), image or 0)
    # Cached tokens without a modality are subtracted from text, then from images, then from audio.
    of_text = min(cached - of_audio - of_image, rest)
    left = cached - of_audio - of_image - of_text
    more_image = min(left, (image or 0) - of_image)
    found.in_uncached = rest - of_text
    found.image_in = None if image is None else image - of_image - more_image
    found.audio_in = None if audio is None else audio - of_audio - (left - more_image)
    found.cache_read_audio = (of_audio + left - more_image) or None
    video = details.get("VIDEO", 0) - min(cached, cached_details.get("VIDEO", 0))
    found.video_in = min(max(0, video), found.in_uncached) or None
    return contradicted


def _modalities(details: object) -> Iterator[object]:
    """The modalities for which ``details`` state tokens; an unhashable one becomes a string."""
    for entry in details if isinstance(details, list) else ():
        modality = member(entry, "modality")
        if member(entry, "tokenCount") and modality is not None:
            yield modality if isinstance(modality, str | int) else ""


def _by_modality(details: object) -> dict[str, int]:
    sums: dict[str, int] = {}
    for entry in details if isinstance(details, list) else ():
        modality = member(entry, "modality")
        kind = _MODALITIES.get(modality) if isinstance(modality, str | int) else None
        tokens = count(member(entry, "tokenCount"))
        if kind is not None and tokens is not None:
            sums[kind] = sums.get(kind, 0) + tokens
    return sums
