"""What the owner of an account may ask for: a copy, erasure, restriction, correction.

Rules:

1. Every act is noted in the audit stream before it is done, and confirmed (`Store.confirm`) before it
   is answered.
2. Erasure breaks the identity map first: from then on nothing leads from the person to the account.
   It is journalled, so that a failover that loses it gets it again.
3. Records that billing has not booked yet are handed to billing first and deleted after that.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from redis.exceptions import RedisError

from metering import keys
from metering.accounts import audit
from metering.accounts.audit import Action
from metering.accounts.identity_map import Accounts
from metering.accounts.retention import Retention
from metering.ledger import records
from metering.ledger.ledger import Ledger
from metering.ledger.types import Account, LedgerUnavailable, State
from metering.reading.reader import read_usage
from metering.spool.journal import Journal
from metering.store.store import Store, Unconfirmed
from metering.usage import UsageRecord

ERASING = "erasing"  # erasures that were begun: pid -> names in the identity map, until they are done
CORRECTION = 2  # the lowest rank of an operator's correction


Forgetter = Callable[[str], Awaitable[object]]  # deletes what another part holds of a pid; idempotent


@dataclass(frozen=True, slots=True)
class Export:
    """All that is held about an account, but its sessions, which `gateway.auth` holds.

    ``grants``: pairs of Unix milliseconds and micro-credits. ``running``: requests not settled yet.
    """

    account: Account
    records: tuple[UsageRecord, ...]
    grants: tuple[tuple[int, int], ...]
    running: tuple[str, ...]

    def json(self) -> dict[str, Any]:
        """For a JSON document."""
        return {
            "account": msgspec.structs.asdict(self.account),
            "grants": [{"at_ms": at, "amount": amount} for at, amount in self.grants],
            "running": list(self.running),
            "records": [msgspec.to_builtins(record) for record in self.records],
        }

    def csv(self) -> str:
        """The records as a table, with a line of names."""
        out = io.StringIO()
        table = csv.writer(out)
        table.writerow(records.FIELDS)
        table.writerows(msgspec.structs.astuple(record) for record in self.records)
        return out.getvalue()


@dataclass(frozen=True, slots=True)
class Erasure:
    """``waiting``: records that go once billing has booked them."""

    pid: str
    deleted: int
    waiting: int


class RecordMoved(Exception):
    """The record that was to be corrected is another one by now. ``rev``: its rank."""

    def __init__(self, rev: int) -> None:
        super().__init__("the record has another rank")
        self.rev = rev


class Rights:
    """Acts on behalf of the owners of accounts; ``actor`` is who asked for it (an id).

    ``forgetters`` delete what others hold of an account (sessions, entitlements, export queues).
    """

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        accounts: Accounts,
        retention: Retention,
        *,
        journal: Journal | None = None,
        forgetters: Sequence[Forgetter] = (),
    ) -> None:
        self._store = store
        self._client: Any = store.client
        self._ledger = ledger
        self._accounts = accounts
        self._retention = retention
        self._journal = journal
        self._forgetters = forgetters

    async def export(self, pid: str, *, actor: str) -> Export | None:
        """A copy of everything, or ``None`` for an account that is not there."""
        await audit.note(self._store, actor, Action.EXPORTED, pid)
        account = await self._ledger.account(pid)
        if account is None:
            return None
        t = keys.tag(keys.partition(pid))
        granted = await self._client.lrange(f"{t}grants:{pid}", 0, -1)
        running = await self._client.hkeys(f"{t}holds:{pid}")
        return Export(
            account,
            tuple([record async for record in read_usage(self._store, pid=pid)]),
            tuple((int(at), int(amount)) for at, amount, _ in (entry.split(b":") for entry in granted)),
            tuple(rid.decode() for rid in running),
        )

    async def erase(self, user: str, *, actor: str) -> Erasure | None:
        """Erase the account of a user, or ``None`` where there is none.

        Raises:
            LedgerUnavailable: Not done, or not confirmed. It is begun: `resume` finishes it, hourly,
                and so does the journal.
        """
        pid = await self._accounts.pid_of(user)
        if pid is None:
            return None
        return await self.erase_known(pid, self._accounts.names(user), actor=actor)

    async def erase_known(self, pid: str, names: Sequence[str], *, actor: str) -> Erasure:
        """As `erase`, where the account and the entries that lead to it are known already."""
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
        """Finish the erasures that were begun and not finished; how many. Raises as `erase`."""
        begun = await self._client.hgetall(ERASING)
        for pid, names in begun.items():
            await self.erase_account(pid.decode(), names.decode().split())
        return len(begun)

    async def restrict(self, pid: str, *, restricted: bool, actor: str) -> Account | None:
        """Refuse new requests of the account, or no longer; its records stay as they are."""
        action = Action.RESTRICTED if restricted else Action.UNRESTRICTED
        await audit.note(self._store, actor, action, pid)
        return await self._ledger.restrict(pid, restricted=restricted)

    async def rectify(
        self, pid: str, rid: str, *, actor: str, rev: int | None = None, **corrected: int | str
    ) -> UsageRecord | None:
        """Replace a record by one with these fields corrected, one rank higher.

        Args:
            pid: The account.
            rid: The request.
            actor: Who asks for it.
            rev: The rank that is to be corrected, if the corrector has seen one; else whatever the record has now.
            corrected: The new values.

        Returns:
            The new record; ``None`` if there is no record to correct.

        Raises:
            TypeError: A record has no such field.
            RecordMoved: It has another rank, or another correction came first. Nothing was written.
            LedgerConflict: The ledger refuses a value.
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
            if holds != better:  # equal: the first answer was lost, and this is its repetition
                raise RecordMoved(better.rev if isinstance(holds, State) else holds.rev)
        return better

    async def _rewrite(self) -> None:
        """What was deleted must be removed from the append-only file too; a managed store may not let us."""
        try:
            await self._store.on_primaries("BGREWRITEAOF")
        except RedisError:
            return
