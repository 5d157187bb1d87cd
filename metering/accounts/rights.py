"""What the owner of an account may ask for: erasure and correction. For a copy of the data see `holdings`.

Rules:

1. Every act is noted in the audit stream before it is done, and confirmed (`Store.confirm`) before it
   is answered.
2. Erasure deletes the link in the identity map first: from then on nothing leads from the person to the account.
   The erasure is journalled, so that it is repeated if a failover loses it.
3. Records that billing has not booked yet are handed to billing first and deleted after that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from redis.exceptions import RedisError

from metering import keys
from metering.accounts import audit
from metering.accounts.audit import Action
from metering.accounts.retention import Forgetter, Retention
from metering.ledger.ledger import Ledger
from metering.ledger.types import LedgerUnavailable, State
from metering.spool.journal import Journal
from metering.store.store import Store, Unconfirmed
from metering.usage import UsageRecord

ERASING = "erasing"  # erasures in progress: pid -> names in the identity map
CORRECTION = 2  # the lowest rank of an operator's correction


@dataclass(frozen=True, slots=True)
class Erasure:
    """``waiting``: records that are deleted once billing has booked them."""

    pid: str
    deleted: int
    waiting: int


class RecordMoved(Exception):
    """The record that was to be corrected has been replaced meanwhile. ``rev``: the rank of the current one."""

    def __init__(self, rev: int) -> None:
        super().__init__("the record has another rank")
        self.rev = rev


class Rights:
    """Acts on behalf of the owners of accounts; ``actor`` is who asked for it (an id).

    ``forgetters`` delete what other parts hold about an account (sessions, entitlements).
    """

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        retention: Retention,
        *,
        journal: Journal | None = None,
        forgetters: Sequence[Forgetter] = (),
    ) -> None:
        self._store = store
        self._client: Any = store.client
        self._ledger = ledger
        self._retention = retention
        self._journal = journal
        self._forgetters = forgetters

    async def erase(self, pid: str, names: Sequence[str], *, actor: str) -> Erasure:
        """Erase an account; ``names`` are the entries of the identity map that lead to it.

        Raises:
            LedgerUnavailable: Not finished, or not confirmed. `resume`, which runs hourly, or the journal finishes it.
        """
        await audit.note(self._store, actor, Action.ERASED, pid)
        await self._client.hset(ERASING, pid, " ".join(names))
        if self._journal is not None:
            self._journal.erased(pid, names)
        return await self.erase_account(pid, names)

    async def erase_account(self, pid: str, names: Sequence[str] = ()) -> Erasure:
        """Erase an account and these entries of the identity map. Idempotent. Raises as `erase`."""
        p = keys.partition(pid)
        t = keys.tag(p)
        try:
            for name in names:
                await self._client.delete(name)
            await self._ledger.calls.run(p, (
                "FCALL", "cgx2_erase", 10,
                f"{t}acct:{pid}", f"{t}holds:{pid}", f"{t}lease:{pid}", f"{t}due", f"{t}ids:{pid}",
                f"{t}erase:{pid}", f"{t}erasures", f"{t}grants:{pid}",
                f"{t}rate:{pid}:requests", f"{t}rate:{pid}:tokens", pid,
            ))  # fmt: skip
            for forget in self._forgetters:
                await forget(pid)
            swept = await self._retention.forget(pid)
            waiting = await self._client.llen(f"{t}erase:{pid}")
            for key in (t, *names):
                await self._store.confirm(key)
            await self._client.hdel(ERASING, pid)
        except (RedisError, OSError, Unconfirmed):
            raise LedgerUnavailable(maybe_ran=True) from None
        await self._rewrite()
        return Erasure(pid, swept.erased, waiting)

    async def resume(self) -> int:
        """Finish the erasures that are in progress; return how many. Raises as `erase`."""
        begun = await self._client.hgetall(ERASING)
        for pid, names in begun.items():
            await self.erase_account(pid.decode(), names.decode().split())
        return len(begun)

    async def rectify(
        self, pid: str, rid: str, *, actor: str, rev: int | None = None, **corrected: int | str
    ) -> UsageRecord | None:
        """Replace a record with one in which these fields are corrected, one rank higher.

        Args:
            pid: The account.
            rid: The request.
            actor: Who asks for it.
            rev: The rank that is to be corrected, if the caller has seen one; else the current one.
            corrected: The new values.

        Returns:
            The new record; ``None`` if there is no record to correct.

        Raises:
            TypeError: A record has no such field.
            RecordMoved: The record has another rank, or another correction came first. Nothing was written.
            LedgerConflict: The ledger refuses a value.
            Unconfirmed: Written, but a failover might lose it: read the record, and repeat if it is still the old one.
        """
        record = await self._ledger.record(pid, rid)
        if isinstance(record, State):
            return None
        if rev is not None and record.rev != rev:
            raise RecordMoved(record.rev)
        await audit.note(self._store, actor, Action.CORRECTED, pid)
        better = msgspec.structs.replace(record, **corrected, rid=rid, pid=pid, rev=max(record.rev + 1, CORRECTION))
        if not await self._ledger.replace(better):
            holds = await self._ledger.record(pid, rid)
            if holds != better:  # equal: the caller repeats a request whose answer was lost
                raise RecordMoved(better.rev if isinstance(holds, State) else holds.rev)
        await self._store.confirm(keys.tag(keys.partition(pid)))
        return better

    async def _rewrite(self) -> None:
        """Remove what was deleted from the append-only file too; a managed store may not allow it."""
        try:
            await self._store.on_primaries("BGREWRITEAOF")
        except RedisError:
            return
