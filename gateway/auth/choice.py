"""A user's choices: where prompts may be sent, and for how long they may be kept. The strictest of all sources wins.

Rule: choices are stored separately from the account's entitlements, so that neither overwrites the other and no user
can lift a restriction. Both are in the hash ``a:<pid>``, which is read once for both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from gateway.auth import retention
from gateway.auth.announcements import Announcement, Topic, publish
from gateway.auth.entitlements import NotOfItsForm, account_key
from gateway.auth.principal import Client, Mode, str_of
from gateway.config.providers import MOST_RETENTION_DAYS, Region
from metering.accounts import living
from metering.store.store import Store

REGIONS: Final = tuple(region.value for region in Region if region not in {Region.GLOBAL, Region.LOCAL})
"""What a user may choose. Not ``global``, in which prompts cannot stay, and not ``local``, which the mode selects."""

_MODE, _REGION, _RETENTION = _FIELDS = "own_mode", "own_region", "own_max_retention_days"


@dataclass(frozen=True, slots=True)
class Choice:
    """Each as in `Entitlements`; empty means no choice."""

    mode: str = ""
    region: str = ""
    max_retention_days: int | None = None


NONE = Choice()


def decode(fields: Mapping[bytes | str, bytes | str]) -> Choice:
    """Of a stored hash. A mode that is none is local."""
    texts = {str_of(name): str_of(value) for name, value in fields.items() if str_of(name) in _FIELDS}
    mode = texts.get(_MODE, "")
    return Choice(
        mode if mode in ("", *Mode) else Mode.LOCAL.value,
        texts.get(_REGION, ""),
        retention.stored(texts.get(_RETENTION, "")),
    )


async def read(client: Client, pid: str) -> Choice:
    """Raises redis-py's errors."""
    return decode(await client.hgetall(account_key(pid)))


async def write(store: Store, pid: str, choice: Choice) -> None:
    """Write it and tell the workers; on return it survives the loss of the primary, which a choice of local must.

    Raises:
        NotOfItsForm: A member is none that can be chosen.
        AccountGone: The account was erased; nothing is kept.
        Unconfirmed, redis.RedisError: Done perhaps, but it might not survive a failover: repeat it.
    """
    limit = choice.max_retention_days
    for name, fits in (
        ("mode", choice.mode in ("", *Mode)),
        ("region", choice.region in ("", *REGIONS)),
        ("max_retention_days", limit is None or 0 <= limit <= MOST_RETENTION_DAYS),
    ):
        if not fits:
            raise NotOfItsForm(name)
    key = account_key(pid)
    days = "" if limit is None else str(limit)
    await store.client.hset(key, mapping={_MODE: choice.mode, _REGION: choice.region, _RETENTION: days})
    await living.unless_gone(store.client, pid, partial(store.client.delete, key))
    await publish(store.client, Announcement(Topic.POLICY_CHANGED, pid=pid))
    await store.confirm(key)
