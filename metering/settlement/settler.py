"""Sends settlements and voids to the ledger, after the answer and without delaying it.

Rules:

1. `submit` and `void` are synchronous, never raise and never block: they are called from ``finally``
   blocks, where a cancellation may already be under way.
2. Each stays in memory until the ledger has answered for it, and is repeated until then.
   Order does not matter, since the ledger's calls are idempotent by rid.
3. A settlement that the ledger will never accept goes to the dead letters and is reported, so that it does
   not block the others.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from typing import Protocol

from metering.background import Background
from metering.ledger.ledger import Ledger, Verdict
from metering.usage import UsageRecord

GATHER_SECONDS = 0.005
BATCH = 128
BACKOFF = (0.02, 1.0)

Void = tuple[str, str]


class SettlementJournal(Protocol):
    """Keeps settlements on disk (`metering.spool.spool`)."""

    def settled(self, record: UsageRecord) -> None: ...

    def voided(self, pid: str, rid: str) -> None: ...

    def acknowledged(self, rid: str) -> None: ...


class Settler(Background):
    """One process's queue of settlements and voids. What is pending at `close` stays in the journal, if there is one.

    Attributes:
        refused: How many settlements the ledger will never accept (an alarm: each needs an operator).
        dead: How many settlements came too late and are in the dead letters.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        journal: SettlementJournal | None = None,
        on_refused: Callable[[UsageRecord], None] | None = None,
    ) -> None:
        self._ledger = ledger
        self._journal = journal
        self._on_refused = on_refused
        self._records: deque[UsageRecord] = deque()
        self._voids: deque[Void] = deque()
        self._in_flight = 0
        self._wake = asyncio.Event()
        self._progress = asyncio.Event()
        self._listeners: list[Callable[[UsageRecord], None]] = []
        self.refused = 0
        self.dead = 0

    def on_settled(self, listener: Callable[[UsageRecord], None]) -> None:
        """Call ``listener`` with each record that the ledger accepted; it must not raise or block."""
        self._listeners.append(listener)

    @property
    def pending(self) -> int:
        """The number of settlements and voids that the ledger has not answered for."""
        return len(self._records) + len(self._voids) + self._in_flight

    def submit(self, record: UsageRecord) -> None:
        """Settle a request. For each reserved request the caller must call either this or `void`, once."""
        if self._journal is not None:
            self._journal.settled(record)
        self.repeat(record)

    def void(self, pid: str, rid: str) -> None:
        """Release a hold: no provider bills the request."""
        if self._journal is not None:
            self._journal.voided(pid, rid)
        self.repeat_void(pid, rid)

    def repeat(self, record: UsageRecord) -> None:
        """Settle a record that the journal already holds."""
        self._records.append(record)
        self._wake.set()

    def repeat_void(self, pid: str, rid: str) -> None:
        """Void a request whose void the journal already holds."""
        self._voids.append((pid, rid))
        self._wake.set()

    async def drain(self, timeout: float, owed: Callable[[], int] = lambda: 0) -> bool:
        """Wait until everything is settled, for at most ``timeout`` seconds; whether it is.

        ``owed`` counts what a journal holds beyond that: it is handed over here, and gets less with an answer only.
        """
        try:
            async with asyncio.timeout(timeout):
                while self.pending or owed():
                    await self._progress.wait()
        except TimeoutError:
            return False
        return True

    async def _run(self) -> None:
        shortest, longest = BACKOFF
        delay = shortest
        while True:
            await self._wake.wait()
            await asyncio.sleep(GATHER_SECONDS)
            if await self._carry():
                delay = shortest
            else:
                await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 - spreads retries
                delay = min(delay * 2, longest)

    async def _carry(self) -> bool:
        """Send one batch; false if the ledger did not answer for all of it."""
        records = [self._records.popleft() for _ in range(min(BATCH, len(self._records)))]
        voids = [self._voids.popleft() for _ in range(min(BATCH, len(self._voids)))]
        self._in_flight = len(records) + len(voids)
        unanswered_records, unanswered_voids = set(range(len(records))), set(range(len(voids)))
        try:
            settled, voided = await self._send(records, voids)
            for index, verdict in enumerate(settled):
                if verdict is Verdict.AGAIN:
                    continue
                if verdict is Verdict.REFUSED and not await self._ledger.bury(records[index]):
                    continue
                unanswered_records.discard(index)
                self._answered(records[index], verdict)
            for index, verdict in enumerate(voided):
                if verdict is not Verdict.AGAIN:
                    unanswered_voids.discard(index)
                    if self._journal is not None:
                        self._journal.acknowledged(voids[index][1])
        finally:  # also when cancelled: nothing leaves the queue without an answer
            self._records.extend(records[index] for index in sorted(unanswered_records))
            self._voids.extend(voids[index] for index in sorted(unanswered_voids))
            self._in_flight = 0
            if not self.pending:
                self._wake.clear()
            self._progress.set()  # wakes who waits now
            self._progress.clear()
        return not unanswered_records and not unanswered_voids

    async def _send(self, records: list[UsageRecord], voids: list[Void]) -> tuple[list[Verdict], list[Verdict]]:
        """The fate of each, in one pipeline. Most batches have no void, and two tasks cost more than the batch."""
        if not voids:
            return await self._ledger.settle_each(records), []
        if not records:
            return [], await self._ledger.void_each(voids)
        return await asyncio.gather(self._ledger.settle_each(records), self._ledger.void_each(voids))

    def _answered(self, record: UsageRecord, verdict: Verdict) -> None:
        if verdict is Verdict.REFUSED:
            self.refused += 1
            if self._on_refused is not None:
                self._on_refused(record)
        if verdict is Verdict.DEAD:
            self.dead += 1
        if verdict is Verdict.SETTLED:
            for listener in self._listeners:
                listener(record)
        if self._journal is not None:
            self._journal.acknowledged(record.rid)
