"""Requests that were left before their provider's response head: free within a budget of each account and hour.

Whoever presses Escape, or types on, has got nothing and pays nothing; but the provider may have read the prompt all the
same, so that an account which does nothing else would let the operator pay for it.

Bounded: so many accounts, two numbers each, under a hash that the process salts. Each worker counts for itself, so an
account that is served by several workers has the budget of each.
"""

from __future__ import annotations

import time
from collections.abc import Callable

MOST_ACCOUNTS = 16_384
HOUR_SECONDS = 3_600.0


class Abandoned:
    """What accounts have left in this hour.

    Args:
        budget: Micro-credits of an account and hour.
        clock: Seconds, never going back.
    """

    __slots__ = ("_accounts", "_budget", "_clock")

    def __init__(self, budget: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._budget = budget
        self._clock = clock
        self._accounts: dict[int, tuple[int, float]] = {}

    def forgives(self, account: str, amount: int) -> bool:
        """Whether a request that was left costs its account nothing. It is counted if so: ask once for each request.

        Args:
            account: Whose it is.
            amount: Micro-credits that its expected input would be charged at.
        """
        who, now = hash(account), self._clock()
        used, began = self._accounts.pop(who, (0, now))
        if now - began >= HOUR_SECONDS:
            used, began = 0, now
        free = used + amount <= self._budget
        if free:
            used += amount
        if len(self._accounts) >= MOST_ACCOUNTS:
            del self._accounts[next(iter(self._accounts))]
        self._accounts[who] = used, began
        return free
