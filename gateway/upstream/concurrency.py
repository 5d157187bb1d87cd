"""How many requests a self-hosted model is given at once: as many as it serves without slowing down.

A host of the operator's own has no rate limit. It queues what it cannot serve at once, and becomes slower for everybody
until requests time out. The limit is found by additive increase and multiplicative decrease; the signal is the time to
the first output, compared with what is usual at this host.

One for each model of a provider and worker. `ConcurrencyLimit` is pure and is given durations; `Turnstile` waits.

Rules:

1. Answers are judged in batches of as many as the limit, 10 at least: single times say little, since a long prompt
   takes longer to read than a short one. A batch is slow if its mean time is more than `SLOWER` times that of a host
   without a queue.
2. After a slow batch, or if the host refuses or fails (429, 5xx, a time-out), the limit shrinks by `BACK_OFF`; then not
   again until a batch has been answered that was sent under the new limit. It never falls below `LEAST`, so that the
   host is always asked.
3. Otherwise it grows by one for each batch, and by a half until it has shrunk once; but only if at least half of it was
   used, since an idle host says nothing about more.
4. What a host without a queue takes is measured anew every `LOOK_BATCHES` batches, under half of the limit. Without
   that, what is usual would grow along with a queue that grows slowly.
5. Requests beyond the limit wait, `LONGEST_WAIT` at most. Accounts take turns.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

LEAST: Final = 2
START: Final = 16
MOST: Final = 4_096
BATCH: Final = 10
BACK_OFF: Final = 0.8
SLOWER: Final = 1.5
LOOK_BATCHES: Final = 30
LONGEST_WAIT: Final = 10.0  # seconds
MOST_WAITING: Final = 1_024


class ConcurrencyLimit:
    """The limit of one model.

    Attributes:
        running: Requests that were sent and have not ended.
    """

    __slots__ = (
        "_answers",
        "_base",
        "_climbing",
        "_full_limit",
        "_limit",
        "_look",
        "_peak",
        "_skip",
        "_sum",
        "running",
    )

    def __init__(self) -> None:
        self.running = 0
        self._limit = float(START)
        self._full_limit = 0.0  # what the limit will be again after a look (rule 4); 0 if this is none
        self._climbing = True  # it has never shrunk
        self._look = LOOK_BATCHES  # batches until the next one
        self._base = 0.0  # seconds that a host without a queue takes; 0 before the first batch
        self._skip = 0  # answers to come of requests that were sent under an older limit
        self._answers = self._peak = 0  # of this batch
        self._sum = 0.0

    @property
    def limit(self) -> int:
        return int(self._limit)

    @property
    def full(self) -> bool:
        return self.running >= self.limit

    def begin(self) -> None:
        """A request is sent."""
        self.running += 1
        self._peak = max(self._peak, self.running)

    def end(self) -> None:
        """A request has ended, however it did."""
        self.running -= 1

    def answered(self, seconds: float) -> None:
        """The first output of a request came, ``seconds`` after it was sent."""
        if self._skip:
            self._skip -= 1
            return
        self._answers += 1
        self._sum += seconds
        if self._answers >= max(BATCH, self.limit):
            self._judge(self._sum / self._answers)

    def failed(self) -> None:
        """The host refused a request, or failed."""
        if self._skip:
            self._skip -= 1
        else:
            self._shrink()

    def _judge(self, mean: float) -> None:
        used = self._peak * 2 >= self._limit
        if self._full_limit:
            self._base, self._look = mean, LOOK_BATCHES
            self._change(self._full_limit)
            return
        self._base = min(self._base or mean, mean)
        self._look -= 1
        if mean > SLOWER * self._base and self._look > 0:
            self._shrink()
        elif self._look <= 0 and used:
            self._change(max(self._limit / 2, float(LEAST)), afterwards=self._limit)
        else:
            more = (self._limit / 2 if self._climbing else 1) if used else 0
            self._limit = min(self._limit + more, float(MOST))
            self._begin_batch()

    def _shrink(self) -> None:
        self._climbing = False
        self._change(max((self._full_limit or self._limit) * BACK_OFF, float(LEAST)))

    def _change(self, limit: float, *, afterwards: float = 0.0) -> None:
        self._limit, self._full_limit = limit, afterwards
        self._skip = self.running
        self._begin_batch()

    def _begin_batch(self) -> None:
        self._answers, self._sum, self._peak = 0, 0.0, self.running


class Turnstile:
    """Lets as many requests through to one model as its limit says."""

    __slots__ = ("_count", "_lines", "limit")

    def __init__(self) -> None:
        self.limit = ConcurrencyLimit()
        self._lines: dict[str, deque[asyncio.Future[None]]] = {}  # of each account, in the order of their turns
        self._count = 0

    async def enter(self, account: str) -> bool:
        """Wait for a place, which `leave` gives back; false if none came within `LONGEST_WAIT`."""
        if not self._count and not self.limit.full:
            self.limit.begin()
            return True
        if self._count >= MOST_WAITING:
            return False
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lines.setdefault(account, deque()).append(place)
        self._count += 1
        try:
            async with asyncio.timeout(LONGEST_WAIT):
                await place
        except TimeoutError:
            self._give_up(account, place)
            return False
        except asyncio.CancelledError:
            self._give_up(account, place)
            raise
        return True

    def leave(self) -> None:
        """A request that entered has ended."""
        self.limit.end()
        while self._count and not self.limit.full:
            account, line = next(iter(self._lines.items()))
            place = line.popleft()
            self._count -= 1
            del self._lines[account]
            if line:
                self._lines[account] = line  # after the others
            if not place.done():
                self.limit.begin()
                place.set_result(None)

    def _give_up(self, account: str, place: asyncio.Future[None]) -> None:
        if place.done() and not place.cancelled():
            self.leave()  # the place came in the same turn of the loop
            return
        line = self._lines.get(account)
        if line is not None and place in line:
            line.remove(place)
            self._count -= 1
            if not line:
                del self._lines[account]
