"""Keeps the credit of running requests held: one timer a worker, none a request.

Rules:

1. A request is touched `TOUCH_SECONDS` after its reserve, and so often again until it ends. One that is over before
   costs an entry in a table.
2. Everything that is due in a turn leaves in one pipeline. A touch without an answer is repeated with the next: a lease
   outlives three of them.
3. A touch carries what the reaper would charge if this worker died now (estimates: nothing is decoded for it), and a
   larger hold where the answer outgrows the one that stands. Where the account cannot pay for that, the request ends.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from gateway.errors import CreditsExhausted, TokenRevoked
from gateway.inference.running import Stoppable
from metering.background import end
from metering.ledger.ledger import Ledger, LedgerUnavailable, Touch, Touched
from metering.usage import Outcome

LEASE_MS = 60_000
TOUCH_SECONDS = 15.0
TURN_SECONDS = 1.0


class LeaseHolder(Protocol):
    """A request whose credit is held."""

    def touch(self) -> Touch:
        """How far it has come, and what must be held for it from now on."""
        ...

    def raised(self) -> None:
        """The ledger holds what the last touch asked for."""
        ...


class Leases:
    """The held requests of one worker, in the order in which they are due."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        ledger: Ledger,
        *,
        every: float = TOUCH_SECONDS,
        turn: float = TURN_SECONDS,
    ) -> None:
        self._loop = loop
        self._ledger = ledger
        self._every = every
        self._turn = turn
        self._due: dict[LeaseHolder, tuple[float, Stoppable]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._due)

    def begin(self, held: LeaseHolder, request: Stoppable) -> None:
        """A hold stands. The caller must call `end` for it."""
        self._due[held] = (self._loop.time() + self._every, request)

    def end(self, held: LeaseHolder) -> None:
        """Its settlement or void is handed over."""
        self._due.pop(held, None)

    def start(self) -> None:
        """Take turns for ever. Call from the running loop."""
        if self._timer is None:
            self._timer = self._loop.call_later(self._turn, self._take_turn)

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await end(self._task)
        self._task = None

    def _take_turn(self) -> None:
        self._timer = self._loop.call_later(self._turn, self._take_turn)
        if self._task is not None and not self._task.done():
            return
        now = self._loop.time()
        due: list[LeaseHolder] = []
        for held, (at, _) in self._due.items():
            if at > now:
                break
            due.append(held)
        for held in due:
            _, request = self._due.pop(held)
            self._due[held] = (now + self._every, request)
        if due:
            self._task = self._loop.create_task(self.touch(due), name="leases")

    async def touch(self, due: list[LeaseHolder]) -> None:
        """Touch these now, and end those that can't go on."""
        touches = [held.touch() for held in due]
        for held, touch, found in zip(due, touches, await self._ledger.touch_each(touches), strict=True):
            if held not in self._due:
                continue  # it ended meanwhile
            match found:
                case Touched.HELD:
                    held.raised()
                case Touched.CREDITS:
                    await self._exhausted(held, touch)
                case Touched.GONE:
                    self._stop(held, TokenRevoked(), Outcome.REVOKED)  # the account was erased
                case None:
                    pass

    async def _exhausted(self, held: LeaseHolder, touch: Touch) -> None:
        amount, available = touch.amount, 0
        try:
            account = await self._ledger.account(touch.pid)
        except LedgerUnavailable:
            account = None
        if account is not None:
            available = account.available
        error = CreditsExhausted(
            needed=amount, held=account.held if account is not None else amount, available=available
        )
        self._stop(held, error, Outcome.CREDITS_EXHAUSTED)

    def _stop(self, held: LeaseHolder, error: CreditsExhausted | TokenRevoked, outcome: Outcome) -> None:
        entry = self._due.get(held)
        if entry is not None:
            entry[1].stop(error, outcome)
