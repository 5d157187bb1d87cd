"""Whether an account still exists or was erased.

An erasure leaves a mark in the ledger, ``erased`` in ``m:{p}:acct:<pid>``, for 35 days: longer than anything else that
leads to the account (a cookie, an approved device, a session that a failover restored).

Rules:

1. An account's id enters from outside in one of three ways, and each checks here: a token
   (`gateway.auth.authenticator`, `gateway.auth.principal.lookup`), a cookie (`gateway.portal.portal`), and a user's id
   (`metering.accounts.identity_map`). Code that is called after them does not have to check.
2. Whoever writes something about an account outside of the ledger's functions writes first, then calls `unless_gone`,
   which deletes it again if the account was erased. An erasure sets the mark first and deletes after that, so nothing
   remains, whichever of the two came first.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster

from metering import keys
from metering.ledger.types import LedgerConflict

MARK = "erased"


class AccountGone(LedgerConflict):
    """The account was erased: nothing is done for it, and repeating does not help."""

    def __init__(self) -> None:
        super().__init__("account")


def marked_key(pid: str) -> str:
    """The hash that has the field `MARK` once the account is erased."""
    return f"{keys.tag(keys.partition(pid))}acct:{pid}"


async def lives(client: Redis | RedisCluster, pid: str) -> bool:
    """Whether the account was not erased. Raises redis-py's errors."""
    any_client: Any = client
    return not await any_client.hexists(marked_key(pid), MARK)


async def unless_gone(client: Redis | RedisCluster, pid: str, undo: Callable[[], Awaitable[object]]) -> None:
    """Call after something about the account was written: if the account was erased, ``undo`` deletes it again.

    Raises:
        AccountGone: It was erased.
        redis.RedisError: It is not known; the caller may repeat the act.
    """
    if not await lives(client, pid):
        await undo()
        raise AccountGone
