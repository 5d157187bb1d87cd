"""Requests that the client abandoned before the provider's response head: free within a budget per account and hour.

A person who presses Escape, or types on, got nothing and pays nothing. But the provider may have read the prompt, so
the budget limits what the operator pays for one account.

Memory is bounded: a fixed number of accounts, with two numbers each, under a salted hash. Each worker counts
separately, so an account that several workers serve has the budget of each.
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

    def within(self, budget: int) -> Abandoned:
        """The same accounts, with another budget."""
        other = Abandoned(budget, self._clock)
        other._accounts = self._accounts
        return other

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
