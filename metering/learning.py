"""What is learnt about a model from completed requests: the ratio of its input counts to the estimate, the usual length
of its answers, the speed of its reasoning, and the share of an account's input that came from the provider's cache.

Rules:

1. Numbers only: token counts, times, hashes of account ids (salted by the process) and the catalog's closed names.
2. Memory is bounded: the numbers of models, accounts and buckets are limited, whatever is asked for.
3. No single account can set a figure. An account counts at most `MOST_OF_ONE` times in a window; a figure is taken
   from two windows, and is a median, or leaves out as many values as one account can have contributed. A window ends
   after its time, but not before it has enough values; until then an account's allowance is not renewed.
4. Until enough values were seen, nothing is learnt and the caller uses its own figures. A learnt figure stays within
   what tokenizers and machines can produce.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable

MOST_MODELS = 512
MOST_ACCOUNTS = 65_536  # of all models together, in this window
MOST_SHARES = 16_384
MOST_OF_ONE = 10
ENOUGH_INPUTS = 50
ENOUGH_OUTPUTS = 200
ENOUGH_SPEEDS = 50
WINDOW_SECONDS = 3_600.0
SHARE_SECONDS = 600.0  # providers keep a prompt cached for five to ten minutes after its last use
SHORTEST_INPUT = 64  # below it, the tokens that providers add around messages outweigh the text
LEAST_FACTOR, MOST_FACTOR = 600, 1_700  # thousandths: on the same text, vocabularies differ by no more
LEAST_OUTPUT = 256
LEAST_SPEED, MOST_SPEED = 5, 500  # tokens a second: anything faster was not reasoning, or was streamed
SHORTEST_REASONING = 64  # tokens: below it, the time is mostly the network's
LATENCY_MS = 300  # before the model starts to work on a request

_STEPS = 16  # buckets to each doubling of the factor: one is 4 % wide
_FACTORS = tuple(round(LEAST_FACTOR * 2 ** (index / _STEPS)) for index in range(26))
_OUTPUTS = tuple(round(2 ** (index / 4)) for index in range(1, 85))  # a bound is at most 19 % too high
_SPEEDS = tuple(round(LEAST_SPEED * 2 ** (index / 8), 1) for index in range(72))


class _Spread:
    """How often each value was seen, by buckets, in this window and the one before."""

    __slots__ = ("_accounts", "_began", "_bounds", "_counts", "_enough", "_past")

    def __init__(self, bounds: tuple[float, ...], enough: int, now: float) -> None:
        self._bounds = bounds
        self._enough = enough
        self._counts = [0] * len(bounds)
        self._past = [0] * len(bounds)
        self._accounts: dict[int, int] = {}
        self._began = now

    def add(self, value: float, account: int, now: float, *, room: bool) -> int:
        """Note a value; return how many accounts more are remembered (negative after the end of a window)."""
        freed = 0
        if now - self._began >= WINDOW_SECONDS and sum(self._counts) >= self._enough:
            freed = len(self._accounts)
            self._past, self._counts, self._accounts, self._began = self._counts, [0] * len(self._bounds), {}, now
        used = self._accounts.get(account, 0)
        if used >= MOST_OF_ONE or not (used or room):
            return -freed
        self._accounts[account] = used + 1
        self._counts[min(bisect_left(self._bounds, value), len(self._bounds) - 1)] += 1
        return (0 if used else 1) - freed

    def median(self) -> float | None:
        counts = self._both()
        total = sum(counts)
        if total < self._enough:
            return None
        left = (total + 1) // 2
        for bound, count in zip(self._bounds, counts, strict=True):
            left -= count
            if left <= 0:
                return bound
        return self._bounds[-1]

    def high(self) -> float | None:
        """The 99th percentile, after the highest values that one account can have contributed are left out."""
        counts = self._both()
        total = sum(counts)
        if total < self._enough:
            return None
        above = total // 100 + 2 * MOST_OF_ONE
        for bound, count in zip(reversed(self._bounds), reversed(counts), strict=True):
            above -= count
            if above < 0:
                return bound
        return self._bounds[0]

    def _both(self) -> list[int]:
        return [one + other for one, other in zip(self._counts, self._past, strict=True)]


class _Figures:
    __slots__ = ("inputs", "outputs", "speeds")

    def __init__(self, now: float) -> None:
        self.inputs = _Spread(_FACTORS, ENOUGH_INPUTS, now)
        self.outputs = _Spread(_OUTPUTS, ENOUGH_OUTPUTS, now)
        self.speeds = _Spread(_SPEEDS, ENOUGH_SPEEDS, now)


class Learning:
    """The figures that one worker has learnt.

    Args:
        clock: Seconds, monotonic.
    """

    __slots__ = ("_accounts", "_clock", "_models", "_shares")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._models: dict[str, _Figures] = {}
        self._shares: dict[int, tuple[int, float]] = {}
        self._accounts = 0

    def observe(
        self,
        model: str,
        account: str,
        *,
        estimated: int,
        input_tokens: int,
        cached_tokens: int,
        output_tokens: int,
    ) -> None:
        """Note a request that ``model`` answered completely, with the provider's own counts.

        Args:
            model: The catalog's name.
            account: Whose request it was.
            estimated: The estimate of its input tokens; 0 if the input was not only text.
            input_tokens: All input tokens.
            cached_tokens: Those of them that came from the provider's cache.
            output_tokens: All output tokens of one choice.
        """
        now = self._clock()
        who = hash((model, account))
        if input_tokens > 0:
            self._shares.pop(who, None)
            if len(self._shares) >= MOST_SHARES:
                del self._shares[next(iter(self._shares))]
            self._shares[who] = (min(1_000, cached_tokens * 1_000 // input_tokens), now)
        figures = self._of(model, now)
        if figures is None:
            return
        if estimated >= SHORTEST_INPUT and input_tokens >= SHORTEST_INPUT:
            factor = input_tokens * 1_000 / estimated
            if LEAST_FACTOR <= factor <= MOST_FACTOR:
                self._accounts += figures.inputs.add(factor, who, now, room=self._room)
        self._accounts += figures.outputs.add(output_tokens, who, now, room=self._room)

    def observe_reasoning(self, model: str, account: str, *, tokens: int, milliseconds: int) -> None:
        """Note how many reasoning tokens a model produced in the time from the request to its first visible output."""
        if tokens < SHORTEST_REASONING or milliseconds <= LATENCY_MS:
            return
        speed = tokens * 1_000 / (milliseconds - LATENCY_MS)
        now = self._clock()
        figures = self._of(model, now)
        if figures is not None and LEAST_SPEED <= speed <= MOST_SPEED:
            self._accounts += figures.speeds.add(speed, hash((model, account)), now, room=self._room)

    def input_factor(self, model: str) -> int | None:
        """The model's input count for an estimate of 1000 tokens; ``None`` if not learnt yet."""
        figures = self._models.get(model)
        found = None if figures is None else figures.inputs.median()
        return None if found is None else int(found)

    def usual_output(self, model: str) -> int | None:
        """Tokens that 99 of 100 answers do not exceed; ``None`` if not learnt yet."""
        figures = self._models.get(model)
        found = None if figures is None else figures.outputs.high()
        return None if found is None else max(LEAST_OUTPUT, int(found))

    def reasoning_speed(self, model: str) -> int | None:
        """Tokens a second at which the model reasons; ``None`` if not learnt yet."""
        figures = self._models.get(model)
        found = None if figures is None else figures.speeds.median()
        return None if found is None else round(found)

    def cached_share(self, model: str, account: str) -> int:
        """Thousandths of the account's last input to the model that came from the provider's cache; 0 after a while."""
        share, when = self._shares.get(hash((model, account)), (0, 0.0))
        return share if share and self._clock() - when <= SHARE_SECONDS else 0

    @property
    def _room(self) -> bool:
        return self._accounts < MOST_ACCOUNTS

    def _of(self, model: str, now: float) -> _Figures | None:
        figures = self._models.get(model)
        if figures is None and len(self._models) < MOST_MODELS:
            figures = self._models[model] = _Figures(now)
        return figures
