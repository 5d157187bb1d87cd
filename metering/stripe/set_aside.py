"""Charges that Stripe refused while it took others: ``m:{p}:refused``, a hash of rid -> what sending it again needs.

They wait for an operator, who finds out why (a customer that was deleted at Stripe) and sends them again. After
`KEEP_SECONDS` Stripe would not take them any more, and they are dropped. A charge whose correction was sent meanwhile
stays listed until it is sent again, which then has nothing to send.
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
    """What of a usage record is sent to a meter. ``charge`` is in micro-credits, the request's total at ``rev``."""

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
    """Set a charge aside; a higher ``rev`` of it takes its place."""
    client: Any = store.client
    name = _name(keys.partition(charge.pid))
    await client.hset(name, charge.rid, _encode(SetAside(charge, now)))
    await store.confirm(name)


async def drop(store: Store, charge: Charge) -> None:
    """It was sent, in whatever ``rev``."""
    client: Any = store.client
    await client.hdel(_name(keys.partition(charge.pid)), charge.rid)


async def listed(store: Store, now: int) -> list[SetAside]:
    """All of them, the oldest first; those that Stripe would no longer take are dropped."""
    pipeline: Any = store.client.pipeline(transaction=False)
    for p in range(keys.PARTITIONS):
        pipeline.hgetall(_name(p))
    found = [_decode(value) for entries in await pipeline.execute() for value in entries.values()]
    for refused in found:
        if now - refused.at > KEEP_SECONDS:
            await drop(store, refused.charge)
    return sorted((refused for refused in found if now - refused.at <= KEEP_SECONDS), key=lambda refused: refused.at)
