"""Which Stripe customer an account's charges go to: ``m:{p}:stripe:<pid>``, as the billing service states.

It is forgotten with the account, but not before the account's last charges were sent: until then it
expires by itself after 35 days, as the tombstone does.
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
    """Lead an account's charges there. Raises ValueError for what is no customer id, `AccountGone`."""
    if not _CUSTOMER.fullmatch(customer):
        raise ValueError("a customer of Stripe is cus_ and letters or digits")
    await store.client.set(_key(pid), customer)
    await living.unless_gone(store.client, pid, partial(forget, store, pid))


async def customer_of(store: Store, pid: str) -> str | None:
    value: Any = await store.client.get(_key(pid))
    return None if value is None else value.decode()


async def forget(store: Store, pid: str) -> None:
    """The account was erased: delete it now, or let it go by itself where charges still wait."""
    client: Any = store.client
    if await client.llen(f"{keys.tag(keys.partition(pid))}erase:{pid}"):
        await client.pexpire(_key(pid), TOMBSTONE_MS, nx=True)
    else:
        await client.delete(_key(pid))
