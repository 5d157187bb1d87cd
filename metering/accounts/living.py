"""Whether an account lives: asked by every act on an account that was not found by its user a moment ago.

An erasure leaves a mark in the ledger, ``erased`` in ``m:{p}:acct:<pid>``, for 35 days: longer than anything else that
leads to the account (a cookie, an approved device, a session that a failover brought back).

Rules:

1. What comes from outside with an account's id in it passes one of three doors, and each asks here: a token
   (`gateway.auth.authenticator`, `gateway.auth.principal.lookup`), a cookie (`gateway.portal.portal`), and a user's id
   (`metering.accounts.identity_map`). Nothing behind them has to ask.
2. What an act leaves behind of an account, outside of the ledger's own functions, is written first; then `unless_gone`
   asks, and takes it back. An erasure marks first and deletes then: whichever came first, nothing remains.
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
    """Call after something of the account was written: if the account is gone, ``undo`` deletes it again.

    Raises:
        AccountGone: It was erased.
        redis.RedisError: Not known; the act may be repeated.
    """
    if not await lives(client, pid):
        await undo()
        raise AccountGone
