"""Who waits while a worker has more to do than it can: the accounts that ask for most.

Rules:

1. A timer says how late the event loop is, and how much of a processor the worker uses. Above `LATE_SECONDS` or
   `MOST_LOAD` on average, there is too much.
2. While there is too much, an allowance that is the same for every account shrinks by a factor at each tick; while
   there is not, it grows slowly, until nobody has to keep to it. So it settles where the loop is just on time, and an
   account that needs less than the allowance never waits. (Max-min fairness; of the steps: Chiu and Jain, "Analysis of
   the Increase and Decrease Algorithms for Congestion Avoidance", 1989.)
3. The allowance is processor time per second. An account pays for a request what requests cost on average, and for long
   work (`gateway.http.slices`) what it took. Its next request begins once it has paid.
4. Nobody gets less than an equal part among those who asked in the last second: of the whole processor, or, if the loop
   is late although the worker does not use it, of what it uses. So nobody who is alone waits, and where all ask for the
   same, the worker is as busy as without this.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

LATE_SECONDS: Final = 0.005
MOST_LOAD: Final = 0.75  # of a processor: what is left keeps the waits of the others short
TICK_SECONDS: Final = 0.1
BURST_SECONDS: Final = 0.1  # of its allowance that an account may use at once
MOST_SECONDS: Final = 5.0  # that a request waits

_WHOLE: Final = 1.0  # allowance: the whole processor, which is no limit
_TRACKED: Final = 0.99  # the largest one below it: nobody waits, but it is seen who asks
_LESS, _MORE = 0.8, 1.05
_NEW_PART: Final = 0.2  # of the newest tick in an average
_ROOM: Final = 1.25  # times an equal part: where all ask for the same, nobody asks for exactly that
_LEAST_LOAD: Final = 0.5  # a worker that others keep from running may use as much
_FIRST_COST: Final = 0.001  # of a request, before one was seen


class Overload:
    """The allowance of one worker.

    Attributes:
        allowance: Seconds of the processor per second that each account may use, 1.0 if there is no limit.
    """

    __slots__ = (
        "_begun",
        "_clock",
        "_cost",
        "_due",
        "_late",
        "_load",
        "_long",
        "_processor",
        "_timer",
        "_until",
        "_used",
        "allowance",
    )

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, processor: Callable[[], float] = time.thread_time
    ) -> None:
        self._clock = clock
        self._processor = processor
        self.allowance = _WHOLE
        self._until: dict[str, float] = {}  # account -> when it has paid; in the order of the last request
        self._late = 0.0
        self._load = 0.0
        self._cost = _FIRST_COST
        self._used = processor()
        self._begun = 0  # since the last tick
        self._long = 0.0  # seconds of long work since then
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """Accounts that are known: of the last second, or that have not paid."""
        return len(self._until)

    @property
    def limits(self) -> bool:
        """Whether accounts have an allowance that they keep to."""
        return self.allowance < _WHOLE

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to tick."""
        self._due = self._clock() + TICK_SECONDS
        self._timer = loop.call_later(TICK_SECONDS, self._on_time, loop)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_time(self, loop: asyncio.AbstractEventLoop) -> None:
        self.tick(self._clock() - self._due)
        self.start(loop)

    def wait(self, account: str) -> float:
        """Count a request that begins; the seconds for which it is to wait first, 0.0 as a rule."""
        self._begun += 1
        if self.allowance >= _WHOLE:
            return 0.0
        now = self._clock()
        wait = max(0.0, self._until.get(account, now) - now - BURST_SECONDS)
        self._pay(account, self._cost)
        return min(wait, MOST_SECONDS)

    def charge(self, account: str, seconds: float) -> None:
        """An account had long work done."""
        self._long += seconds
        if self.allowance < _WHOLE:
            self._pay(account, seconds)

    def _pay(self, account: str, seconds: float) -> None:
        now = self._clock()
        until = max(self._until.pop(account, now), now) + seconds / self.allowance
        until = min(until, now + BURST_SECONDS + MOST_SECONDS)
        self._until[account] = until if self._until else now  # nobody else asks: it owes nothing

    def tick(self, late: float) -> None:
        """Adapt the allowance.

        Args:
            late: Seconds by which the loop is late.
        """
        used = self._processor()
        spent, self._used = used - self._used, used
        self._load += (spent / TICK_SECONDS - self._load) * _NEW_PART
        if self._begun:
            cost = max(0.0, spent - self._long) / self._begun
            self._cost += (cost - self._cost) * _NEW_PART
        self._begun, self._long = 0, 0.0
        self._late += (late - self._late) * _NEW_PART
        self._forget(self._clock() - 1.0)
        behind = self._late > LATE_SECONDS
        if behind or self._load > MOST_LOAD:
            self.allowance = max(min(self.allowance * _LESS, _TRACKED), self._least(behind=behind))
        elif self.allowance < _WHOLE:
            self.allowance = min(_WHOLE, self.allowance * _MORE)
            if self.allowance >= _WHOLE:
                self._until.clear()

    def _least(self, *, behind: bool) -> float:
        accounts = len(self._until)
        if accounts < 2:
            return _TRACKED
        part = max(self._load, _LEAST_LOAD) if behind else _WHOLE
        return min(_TRACKED, _ROOM * part / accounts)

    def _forget(self, before: float) -> None:
        until = self._until
        while until:
            account = next(iter(until))
            if until[account] > before:
                return
            del until[account]
