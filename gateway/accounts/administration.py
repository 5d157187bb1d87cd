"""What services and operators do to accounts: the same acts for the internal API and the command line.

Rules:

1. Every act that reads or changes one person's account is noted in the audit stream first, with who
   asked for it (``actor``: a service token's name, or an `Actor`).
2. An account is named by the user's id at the sign-in service; the pid never has to be known outside.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from gateway.auth import entitlements as entitlement
from gateway.auth import revocation, sessions
from gateway.auth.announcements import Announcement, Topic, publish
from gateway.auth.entitlements import Entitlements
from metering import keys
from metering.accounts import audit, credit_watch
from metering.accounts.audit import Action, AuditEntry
from metering.accounts.identity_map import Accounts
from metering.accounts.retention import Retention
from metering.accounts.rights import Erasure, Export, Rights
from metering.ledger.ledger import Account, Ledger
from metering.spool.journal import Journal
from metering.store.epoch import Epoch
from metering.store.store import Store
from metering.stripe import customers as stripe_customers
from metering.usage import UsageRecord

OnErased = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class PersonExport:
    """All that is held about a person."""

    export: Export
    entitlements: Entitlements
    sessions: tuple[sessions.Session, ...]
    audit: tuple[AuditEntry, ...]

    def json(self) -> dict[str, Any]:
        stated = self.entitlements
        return {
            **self.export.json(),
            "entitlements": {
                "version": stated.version,
                "tier": stated.tier,
                "models": sorted(stated.models),
                "region": stated.region,
                "mode": stated.mode,
                "org": stated.org,
                "min_app": dict(stated.min_app),
            },
            "sessions": [asdict(session) for session in self.sessions],
            "audit": [asdict(entry) for entry in self.audit],
        }

    def csv(self) -> str:
        """The same, as one table: section, number in it, field, value."""
        out = io.StringIO()
        table = csv.writer(out)
        table.writerow(("section", "number", "field", "value"))
        for section, content in self.json().items():
            for number, item in enumerate(content if isinstance(content, list) else [content]):
                for name, value in item.items() if isinstance(item, dict) else [("rid", item)]:
                    shown = " ".join(map(str, value)) if isinstance(value, list | tuple) else value
                    table.writerow((section, number, name, shown))
        return out.getvalue()


class Administration:
    """Acts on accounts. ``on_erased`` is told the pid of each account that was erased."""

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        accounts: Accounts,
        key: bytes,
        *,
        journal: Journal | None = None,
        on_erased: OnErased | None = None,
    ) -> None:
        self.store = store
        self.ledger = ledger
        self.accounts = accounts
        self.key = key
        self.epoch = Epoch(store)
        self._journal = journal
        self.rights = make_rights(store, ledger, accounts, journal)
        self._on_erased = on_erased

    async def show(self, user: str, *, actor: str) -> tuple[Account, Entitlements] | None:
        pid = await self.accounts.pid_of(user)
        if pid is None:
            return None
        await audit.note(self.store, actor, Action.LOOKED_UP, pid)
        return await self._state(pid)

    async def entitle(self, user: str, stated: Entitlements, *, actor: str) -> tuple[Account, Entitlements] | None:
        """State what a user may use, making the account; ``None`` where the version is refused.

        ``stated.org`` is the organisation's own name here; its digest is kept.

        Raises:
            ValueError: A field is not of its form.
            Unconfirmed, LedgerUnavailable, redis.RedisError: As `entitle_organisation`.
        """
        if stated.org:
            stated = replace(stated, org=entitlement.org_digest(self.key, stated.org))
        pid = await self.accounts.pid_of(user, create=True)
        assert pid is not None
        await audit.note(self.store, actor, Action.TIER_SET, pid)
        if not await entitlement.write(self.store.client, pid, stated):
            return None
        await self.ledger.set_tier(pid, stated.tier or "default")
        # A newer version may have come in between, whose tier this one has just overwritten.
        while (now := await entitlement.read(self.store.client, pid)).version > stated.version:
            stated = now
            await self.ledger.set_tier(pid, stated.tier or "default")
        await publish(self.store.client, Announcement(Topic.POLICY_CHANGED, pid=pid))
        # Two keys, which a Cluster may have on two primaries: what is stated, and the ledger's tier.
        for key in (entitlement.account_key(pid), keys.tag(keys.partition(pid))):
            await self.store.confirm(key)
        return await self._state(pid)

    async def organisation(self, org: str) -> Entitlements:
        """What was stated of an organisation, by its own name; version 0 where nothing was."""
        return await entitlement.read_org(self.store.client, entitlement.org_digest(self.key, org))

    async def entitle_organisation(self, org: str, stated: Entitlements, *, actor: str) -> Entitlements | None:
        """State what everybody in an organisation may use; ``None`` where the version is refused.

        Raises:
            ValueError: A field is not of its form.
            Unconfirmed, redis.RedisError: Done perhaps, but it might not survive a failover: repeat it.
        """
        digest = entitlement.org_digest(self.key, org)
        await audit.note(self.store, actor, Action.ORGANISATION_SET)
        if not await entitlement.write_org(self.store.client, digest, stated):
            return None
        await publish(self.store.client, Announcement(Topic.POLICY_CHANGED, org=digest))
        await self.store.confirm(entitlement.org_key(digest))
        return await entitlement.read_org(self.store.client, digest)

    async def grant(self, user: str, amount: int, grant_id: str, *, actor: str) -> Account:
        """Add micro-credits once for each ``grant_id``, making the account. Raises as `Ledger.grant`."""
        pid = await self.accounts.pid_of(user, create=True)
        assert pid is not None
        await audit.note(self.store, actor, Action.GRANTED, pid)
        account = await self.ledger.grant(pid, amount, grant_id)
        await credit_watch.forget(self.store, pid)
        return account

    async def export(self, user: str, *, actor: str) -> PersonExport | None:
        pid = await self.accounts.pid_of(user)
        if pid is None:
            return None
        export = await self.rights.export(pid, actor=actor)
        if export is None:  # signed in, and nothing granted or used yet
            export = Export(Account(pid, 0, 0, 0, 0, ""), (), (), ())
        client = self.store.client
        return PersonExport(
            export,
            await entitlement.read(client, pid),
            tuple(await sessions.of_account(client, pid)),
            tuple([entry async for entry in audit.read_audit(self.store) if entry.pid == pid]),
        )

    async def erase(self, user: str, *, actor: str) -> Erasure | None:
        """Erase a user's account, or ``None`` where there is none. Its running requests end at once.

        Raises:
            Unconfirmed, redis.RedisError: Not begun: repeat it.
            LedgerUnavailable: As `Rights.erase`.
        """
        pid = await self.accounts.pid_of(user)
        if pid is None:
            return None
        # First: a session that is gone already could not be announced, and would run on from the workers' caches.
        await revocation.revoke_all(self.store, pid, actor=actor, journal=self._journal)
        erasure = await self.rights.erase(user, actor=actor)
        if erasure is not None and self._on_erased is not None:
            self._on_erased(erasure.pid)
        return erasure

    async def restrict(self, user: str, *, restricted: bool, actor: str) -> Account | None:
        pid = await self.accounts.pid_of(user)
        return None if pid is None else await self.rights.restrict(pid, restricted=restricted, actor=actor)

    async def rectify(
        self, user: str, rid: str, *, actor: str, rev: int | None = None, **corrected: int
    ) -> UsageRecord | None:
        """Raises as `Rights.rectify`."""
        pid = await self.accounts.pid_of(user)
        return None if pid is None else await self.rights.rectify(pid, rid, actor=actor, rev=rev, **corrected)

    async def set_customer(self, user: str, customer: str, *, actor: str) -> None:
        """Lead a user's charges to a customer at Stripe, making the account."""
        pid = await self.accounts.pid_of(user, create=True)
        assert pid is not None
        await audit.note(self.store, actor, Action.CUSTOMER_SET, pid)
        await stripe_customers.assign(self.store, pid, customer)

    async def _state(self, pid: str) -> tuple[Account, Entitlements]:
        account = await self.ledger.account(pid)
        return account or Account(pid, 0, 0, 0, 0, ""), await entitlement.read(self.store.client, pid)

    async def close(self) -> None:
        await self.ledger.close()
        await self.store.close()


def make_rights(store: Store, ledger: Ledger, accounts: Accounts, journal: Journal | None = None) -> Rights:
    """`Rights` that reach everything that is held about a person."""
    client = store.client

    async def forget_entitlements(pid: str) -> None:
        await entitlement.erase(client, pid)

    async def forget_sessions(pid: str) -> None:
        await sessions.forget_account(client, pid)

    async def forget_level(pid: str) -> None:
        await credit_watch.forget(store, pid)

    return Rights(
        store,
        ledger,
        accounts,
        Retention(store, ledger),
        journal=journal,
        forgetters=(forget_sessions, forget_entitlements, forget_level),
    )
