"""Estimates the tokens of a request's input before the provider states them: two estimates for two uses. Pure.

1. `Input.bound` is for holds and for the token rate: rarely exceeded, never charged.
2. `Input.expected` is charged for requests that ended before the provider stated the input: unbiased, and never above
   the bound.
3. `reasoning` is for the hidden output of an abandoned answer.

Measured on the recordings with ``python -m benchmarks estimates``; the result is in docs/billing.md.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from gateway.catalog.catalog import CatalogTarget
from metering.learning import LATENCY_MS
from providers.dialect import Family, Operation
from providers.measures import Weight
from providers.tools.catalog import TOOLS_BY_ID
from providers.weight import tokens

USUAL_SPEED = 60
"""Tokens a second until a model's own are learnt. In the recordings: gpt-5-mini 54, gpt-5 60, o4-mini 90."""

_THOUSAND = 1_000
# Tokens that a tool at the provider reads on top of the request, for the bound: what half to three quarters of the
# recorded requests stay below. What it really reads is charged as stated.
_READ_BY_UNIT = {
    "searches": 20_000,
    "preview_searches": 2_000,
    "file_searches": 4_000,
    "map_searches": 2_000,
    "fetches": 10_000,
    "code_runs": 8_000,
}
_READ_BY_ANY = 4_000
_READ_BY_GOOGLES = 2_000


class Expected(msgspec.Struct, frozen=True):
    """The input that a request probably has, in tokens.

    Attributes:
        uncached: Read at the full price.
        cached: Probably read from the provider's prompt cache.
        audio: Of the uncached ones, audio, which may have a price of its own.
        video: Of the uncached ones, video; the same.
    """

    uncached: int = 0
    cached: int = 0
    audio: int = 0
    video: int = 0

    @property
    def tokens(self) -> int:
        """All of it."""
        return self.uncached + self.cached


class Input(msgspec.Struct, frozen=True):
    """Both estimates of one request.

    Attributes:
        bound: Tokens that it has at most, by estimate, whichever of its targets answers.
        expected: Tokens that it probably has at its first target.
        text: Of the expected ones, those of text and JSON, before the learnt factor: what learning compares
            with the provider's count. 0 for a request with media.
    """

    bound: int
    expected: Expected
    text: int


def of_input(
    weight: Weight,
    operation: Operation,
    models: Iterable[str],
    *,
    factor: int | None = None,
    cached_share: int = 0,
    window: int | None = None,
    tools: Iterable[str] = (),
) -> Input:
    """Estimate a request's input.

    Args:
        weight: What it gives the model to read.
        operation: In which dialect it is asked.
        models: The targets' own names of the model, in order; not empty.
        factor: Thousandths by which the model's counts exceed the estimate, as learnt; ``None``: not learnt yet.
        cached_share: Thousandths of the account's last input to the model that the provider read from its cache.
        window: The model's context window in tokens, which no input exceeds.
        tools: Closed ids of the tools at the provider that the request switches on.
    """
    read = sum(map(_read_by, tools))
    first: tuple[int, int] | None = None
    most = 0
    models = list(dict.fromkeys(models))
    for model in models:
        tokenizer = tokens.tokenizer_of(operation, model)
        text = tokens.text_tokens(weight, tokenizer)
        media, most_media = tokens.media_tokens(weight, operation, model) if weight.media else (0, 0)
        learnt = text if factor is None else -(-text * factor // _THOUSAND)
        if first is None:
            first = text, learnt + media
        at_most = tokens.most_text_tokens(weight, tokenizer) * max(_THOUSAND, factor or 0) // _THOUSAND
        most = max(most, at_most + most_media + read, learnt + media)
    assert first is not None
    text, probably = first
    if window is not None:
        most = min(most, window)
    probably = min(probably, most)
    cached = probably * min(max(cached_share, 0), _THOUSAND) // _THOUSAND
    uncached, audio, video = probably - cached, 0, 0
    if weight.media:
        audio, video = tokens.spoken_and_filmed(weight, operation.family, models[0])
        audio = min(audio, uncached)
        video = min(video, uncached - audio)
    return Input(most, Expected(uncached, cached, audio, video), 0 if weight.media else text)


def _read_by(tool: str) -> int:
    known = TOOLS_BY_ID[tool]
    if known.family is Family.GOOGLE:
        return _READ_BY_GOOGLES
    return _READ_BY_ANY if known.unit is None else _READ_BY_UNIT[known.unit]


def thinks_unseen(target: CatalogTarget, weight: Weight) -> bool:
    """The model reasons before it answers, and does not show all of it: its count comes with the usage or not at all.

    OpenAI's reasoning models never show it; Anthropic's do so by summary or not at all if reasoning is asked for;
    Google states the count of thoughts on the chunks of its stream.
    """
    return weight.thinks and (target.reasons or target.provider.family is Family.ANTHROPIC)


def reasoning(waited_ms: int, speed: int | None = None) -> int:
    """Tokens that a model has probably reasoned unseen, before the first output of a stream that its client left.

    Args:
        waited_ms: Milliseconds from the request to the first output that was seen.
        speed: Tokens a second, as learnt of the model; ``None``: not learnt yet.
    """
    return max(0, waited_ms - LATENCY_MS) * (speed or USUAL_SPEED) // _THOUSAND
