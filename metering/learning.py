"""What completed requests teach about a model: how many bytes a token takes, how long its answers usually are.

Rules:

1. Numbers only: byte counts, token counts and the catalog's closed model names.
2. Bounded: so many models, so many buckets each. Counts are halved now and then, so that old traffic fades.
3. Until enough was seen, nothing is learnt and the caller's own figures hold. A learnt figure is bounded too: one
   strange account cannot make holds absurd.
"""

from __future__ import annotations

from bisect import bisect_left

MOST_MODELS = 512
ENOUGH_INPUTS = 20
ENOUGH_OUTPUTS = 100
FADE_AT = 4_096
SHORTEST_INPUT = 256  # below it what providers add around the messages outweighs the text
LEAST_RATIO, MOST_RATIO = 1_500, 8_000  # bytes per token in thousandths; beyond it images or noise were counted
LEAST_OUTPUT = 256
_STEPS = 4  # buckets to each doubling of the output: a bound is at most 19 % too high
_BUCKETS = 21 * _STEPS  # up to two million tokens
_BOUNDS = tuple(round(2 ** (index / _STEPS)) for index in range(1, _BUCKETS + 1))


class _Seen:
    __slots__ = ("bytes", "inputs", "outputs", "tokens", "total")

    def __init__(self) -> None:
        self.inputs = 0
        self.bytes = 0
        self.tokens = 0
        self.total = 0
        self.outputs = [0] * _BUCKETS


class Learning:
    """One worker's knowledge."""

    __slots__ = ("_models",)

    def __init__(self) -> None:
        self._models: dict[str, _Seen] = {}

    def observe(self, model: str, *, body_bytes: int, input_tokens: int, output_tokens: int) -> None:
        """A request of ``model`` was answered whole, with the provider's own counts.

        Args:
            model: The catalog's name.
            body_bytes: Of its request body; 0 where the body says nothing of its text (it holds images, audio ...).
            input_tokens: All that was read.
            output_tokens: All that was produced, of one choice.
        """
        seen = self._models.get(model)
        if seen is None:
            if len(self._models) >= MOST_MODELS:
                return
            seen = self._models[model] = _Seen()
        if body_bytes and input_tokens >= SHORTEST_INPUT:
            ratio = body_bytes * 1_000 // input_tokens
            if LEAST_RATIO <= ratio <= MOST_RATIO:
                seen.inputs += 1
                seen.bytes += body_bytes
                seen.tokens += input_tokens
                if seen.inputs >= FADE_AT:
                    seen.inputs, seen.bytes, seen.tokens = seen.inputs // 2, seen.bytes // 2, seen.tokens // 2
        seen.outputs[_bucket(output_tokens)] += 1
        seen.total += 1
        if seen.total >= FADE_AT:
            seen.outputs = [count // 2 for count in seen.outputs]
            seen.total = sum(seen.outputs)

    def bytes_per_token_milli(self, model: str) -> int | None:
        """Thousandths of a byte of request body to a token of input, or ``None``: not learnt yet."""
        seen = self._models.get(model)
        if seen is None or seen.inputs < ENOUGH_INPUTS:
            return None
        return seen.bytes * 1_000 // seen.tokens

    def usual_output(self, model: str) -> int | None:
        """Tokens that 99 of 100 answers do not exceed, or ``None``: not learnt yet."""
        seen = self._models.get(model)
        if seen is None or seen.total < ENOUGH_OUTPUTS:
            return None
        above = seen.total // 100
        for index in range(_BUCKETS - 1, -1, -1):
            above -= seen.outputs[index]
            if above < 0:
                return max(LEAST_OUTPUT, _BOUNDS[index])
        return LEAST_OUTPUT


def _bucket(tokens: int) -> int:
    """The first bucket whose bound is not below ``tokens``; the last one for more than any."""
    return min(bisect_left(_BOUNDS, tokens), _BUCKETS - 1)
