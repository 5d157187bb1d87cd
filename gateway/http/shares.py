"""A resource that all callers of a worker share, and how much of it one of them may hold.

Rules:

1. Nobody gets more than is then left for all others. One greedy holder gets half; ``n`` of them get one part of
   ``n + 1`` each, and one part is left. So greedy holders never take everything, and no list of holders is needed.
   (Choudhury and Hahne, "Dynamic Queue Length Thresholds for Shared-Memory Packet Switches", 1998.)
2. A request releases what it holds when it ends. A holder is known only while it holds something.
3. Every step compares one number of the holder with one number of all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Self

from gateway.errors import GatewayError


class FairBudget:
    """A total, such as bytes or running requests.

    Attributes:
        limit: Of all holders together.
        most: Of one holder, if nobody else holds anything.
        used: Of all holders together, now.
    """

    def __init__(
        self,
        limit: int,
        part: float = 0.5,
        *,
        own: Callable[[], GatewayError],
        full: Callable[[], GatewayError],
        never: Callable[[], GatewayError],
    ) -> None:
        """Build an unused budget.

        Args:
            limit: Of all holders together.
            part: The part of it that one holder may have, 0.5 at most in effect (rule 1).
            own: The refusal of a holder that holds too much through its other shares.
            full: The refusal of a holder that holds nothing else: the others hold too much.
            never: The refusal of a request that would not fit even if nobody else held anything.
        """
        self.limit = limit
        self.most = int(min(limit // 2, limit * part))
        self.used = 0
        self._own = own
        self._full = full
        self._never = never
        self._held: dict[str, int] = {}

    @property
    def held(self) -> Mapping[str, int]:
        """What each holder has; holders of nothing are not in it."""
        return self._held

    def hold(self, holder: str) -> Share:
        """A share that grows with `Share.grow` and is given back at the end of its ``with`` block."""
        return Share(self, holder)

    def check(self, holder: str, size: int, count: int) -> None:
        """Raise what speaks against ``count`` more for a holder's share that has ``size``."""
        held = self._held.get(holder, 0)
        if held + count <= self.most and held + count <= self.limit - self.used - count:
            return
        if size + count > self.most:
            raise self._never()
        raise self._own() if held > size else self._full()

    def move(self, holder: str, count: int) -> None:
        """Note that a holder has ``count`` more, or less."""
        held = self._held.get(holder, 0) + count
        if held:
            self._held[holder] = held
        else:
            self._held.pop(holder, None)
        self.used += count


class Share:
    """What one exchange of a holder has of a budget."""

    __slots__ = ("_budget", "holder", "size")

    def __init__(self, budget: FairBudget, holder: str) -> None:
        self._budget = budget
        self.holder = holder
        self.size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.shrink(self.size)

    def expect(self, count: int) -> None:
        """Raise what `grow` would, and take nothing."""
        self._budget.check(self.holder, self.size, count)

    def grow(self, count: int) -> None:
        """Take ``count`` more. Raises the budget's refusal, and then takes nothing."""
        self._budget.check(self.holder, self.size, count)
        self._budget.move(self.holder, count)
        self.size += count

    def shrink(self, count: int) -> None:
        """Give ``count`` back, or what there is: a share that has ended has nothing any more."""
        count = min(count, self.size)
        self._budget.move(self.holder, -count)
        self.size -= count
