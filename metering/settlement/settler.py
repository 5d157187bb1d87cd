"""Carries settlements and voids to the ledger, off the path of the answer.

Rules:

1. `submit` and `void` are synchronous, never raise and never block: they are called from ``finally``
   blocks, where a cancellation may already be under way.
2. What was handed in stays in memory until the ledger has answered for it; without an answer it is
   repeated for ever. Order does not matter, since the ledger's calls are idempotent by rid.
3. A settlement that the ledger refuses for good goes to the dead letters and is reported: it would
   never be accepted, and must not hold up the others.
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
    """What remembers settlements on disk (`metering.spool.spool`)."""

    def settled(self, record: UsageRecord) -> None: ...

    def voided(self, pid: str, rid: str) -> None: ...

    def acknowledged(self, rid: str) -> None: ...


class Settler(Background):
    """One process's queue of what requests cost. What is pending at `close` stays so (and in the journal, if any).

    Attributes:
        refused: How many settlements the ledger refused for good (an alarm: each needs an operator).
        dead: How many came too late and are in the dead letters.
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
        self._idle = asyncio.Event()
        self._idle.set()
        self._listeners: list[Callable[[UsageRecord], None]] = []
        self.refused = 0
        self.dead = 0

    def on_settled(self, listener: Callable[[UsageRecord], None]) -> None:
        """Call ``listener`` with each record that the ledger accepted; it must not raise or block."""
        self._listeners.append(listener)

    @property
    def pending(self) -> int:
        """Settlements and voids that the ledger has not answered for yet."""
        return len(self._records) + len(self._voids) + self._in_flight

    def submit(self, record: UsageRecord) -> None:
        """Settle a request. The caller must call this once for each reserved request, or `void`."""
        if self._journal is not None:
            self._journal.settled(record)
        self.repeat(record)

    def void(self, pid: str, rid: str) -> None:
        """Give a hold back: the request was never billed by a provider."""
        if self._journal is not None:
            self._journal.voided(pid, rid)
        self.repeat_void(pid, rid)

    def repeat(self, record: UsageRecord) -> None:
        """Settle what the journal already holds."""
        self._records.append(record)
        self._idle.clear()
        self._wake.set()

    def repeat_void(self, pid: str, rid: str) -> None:
        """Void what the journal already holds."""
        self._voids.append((pid, rid))
        self._idle.clear()
        self._wake.set()

    async def drain(self, timeout: float) -> bool:
        """Wait until everything is settled, for at most ``timeout`` seconds; whether it is."""
        try:
            await asyncio.wait_for(self._idle.wait(), timeout)
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
        """One batch; false when the ledger did not answer for some of it."""
        records = [self._records.popleft() for _ in range(min(BATCH, len(self._records)))]
        voids = [self._voids.popleft() for _ in range(min(BATCH, len(self._voids)))]
        self._in_flight = len(records) + len(voids)
        unanswered_records, unanswered_voids = set(range(len(records))), set(range(len(voids)))
        try:
            settled, voided = await asyncio.gather(self._ledger.settle_each(records), self._ledger.void_each(voids))
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
                self._idle.set()
        return not unanswered_records and not unanswered_voids

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
