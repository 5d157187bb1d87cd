"""The Stripe customer that an account's charges are sent for: ``m:{p}:stripe:<pid>``, set by the billing service.

It is deleted with the account, but not before the account's last charges were sent. Until then it
has an expiry of 35 days, like the account's tombstone.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from metering import keys
from metering.accounts import living
from metering.clock import DAY_MS
from metering.store.store import Store

_CUSTOMER = re.compile(r"cus_[A-Za-z0-9]{1,64}")
TOMBSTONE_MS = 35 * DAY_MS


def _key(pid: str) -> str:
    return f"{keys.tag(keys.partition(pid))}stripe:{pid}"


async def assign(store: Store, pid: str, customer: str) -> None:
    """Send the account's charges for this customer. Raises ValueError if it is not a customer id, and `AccountGone`."""
    if not _CUSTOMER.fullmatch(customer):
        raise ValueError("a customer of Stripe is cus_ and letters or digits")
    await store.client.set(_key(pid), customer)
    await living.unless_gone(store.client, pid, partial(forget, store, pid))


async def customer_of(store: Store, pid: str) -> str | None:
    value: Any = await store.client.get(_key(pid))
    return None if value is None else value.decode()


async def forget(store: Store, pid: str) -> None:
    """The account was erased: delete the customer id now, or let it expire if charges still wait."""
    client: Any = store.client
    if await client.llen(f"{keys.tag(keys.partition(pid))}erase:{pid}"):
        await client.pexpire(_key(pid), TOMBSTONE_MS, nx=True)
    else:
        await client.delete(_key(pid))
