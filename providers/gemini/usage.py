"""What Gemini's ``usageMetadata`` means.

Rules (GenerateContentResponse reference, "UsageMetadata"):

1. ``cachedContentTokenCount`` is inside ``promptTokenCount``; thoughts and tool-use prompts stand
   beside both the prompt and the candidates.
2. Details by modality split a count: audio and images have buckets of their own; text, video and
   documents are priced alike. Cached tokens are subtracted from their own modality first, then from
   text where no modality is stated.
3. The details need not add up to the count (they are seen above and below it); the count is right.
4. Enumerations may be sent as numbers (``enum-encoding=int``).
"""

from __future__ import annotations

from metering.usage import ServiceTier, Usage
from providers.answers.counts import count, member, take

_MODALITIES: dict[str | int, str] = {"IMAGE": "IMAGE", "AUDIO": "AUDIO", 2: "IMAGE", 4: "AUDIO"}

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


def service_tier(usage: object) -> ServiceTier | None:
    """The tier that ``usageMetadata`` states as ``serviceTier`` (Gemini) or ``trafficType`` (Vertex)."""
    if not isinstance(usage, dict):
        return None
    for name in ("serviceTier", "trafficType"):
        value = usage.get(name)
        if isinstance(value, str):
            return _TIERS.get(value.lower(), ServiceTier.OTHER)
        if type(value) is int and name == "trafficType":
            return _TIERS.get(value, ServiceTier.OTHER)
    return None


def gemini_usage(usage: object) -> Usage | None:
    """Counts of a ``usageMetadata`` object; ``None`` if it has none."""
    if not isinstance(usage, dict):
        return None
    found = Usage()
    prompt = count(usage.get("promptTokenCount"))
    if prompt is not None:
        _split_prompt(found, prompt, usage)
    found.tool_in = count(usage.get("toolUsePromptTokenCount"))
    found.out_reasoning = count(usage.get("thoughtsTokenCount"))
    candidates = count(usage.get("candidatesTokenCount"))
    if candidates is not None:
        details = _by_modality(usage.get("candidatesTokensDetails"))
        found.audio_out, rest = take(details.get("AUDIO"), candidates)
        found.image_out, found.out_visible = take(details.get("IMAGE"), rest)
    return found if found != Usage() else None


def counted_tokens(answer: object) -> Usage | None:
    """Counts of a ``countTokens`` answer: how large a prompt would be. Nothing was used."""
    if not isinstance(answer, dict):
        return None
    total = count(answer.get("totalTokens"))
    if total is None:
        return None
    found = Usage()
    found.cache_read, found.in_uncached = take(count(answer.get("cachedContentTokenCount")), total)
    return found


def _split_prompt(found: Usage, prompt: int, usage: dict[str, object]) -> None:
    details = _by_modality(usage.get("promptTokensDetails"))
    cached_details = _by_modality(usage.get("cacheTokensDetails"))
    audio, rest = take(details.get("AUDIO"), prompt)
    image, rest = take(details.get("IMAGE"), rest)
    found.cache_read, _ = take(count(usage.get("cachedContentTokenCount")), prompt)
    cached = found.cache_read or 0
    of_audio = min(cached, cached_details.get("AUDIO", 0), audio or 0)
    of_image = min(cached - of_audio, cached_details.get("IMAGE", 0), image or 0)
    # What the details do not place comes out of text, then out of images, then out of audio.
    of_text = min(cached - of_audio - of_image, rest)
    left = cached - of_audio - of_image - of_text
    more_image = min(left, (image or 0) - of_image)
    found.in_uncached = rest - of_text
    found.image_in = None if image is None else image - of_image - more_image
    found.audio_in = None if audio is None else audio - of_audio - (left - more_image)


def _by_modality(details: object) -> dict[str, int]:
    sums: dict[str, int] = {}
    for entry in details if isinstance(details, list) else ():
        modality = member(entry, "modality")
        kind = _MODALITIES.get(modality) if isinstance(modality, str | int) else None
        tokens = count(member(entry, "tokenCount"))
        if kind is not None and tokens is not None:
            sums[kind] = sums.get(kind, 0) + tokens
    return sums
