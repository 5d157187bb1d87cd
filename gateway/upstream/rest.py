"""How long something that failed is left alone, and who tries it again. Pure, with the clock handed in.

Rules:

1. A failure begins a rest of as long as the provider says, else with an exponential back-off from `FIRST_REST` to the
   longest. A failure during a rest belongs to a request that began earlier: it does not add to the back-off.
2. After its rest it is half open: one request tries it, and the others pass it by until that one is answered. If nobody
   hears what became of that request (its client left), the next one tries after `PROBE_SECONDS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SHORTEST_REST: Final = 1.0  # seconds
FIRST_REST: Final = 2.0
PROBE_SECONDS: Final = 60.0


@dataclass(slots=True)
class Rest:
    """Of one key or target. Nothing that rests is thrown away before it has answered again."""

    until: float
    times: int = 0
    tried_until: float = 0.0  # a request that tries it again is waited for until then

    def wait(self, now: float) -> float:
        """Seconds until it may be used; 0 after its rest, while no request tries it."""
        return max(self.until - now, self.tried_until - now, 0.0)

    def again(self, now: float, stated: float | None, longest: float) -> None:
        """It failed: rest for ``stated`` seconds, or for longer than the last time; at most for ``longest``."""
        end = None if stated is None else now + min(max(stated, SHORTEST_REST), longest)
        if now < self.until:  # failed together with others
            self.until = max(self.until, end or 0.0)
            return
        self.until = end or now + min(FIRST_REST * 2**self.times, longest)
        self.times = min(self.times + 1, 16)
        self.tried_until = 0.0

    def claim(self, now: float) -> None:
        """A request uses it: if the rest is over, the others wait for that one."""
        if self.until <= now:
            self.tried_until = now + PROBE_SECONDS
