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

Sources: Stripe API reference, "Create a billing meter event"; negative differences correct earlier events.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from metering import keys
from metering.clock import DAY_SECONDS
from metering.reading.consumer import BillingReader, Delivery
from metering.store.store import Store
from metering.stripe import customers as stripe_customers
from metering.usage import UsageRecord

GROUP = "stripe"
PATIENCE = 2**31  # deliveries before a record is put aside: an account's customer may be stated late
KEEP_SECONDS = 40 * DAY_SECONDS
OLDEST_SECONDS = 35 * DAY_SECONDS - 3_600  # an hour of margin to Stripe's 35 days
IDENTIFIER_SECONDS = 23 * 3_600


class StripeRefused(Exception):
    """Stripe refuses this event for good; ``duplicate``: because it has it already."""

    def __init__(self, *, duplicate: bool) -> None:
        super().__init__("Stripe refuses the event")
        self.duplicate = duplicate


class StripeUnreachable(Exception):
    """No answer, or one that says to try again."""


class EventSender(Protocol):
    """Sends one event. Raises `StripeRefused`, `StripeUnreachable`."""

    def __call__(self, *, identifier: str, customer: str, value: int, timestamp: int) -> Awaitable[None]: ...


@dataclass(slots=True)
class Exported:
    """What a run did: events sent, records with nothing new, and what needs an operator's eyes."""

    sent: int = 0
    same: int = 0
    no_customer: int = 0
    too_old: int = 0
    refused: int = 0
    uncertain: int = 0


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


class StripeExport:
    """Reads usage records as the group ``stripe`` and sends them. ``clock`` is Unix seconds."""

    def __init__(
        self, store: Store, reader: BillingReader, send: EventSender, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._client: Any = store.client
        self._reader = reader
        self._send = send
        self._clock = clock

    async def run(self) -> Exported:
        """Send everything that is there now.

        Raises:
            StripeUnreachable: Stripe does not answer; what was sent is remembered, and the next run goes on.
            redis.RedisError: The store does not answer; likewise.
        """
        done = Exported()
        while deliveries := await self._reader.read():
            for delivery in deliveries:
                await self._one(delivery, done)
        return done

    async def _one(self, delivery: Delivery, done: Exported) -> None:
        record = delivery.record
        customer = await stripe_customers.customer_of(self._store, record.pid)
        if customer is None:
            done.no_customer += 1
            return
        name = f"{keys.tag(keys.partition(record.pid))}sent:{record.rid}"
        memory = _Memory.parse(await self._client.get(name))
        await self._finish(name, memory, record, customer, done)
        difference = record.charge - memory.sent
        if record.rev <= memory.rev or not difference:
            done.same += 1
        elif self._clock() - record.started_ms / 1_000 > OLDEST_SECONDS:
            done.too_old += 1
        else:
            memory.rev, memory.amount, memory.at = record.rev, difference, int(self._clock())
            await self._note(name, memory)
            await self._finish(name, memory, record, customer, done)
        await self._reader.ack([delivery])

    async def _finish(self, name: str, memory: _Memory, record: UsageRecord, customer: str, done: Exported) -> None:
        """Bring the try that is under way to its end, if there is one."""
        if not memory.at:
            return
        now = int(self._clock())
        if now - memory.at > IDENTIFIER_SECONDS:
            done.uncertain += 1
            memory.sent += memory.amount
        else:
            try:
                await self._send(
                    identifier=f"{record.rid}:{memory.rev}",
                    customer=customer,
                    value=memory.amount,
                    timestamp=min(now, record.started_ms // 1_000),
                )
            except StripeRefused as refusal:
                done.refused += not refusal.duplicate
                memory.sent += memory.amount if refusal.duplicate else 0
            else:
                done.sent += 1
                memory.sent += memory.amount
        memory.amount = memory.at = 0
        await self._note(name, memory)

    async def _note(self, name: str, memory: _Memory) -> None:
        await self._client.set(name, str(memory), ex=KEEP_SECONDS)
        await self._store.confirm(name)


def stripe_meter(api_key: str, *, event_name: str, base_url: str) -> EventSender:
    """Sends through Stripe's own SDK (the extra ``stripe``). Raises ImportError where it is missing."""
    import asyncio  # noqa: PLC0415
    from importlib import import_module  # noqa: PLC0415 - the SDK is an extra

    stripe: Any = import_module("stripe")
    client = stripe.StripeClient(
        api_key, base_addresses={"api": base_url}, max_network_retries=0, http_client=stripe.RequestsClient(timeout=30)
    )
    client_events = client.v1.billing.meter_events

    async def send(*, identifier: str, customer: str, value: int, timestamp: int) -> None:
        event = {
            "event_name": event_name,
            "identifier": identifier,
            "timestamp": timestamp,
            "payload": {"stripe_customer_id": customer, "value": str(value)},
        }
        try:
            await asyncio.to_thread(client_events.create, params=event)
        except stripe.InvalidRequestError as error:
            # "An event already exists with identifier ..."; the SDK gives no code of its own for it.
            duplicate = "already exists" in str(error)
            raise StripeRefused(duplicate=duplicate) from None
        except (stripe.StripeError, OSError):
            raise StripeUnreachable from None

    return send
