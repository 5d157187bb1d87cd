"""Limits how many answers are read on after their client has left: a few for each account.

Without the limit, an account could make a worker read many answers that nobody gets. The usage of an answer that is not
read on is estimated.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

MOST_LINGERING = 8  # of one account at one worker


class Lingering:
    """The answers that are read on, by account."""

    __slots__ = ("_held", "_most")

    def __init__(self, most: int = MOST_LINGERING) -> None:
        self._most = most
        self._held: dict[str, int] = {}

    @contextmanager
    def one_more(self, account: str) -> Iterator[bool]:
        """Whether the account may have one more answer read on, for as long as the block lasts."""
        held = self._held.get(account, 0)
        if held >= self._most:
            yield False
            return
        self._held[account] = held + 1
        try:
            yield True
        finally:
            self._held[account] -= 1
            if not self._held[account]:
                del self._held[account]
