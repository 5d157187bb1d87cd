"""Sends one event to a meter at Stripe.

Sources: Stripe API reference, "Create a billing meter event" and "Errors".
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from importlib import import_module
from typing import Any, Protocol


class StripeRefused(Exception):
    """Stripe refuses this event as it is.

    Attributes:
        duplicate: Stripe has the event already.
        said: Stripe's own message, for the operator.
    """

    def __init__(self, *, duplicate: bool, said: str = "") -> None:
        super().__init__("Stripe refuses the event")
        self.duplicate = duplicate
        self.said = said


class StripeUnreachable(Exception):
    """Stripe did not answer, or asks to try again later."""


class EventSender(Protocol):
    """Sends one event. Raises `StripeRefused`, `StripeUnreachable`."""

    def __call__(self, *, identifier: str, customer: str, value: int, timestamp: int) -> Awaitable[None]: ...


def stripe_meter(api_key: str, *, event_name: str, base_url: str) -> EventSender:
    """Sends through Stripe's own SDK (the extra ``stripe``). Raises ImportError if it is missing."""
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
            said = str(error.user_message or error)
            raise StripeRefused(duplicate="already exists" in said, said=said) from None
        except (stripe.StripeError, OSError):
            raise StripeUnreachable from None

    return send
