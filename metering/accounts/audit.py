"""The audit stream: who did what to whose account, append-only and content-free.

An entry holds ``at`` (Unix milliseconds, in the stream id), ``actor`` (an `Actor`, or the name of a
service's token), ``action`` (a closed list) and ``pid``. It is kept for 400 days.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from metering import keys
from metering.reading.positions import parse_id
from metering.store.store import Store

STREAM = "audit"
PAGE = 500


class Actor(StrEnum):
    """Who acts, if it is not a service. No service's token may have one of these names."""

    CLI = "cli"  # the operator
    PORTAL = "portal"  # the person, signed in
    APP = "app"  # the holder of a session's token: an app that signs itself out
    GATEWAY = "gateway"  # on its own: a refresh token was used twice, or the store lost a revocation


class Action(StrEnum):
    GRANTED = "granted"
    ISSUED = "issued"  # a token that is shown once: by the operator, or for the person's own tools
    TIER_SET = "tier_set"
    ORGANISATION_SET = "organisation_set"  # belongs to no account: its pid is empty
    REVOKED = "revoked"
    CHOSEN = "chosen"
    CUSTOMER_SET = "customer_set"
    EXPORTED = "exported"
    LOOKED_UP = "looked_up"
    ERASED = "erased"
    RESTRICTED = "restricted"
    UNRESTRICTED = "unrestricted"
    CORRECTED = "corrected"
    SWITCHED_OFF = "switched_off"  # a provider, model or key; belongs to no account
    SWITCHED_ON = "switched_on"
    RELOADED = "reloaded"  # the configuration; belongs to no account


@dataclass(frozen=True, slots=True)
class AuditEntry:
    at_ms: int
    actor: str
    action: str
    pid: str


async def note(store: Store, actor: str, action: Action, pid: str = "") -> None:
    """Append an entry.

    Raises:
        ValueError: The actor is not an id.
        redis.RedisError: The store is away; the caller must not do what it wanted to note.
    """
    if not keys.is_id(actor):
        raise ValueError("an actor is an id of letters, digits, - and _")
    await store.client.xadd(STREAM, {"actor": actor, "action": action.value, "pid": pid})


async def read_audit(store: Store, *, since_ms: int = 0) -> AsyncIterator[AuditEntry]:
    """Every entry since then, oldest first."""
    client: Any = store.client
    start = f"{since_ms}-0"
    while page := await client.xrange(STREAM, start, "+", count=PAGE):
        for name, fields in page:
            text = {key.decode(): value.decode() for key, value in fields.items()}
            yield AuditEntry(parse_id(name)[0], text["actor"], text["action"], text["pid"])
        start = f"({page[-1][0].decode()}"
