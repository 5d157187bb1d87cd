"""Sends charges to a Stripe meter: each micro-credit once, also across crashes and corrections.

Rules:

1. A record's event has ``identifier = rid:rev`` and the difference to what was sent of that rid before.
   ``m:{p}:sent:<rid>`` remembers it for 40 days, as ``sent:rev:amount:at``: what is sent for certain, and
   the try that is under way (Unix seconds; empty when none is).
2. A try is noted before it is sent. Whoever finds one sends it again under the same identifier, while
   Stripe still knows that one (a day: "rolling period of at least 24 hours"; 23 hours here). Later nobody can
   tell whether it arrived: it counts as sent, and as ``uncertain``, for an operator to look at.
3. Stripe takes times from 35 days ago to 5 minutes ahead. An older record is not sent, and counted
   (``too_old``); a time ahead is brought back to now.
4. What belongs to an account without a customer is not sent and not acknowledged: it comes again, and
   is kept as long as retention waits for a reader.
5. A refusal is the record's own only if Stripe takes another customer's in the same run: then the record is set aside
   (`set_aside`) and acknowledged. Until one is taken, refused records stay as they are, the rest of that customer's
   wait with them, and after `SUSPICIOUS` customers the run stops: the meter or the key is set up wrongly, and no
   record is lost to that.

The reader's group has a name that no service can have, since the group of a service is named like the service.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from metering import keys
from metering.clock import DAY_SECONDS
from metering.reading.consumer import BillingReader, Delivery
from metering.store.store import Store
from metering.stripe import customers as stripe_customers
from metering.stripe import set_aside
from metering.stripe.meter import EventSender, StripeRefused
from metering.stripe.set_aside import Charge

GROUP: Final = "_stripe"
PATIENCE: Final = 2**31  # deliveries before a record is put aside: an account's customer may be stated late
SUSPICIOUS: Final = 3  # customers refused and none taken
MOST_WAITING: Final = 10_000  # records of refused customers that one run holds; the others come again
KEEP_SECONDS: Final = 40 * DAY_SECONDS
OLDEST_SECONDS: Final = 35 * DAY_SECONDS - 3_600  # an hour of margin to Stripe's 35 days
IDENTIFIER_SECONDS: Final = 23 * 3_600


class StripeMisconfigured(Exception):
    """Stripe refuses whatever it is sent; everything stays to be sent.

    Attributes:
        rids: Of the records that were tried.
        said: Stripe's own sentence about the first.
    """

    def __init__(self, rids: tuple[str, ...], said: str) -> None:
        super().__init__("Stripe refuses every event")
        self.rids = rids
        self.said = said


@dataclass(slots=True)
class Exported:
    """What a run did: events sent, records with nothing new, and what needs an operator's eyes.

    ``rids`` names the records of the last three kinds, the first `MOST_WAITING` of each.
    """

    sent: int = 0
    same: int = 0
    no_customer: int = 0
    too_old: int = 0
    refused: int = 0
    uncertain: int = 0
    rids: dict[str, list[str]] = field(default_factory=dict)

    def name(self, kind: str, rid: str) -> None:
        """Count a record that an operator has to look at."""
        setattr(self, kind, getattr(self, kind) + 1)
        named = self.rids.setdefault(kind, [])
        if len(named) < MOST_WAITING:
            named.append(rid)


@dataclass(slots=True)
class _Memory:
    sent: int = 0
    rev: int = -1
    amount: int = 0
    at: int = 0  # 0: nothing is under way

    @classmethod
    def parse(cls, text: bytes | None) -> _Memory:
        return cls() if text is None else cls(*map(int, text.split(b":")))

    def __str__(self) -> str:
        return f"{self.sent}:{self.rev}:{self.amount}:{self.at}"


@dataclass(slots=True)
class _Suspect:
    """A customer whose first record was refused before any other customer's was taken."""

    first: Delivery
    said: str
    waiting: list[Delivery] = field(default_factory=list)


