"""What completed requests teach about a model: how far its counts lie from the estimate, how long its answers usually
are, how fast it reasons, and how much of an account's input came from the provider's cache.

Rules:

1. Numbers only: token counts, times, hashes of account ids (salted by the process) and the catalog's closed names.
2. Bounded: so many models, accounts and buckets, whatever is asked.
3. Nobody sets a figure alone. An account counts at most `MOST_OF_ONE` times in a window, a figure holds two windows,
   and it is a median, or skips what one account can have contributed. A window ends when it has lasted and has
   enough; until then what an account has used up stays used up.
4. Until enough was seen, nothing is learnt and the caller's own figures hold. A learnt figure stays within what
   tokenizers and machines can produce.
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
SHORTEST_INPUT = 64  # below it what providers add around the messages outweighs the text
LEAST_FACTOR, MOST_FACTOR = 600, 1_700  # thousandths: vocabularies differ by no more on the same text
LEAST_OUTPUT = 256
LEAST_SPEED, MOST_SPEED = 5, 500  # tokens a second: what is faster was no reasoning, or was seen
SHORTEST_REASONING = 64  # tokens: below it the time is the network's
LATENCY_MS = 300  # of a request before its model begins

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
        """Note a value; how many accounts more are remembered than before (below zero after a window's end)."""
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
        """What 99 of 100 do not exceed, beside what one account can have contributed."""
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
    """One worker's knowledge.

    Args:
        clock: Seconds, never going back.
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
        """A request of ``model`` was answered whole, with the provider's own counts.

        Args:
            model: The catalog's name.
            account: Whose request it was.
            estimated: Tokens that its input was estimated at; 0 if the estimate is not of text only.
            input_tokens: All that was read.
            cached_tokens: Of these, from the provider's cache.
            output_tokens: All that was produced, of one choice.
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
        """A model reasoned unseen: so many tokens in the time from the request to the first output that was seen."""
        if tokens < SHORTEST_REASONING or milliseconds <= LATENCY_MS:
            return
        speed = tokens * 1_000 / (milliseconds - LATENCY_MS)
        now = self._clock()
        figures = self._of(model, now)
        if figures is not None and LEAST_SPEED <= speed <= MOST_SPEED:
            self._accounts += figures.speeds.add(speed, hash((model, account)), now, room=self._room)

    def input_factor(self, model: str) -> int | None:
        """Thousandths by which the model's counts exceed the estimate, or ``None``: not learnt yet."""
        figures = self._models.get(model)
        found = None if figures is None else figures.inputs.median()
        return None if found is None else int(found)

    def usual_output(self, model: str) -> int | None:
        """Tokens that 99 of 100 answers do not exceed, or ``None``: not learnt yet."""
        figures = self._models.get(model)
        found = None if figures is None else figures.outputs.high()
        return None if found is None else max(LEAST_OUTPUT, int(found))

    def reasoning_speed(self, model: str) -> int | None:
        """Tokens a second at which the model reasons, or ``None``: not learnt yet."""
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
