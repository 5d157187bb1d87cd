"""Renews the leases and holds of running requests, with one timer per worker and none per request.

Rules:

1. A request is touched every `TOUCH_SECONDS` until it ends. A request that ends before the first touch costs only an
   entry in a table.
2. All touches that are due in a turn are sent in one pipeline. A touch without a reply is repeated with the next one: a
   lease lasts for three of them.
3. A touch carries what the reaper would charge if this worker died now (estimates: nothing is decoded for it), and a
   larger hold if the answer exceeds the current one. If the account cannot pay for that, the request ends.
4. An answer that exceeds what it may cost is touched as soon as that is noticed.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from gateway.errors import CreditsExhausted, TokenRevoked
from gateway.inference.running import Cancellation
from metering.background import end
from metering.ledger.ledger import Ledger, LedgerUnavailable, Standing, Touch, Touched
from metering.usage import Outcome

LEASE_MS = 60_000
TOUCH_SECONDS = 15.0
TURN_SECONDS = 1.0


class LeaseHolder(Protocol):
    """A request whose credit is held."""

    def touch(self) -> Touch:
        """How far it has come, and what must be held for it from now on."""
        ...

    def granted(self, standing: Standing) -> None:
        """What the ledger says to the last touch; not called if the request is gone."""
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
        self._due: dict[LeaseHolder, tuple[float, Cancellation]] = {}
        self._hurried: list[LeaseHolder] = []
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._due)

    def begin(self, held: LeaseHolder, request: Cancellation) -> None:
        """The request has a hold. The caller must call `end` for it."""
        self._due[held] = (self._loop.time() + self._every, request)

    def end(self, held: LeaseHolder) -> None:
        """Its settlement or void is handed over."""
        self._due.pop(held, None)

    def hurry(self, held: LeaseHolder) -> None:
        """Touch this one now, or right after those that are being touched."""
        self._hurried.append(held)
        if len(self._hurried) == 1:
            self._loop.call_soon(self._touch_due)

    def start(self) -> None:
        """Run until cancelled. Call from the running loop."""
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
        self._touch_due()

    def _touch_due(self) -> None:
        if self._task is not None and not self._task.done():
            return
        now = self._loop.time()
        due = dict.fromkeys(held for held in self._hurried if held in self._due)  # each once, in order
        self._hurried.clear()
        for held, (at, _) in self._due.items():
            if at > now:
                break
            due[held] = None
        for held in due:
            _, request = self._due.pop(held)
            self._due[held] = (now + self._every, request)
        if due:
            self._task = self._loop.create_task(self._touch_all(list(due)), name="leases")

    async def _touch_all(self, due: list[LeaseHolder]) -> None:
        await self.touch(due)
        if self._hurried:
            self._loop.call_soon(self._touch_due)

    async def touch(self, due: list[LeaseHolder]) -> None:
        """Touch these now, and end those that cannot continue. One that ended since it was found due is left out."""
        due = [held for held in due if held in self._due]
        touches = [held.touch() for held in due]
        for held, touch, found in zip(due, touches, await self._ledger.touch_each(touches), strict=True):
            if held not in self._due:
                continue  # it ended meanwhile
            if found is None:
                continue
            if found.touched is Touched.GONE:
                self._stop(held, TokenRevoked(), Outcome.REVOKED)  # the account was erased
                continue
            held.granted(found)
            if found.touched is Touched.CREDITS:
                await self._exhausted(held, touch)

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
