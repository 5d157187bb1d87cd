"""Sends charges to a Stripe meter: each micro-credit once, also across crashes and corrections.

Rules:

1. A record's event has ``identifier = rid:rev`` and the difference to what was already sent for that rid.
   ``m:{p}:sent:<rid>`` remembers it for 40 days, as ``sent:rev:amount:at``: the amount that was sent for certain, and
   the attempt in progress (``at`` in Unix seconds; empty if there is none).
2. An attempt is noted before it is sent. A process that finds an unfinished attempt sends it again under the same
   identifier, as long as Stripe detects the duplicate (Stripe: "rolling period of at least 24 hours"; 23 hours here).
   After that nobody can tell whether it arrived: it counts as sent, and as ``uncertain``, for an operator to check.
3. Stripe accepts times from 35 days ago to 5 minutes ahead. An older record is not sent, and is counted
   as ``too_old``; a time in the future is set to now.
4. A record of an account without a customer is neither sent nor acknowledged: it is delivered again, and
   is kept as long as retention waits for a reader.
5. Stripe's refusal is attributed to the record only if Stripe accepts another customer's record in the same run. Then
   the refused record is set aside (`set_aside`) and acknowledged. Until one is accepted, refused records are not
   acknowledged, further records of the same customer wait, and after `SUSPICIOUS` customers the run stops: the meter
   or the key is set up wrongly, and no record is lost because of that.

The reader's group has a name that no service can have, since the group of a service has the name of the service.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from metering import keys
from metering.clock import DAY_SECONDS
from metering.reading.consumer import BillingReader, Delivery
from metering.store.store import Store
from metering.stripe import customers as stripe_customers
from metering.stripe import set_aside
from metering.stripe.meter import EventSender, StripeRefused
from metering.stripe.set_aside import Charge

GROUP: Final = "_stripe"
PATIENCE: Final = 2**31  # deliveries before a record goes to the dead letters: an account's customer may be set late
SUSPICIOUS: Final = 3  # customers refused while none was accepted
MOST_WAITING: Final = 10_000  # records of refused customers that one run holds; the others are delivered again
KEEP_SECONDS: Final = 40 * DAY_SECONDS
OLDEST_SECONDS: Final = 35 * DAY_SECONDS - 3_600  # an hour of margin to Stripe's 35 days
IDENTIFIER_SECONDS: Final = 23 * 3_600
BATCH: Final = 500  # charges that are looked up in one round trip


class StripeMisconfigured(Exception):
    """Stripe refuses every event; all records still have to be sent.

    Attributes:
        rids: The records that were tried.
        said: Stripe's own message about the first.
    """

    def __init__(self, rids: tuple[str, ...], said: str) -> None:
        super().__init__("Stripe refuses every event")
        self.rids = rids
        self.said = said


@dataclass(slots=True)
class Exported:
    """What a run did: events sent, records with nothing new, and records that an operator must check.

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
        """Count a record that an operator must check."""
        setattr(self, kind, getattr(self, kind) + 1)
        named = self.rids.setdefault(kind, [])
        if len(named) < MOST_WAITING:
            named.append(rid)


@dataclass(slots=True)
class _Memory:
    sent: int = 0
    rev: int = -1
    amount: int = 0
    at: int = 0  # 0: no attempt is in progress

    @classmethod
    def parse(cls, text: bytes | None) -> _Memory:
        return cls() if text is None else cls(*map(int, text.split(b":")))

    def __str__(self) -> str:
        return f"{self.sent}:{self.rev}:{self.amount}:{self.at}"


class SentCharge(msgspec.Struct, frozen=True):
    """What was sent of a charge for certain, and the attempt of rank ``rev`` in progress since ``at`` (0: none)."""

    rid: str
    sent: int
    rev: int
    amount: int
    at: int


async def sent_of(store: Store, pid: str, rids: Sequence[str]) -> list[SentCharge]:
    """What is remembered about these requests of an account; requests that are not remembered are left out."""
    t = keys.tag(keys.partition(pid))
    found: list[SentCharge] = []
    for begin in range(0, len(rids), BATCH):
        batch = rids[begin : begin + BATCH]
        client: Any = store.client
        texts = await client.mget([f"{t}sent:{rid}" for rid in batch])
        memories = ((rid, _Memory.parse(text)) for rid, text in zip(batch, texts, strict=True) if text is not None)
        found += [SentCharge(rid, known.sent, known.rev, known.amount, known.at) for rid, known in memories]
    return found


@dataclass(slots=True)
class _Suspect:
    """A customer whose first record was refused before any other customer's was accepted."""

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
        self._proven = False  # Stripe has accepted an event in this run
        self._suspects: dict[str, _Suspect] = {}

    async def run(self) -> Exported:
        """Send everything that is there now.

        Raises:
            StripeMisconfigured: Stripe refuses every event.
            StripeUnreachable: Stripe does not answer; what was sent is remembered, and the next run continues.
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
        """Send these set-aside charges again, or all of them if none is named. Raises as `run`, except
        `StripeMisconfigured`.
        """
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
        """Send the unsent part of a charge; return whether Stripe accepted an event. Raises `StripeRefused`."""
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
        """Finish the attempt in progress, if there is one; return whether Stripe accepted it now."""
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
