"""Charges that Stripe refused while it accepted others: ``m:{p}:refused``, a hash of rid -> the data to send it again.

They wait for an operator, who finds the reason (such as a customer that was deleted at Stripe) and sends them again.
After `KEEP_SECONDS` Stripe would not accept them any more, and they are dropped. A charge whose correction was sent
meanwhile stays listed until the operator sends it again; then nothing is left to send.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from metering import keys
from metering.clock import DAY_SECONDS
from metering.store.store import Store
from metering.usage import UsageRecord

KEEP_SECONDS: Final = 35 * DAY_SECONDS


class Charge(msgspec.Struct, frozen=True, array_like=True):
    """The part of a usage record that a meter needs. ``charge`` is the request's total at ``rev``, in micro-credits."""

    rid: str
    pid: str
    rev: int
    charge: int
    started_ms: int

    @classmethod
    def of(cls, record: UsageRecord) -> Charge:
        return cls(record.rid, record.pid, record.rev, record.charge, record.started_ms)


class SetAside(msgspec.Struct, frozen=True, array_like=True):
    """A charge that was set aside at ``at`` (Unix seconds)."""

    charge: Charge
    at: int


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(SetAside).decode


def _name(p: int) -> str:
    return f"{keys.tag(p)}refused"


async def put(store: Store, charge: Charge, now: int) -> None:
    """Set a charge aside; a higher ``rev`` replaces it."""
    client: Any = store.client
    name = _name(keys.partition(charge.pid))
    await client.hset(name, charge.rid, _encode(SetAside(charge, now)))
    await store.confirm(name)


async def drop(store: Store, charge: Charge) -> None:
    """Remove a charge that was sent, whatever its ``rev``."""
    client: Any = store.client
    await client.hdel(_name(keys.partition(charge.pid)), charge.rid)


async def of_account(store: Store, pid: str) -> list[SetAside]:
    """The charges of one account that were set aside, in no order."""
    client: Any = store.client
    found = [_decode(value) for value in (await client.hgetall(_name(keys.partition(pid)))).values()]
    return [refused for refused in found if refused.charge.pid == pid]


async def listed(store: Store, now: int) -> list[SetAside]:
    """All charges that were set aside, the oldest first; those that Stripe would no longer accept are dropped."""
    pipeline: Any = store.client.pipeline(transaction=False)
    for p in range(keys.PARTITIONS):
        pipeline.hgetall(_name(p))
    found = [_decode(value) for entries in await pipeline.execute() for value in entries.values()]
    for refused in found:
        if now - refused.at > KEEP_SECONDS:
            await drop(store, refused.charge)
    return sorted((refused for refused in found if now - refused.at <= KEEP_SECONDS), key=lambda refused: refused.at)