class StripeExport:
    """Reads usage records as the group `GROUP` and sends them. ``clock`` is Unix seconds."""

    def __init__(
        self, store: Store, reader: BillingReader, send: EventSender, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._client: Any = store.client
        self._reader = reader
        self._send = send
        self._clock = clock
        self._proven = False  # Stripe took something in this run
        self._suspects: dict[str, _Suspect] = {}

    async def run(self) -> Exported:
        """Send everything that is there now.

        Raises:
            StripeMisconfigured: Stripe refuses whatever it is sent.
            StripeUnreachable: Stripe does not answer; what was sent is remembered, and the next run goes on.
            redis.RedisError: The store does not answer; the same.
        """
        done = Exported()
        while deliveries := await self._reader.read():
            for delivery in deliveries:
                await self._one(delivery, done)
        if self._suspects:
            raise self._misconfigured()
        return done

    async def again(self, rids: frozenset[str]) -> Exported:
        """Send these charges again that were set aside, or all if none is named. Raises as `run`, but for the first."""
        done = Exported()
        for refused in await set_aside.listed(self._store, int(self._clock())):
            charge = refused.charge
            if rids and charge.rid not in rids:
                continue
            customer = await stripe_customers.customer_of(self._store, charge.pid)
            if customer is None:
                done.no_customer += 1
                continue
            try:
                await self._charge(charge, customer, done)
            except StripeRefused:
                done.name("refused", charge.rid)
            else:
                await set_aside.drop(self._store, charge)
        return done

    def _misconfigured(self) -> StripeMisconfigured:
        suspects = list(self._suspects.values())
        return StripeMisconfigured(tuple(suspect.first.record.rid for suspect in suspects), suspects[0].said)

    async def _one(self, delivery: Delivery, done: Exported) -> None:
        record = delivery.record
        customer = await stripe_customers.customer_of(self._store, record.pid)
        if customer is None:
            done.no_customer += 1
            return
        suspect = self._suspects.get(customer)
        if suspect is not None:
            if len(suspect.waiting) < MOST_WAITING:
                suspect.waiting.append(delivery)
            return
        charge = Charge.of(record)
        try:
            taken = await self._charge(charge, customer, done)
        except StripeRefused as refusal:
            if not self._proven:
                self._suspects[customer] = _Suspect(delivery, refusal.said)
                if len(self._suspects) >= SUSPICIOUS:
                    raise self._misconfigured() from None
                return
            await set_aside.put(self._store, charge, int(self._clock()))
            done.name("refused", charge.rid)
            taken = False
        await self._reader.ack([delivery])
        if taken and not self._proven:
            self._proven = True
            suspects, self._suspects = self._suspects, {}
            for suspect in suspects.values():
                for waiting in (suspect.first, *suspect.waiting):
                    await self._one(waiting, done)

    async def _charge(self, charge: Charge, customer: str, done: Exported) -> bool:
        """Send what of a charge was not sent yet; whether Stripe took something. Raises `StripeRefused`."""
        name = f"{keys.tag(keys.partition(charge.pid))}sent:{charge.rid}"
        memory = _Memory.parse(await self._client.get(name))
        taken = await self._finish(name, memory, charge, customer, done)
        difference = charge.charge - memory.sent
        if charge.rev <= memory.rev or not difference:
            done.same += 1
        elif self._clock() - charge.started_ms / 1_000 > OLDEST_SECONDS:
            done.name("too_old", charge.rid)
        else:
            memory.rev, memory.amount, memory.at = charge.rev, difference, int(self._clock())
            await self._note(name, memory)
            taken = await self._finish(name, memory, charge, customer, done)
        return taken

    async def _finish(self, name: str, memory: _Memory, charge: Charge, customer: str, done: Exported) -> bool:
        """Bring the try that is under way to its end, if there is one; whether Stripe took it now."""
        if not memory.at:
            return False
        now, taken = int(self._clock()), False
        if now - memory.at > IDENTIFIER_SECONDS:
            done.name("uncertain", charge.rid)
            memory.sent += memory.amount
        else:
            try:
                await self._send(
                    identifier=f"{charge.rid}:{memory.rev}",
                    customer=customer,
                    value=memory.amount,
                    timestamp=min(now, charge.started_ms // 1_000),
                )
            except StripeRefused as refusal:
                if not refusal.duplicate:
                    memory.amount = memory.at = 0
                    memory.rev -= 1  # so that this one is tried again
                    await self._note(name, memory)
                    raise
            else:
                done.sent += 1
                taken = True
            memory.sent += memory.amount
        memory.amount = memory.at = 0
        await self._note(name, memory)
        return taken

    async def _note(self, name: str, memory: _Memory) -> None:
        await self._client.set(name, str(memory), ex=KEEP_SECONDS)
        await self._store.confirm(name)
