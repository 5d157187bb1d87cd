"""What a user chose in the portal: where prompts may go. Joined with all else that is stated; the strictest wins.

Rule: a choice is kept apart from what billing states of the account (`entitlements`), so that neither writes over the
other and no user lifts what was stated for them. Both are in the hash ``a:<pid>``, which is read once for both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from gateway.auth.announcements import Announcement, Topic, publish
from gateway.auth.entitlements import account_key
from gateway.auth.principal import Client, Mode, str_of
from metering.accounts import living
from metering.store.store import Store

_MODE, _REGION = "own_mode", "own_region"


@dataclass(frozen=True, slots=True)
class Choice:
    """``mode`` and ``region`` as in `Entitlements`; empty is no choice."""

    mode: str = ""
    region: str = ""


NONE = Choice()


def decode(fields: Mapping[bytes | str, bytes | str]) -> Choice:
    """Of a stored hash. A mode that is none is local."""
    texts = {str_of(name): str_of(value) for name, value in fields.items() if str_of(name) in (_MODE, _REGION)}
    mode = texts.get(_MODE, "")
    return Choice(mode if mode in ("", *Mode) else Mode.LOCAL.value, texts.get(_REGION, ""))


async def read(client: Client, pid: str) -> Choice:
    """Raises redis-py's errors."""
    return decode(await client.hgetall(account_key(pid)))


async def write(store: Store, pid: str, choice: Choice) -> None:
    """Write it and tell the workers; on return it survives the loss of the primary, which a choice of local must.

    Raises:
        ValueError: The mode is none.
        AccountGone: The account was erased; nothing is kept.
        Unconfirmed, redis.RedisError: Done perhaps, but it might not survive a failover: repeat it.
    """
    if choice.mode not in ("", *Mode):
        raise ValueError("a mode is cloud, local or empty")
    key = account_key(pid)
    await store.client.hset(key, mapping={_MODE: choice.mode, _REGION: choice.region})
    await living.unless_gone(store.client, pid, partial(store.client.delete, key))
    await publish(store.client, Announcement(Topic.POLICY_CHANGED, pid=pid))
    await store.confirm(key)
