"""The acts on an account, implemented once for the command line, services and the portal.

An entrance (`gateway.cli`, `gateway.internal`, `gateway.portal`) authorises the caller, finds the account, calls one
act and renders its result. The export is in `gateway.accounts.export`, the correction in `metering.accounts.rights`.

Rules:

1. Every act that reads or changes a person's account is first recorded in the audit stream, with its actor
   (a service token's name, or an `Actor`).
2. An act that changes an account returns after the change survives the loss of the store's primary.
3. An act that may create the account takes the user's id at the sign-in service. Every other act takes the pid, which
   the entrance has found by the user's id or in the portal's cookie.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from gateway.accounts.webhooks import WebhookEvent, Webhooks
from gateway.auth import choice as choices
from gateway.auth import entitlements as entitlement
from gateway.auth import revocation, sessions, switches
from gateway.auth.announcements import Announcement, Topic, publish
from gateway.auth.choice import Choice
from gateway.auth.entitlements import Entitlements
from gateway.auth.principal import str_of
from gateway.auth.switches import Switchable
from gateway.config import DEFAULT_TIER
from metering import keys
from metering.accounts import audit, credit_watch
from metering.accounts.audit import Action
from metering.accounts.identity_map import Accounts
from metering.accounts.retention import Forgetter, Retention
from metering.accounts.rights import Erasure, Rights
from metering.ledger.ledger import Account, Ledger
from metering.spool.journal import Journal
from metering.store.epoch import Epoch
from metering.store.store import Store
from metering.stripe import customers as stripe_customers

LONGEST_KEY = 255  # characters of a grant's key, as its caller names it
BATCH = 256  # accounts that are asked for at a time


class Administration:
    """Acts on accounts. ``webhooks`` reports an erasure to the operator's service."""

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        accounts: Accounts,
        key: bytes,
        *,
        journal: Journal | None = None,
        webhooks: Webhooks | None = None,
    ) -> None:
        self.store = store
        self.ledger = ledger
        self.accounts = accounts
        self.key = key
        self.epoch = Epoch(store)
        self._journal = journal
        self.rights = _rights(store, ledger, journal)
        self._webhooks = webhooks or Webhooks()

    async def show(self, pid: str, *, actor: str) -> tuple[Account, Entitlements]:
        """The account's credits, zeros if nothing was ever granted, and what it may use."""
        await audit.note(self.store, actor, Action.LOOKED_UP, pid)
        return await self._state(pid)

    async def every(self, *, actor: str) -> list[Account]:
        """Every account of the ledger, by its pid: a scan, for the operator's eyes. Raises as `Ledger.account`."""
        await audit.note(self.store, actor, Action.LOOKED_UP)
        names = [str_of(name) async for name in self.store.client.scan_iter(match=keys.ACCOUNTS, count=1_000)]
        found: list[Account | None] = []
        for begin in range(0, len(names), BATCH):
            pids = [name.rpartition(":")[2] for name in names[begin : begin + BATCH]]
            found += await asyncio.gather(*map(self.ledger.account, pids))  # calls of one loop tick share a pipeline
        return sorted((account for account in found if account is not None), key=lambda account: account.pid)

    async def entitle(self, user: str, stated: Entitlements, *, actor: str) -> tuple[Account, Entitlements] | None:
        """Set what a user may use; creates the account; ``None`` if the version is refused.

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
        await self.ledger.set_tier(pid, stated.tier or DEFAULT_TIER)
        # A newer version may have been written in between, whose tier this one has just overwritten.
        while (now := await entitlement.read(self.store.client, pid)).version > stated.version:
            stated = now
            await self.ledger.set_tier(pid, stated.tier or DEFAULT_TIER)
        await publish(self.store.client, Announcement(Topic.POLICY_CHANGED, pid=pid))
        # Two keys, which a Cluster may have on two primaries: what is stated, and the ledger's tier.
        for key in (entitlement.account_key(pid), keys.tag(keys.partition(pid))):
            await self.store.confirm(key)
        return await self._state(pid)

    async def organisation(self, org: str) -> Entitlements:
        """The entitlements of an organisation, by its name; version 0 if nothing was."""
        return await entitlement.read_org(self.store.client, entitlement.org_digest(self.key, org))

    async def entitle_organisation(self, org: str, stated: Entitlements, *, actor: str) -> Entitlements | None:
        """Set what everybody in an organisation may use; ``None`` if the version is refused.

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

    async def choose(self, pid: str, choice: Choice, *, actor: str) -> None:
        """Set the choices of the account's owner, replacing the earlier ones. Raises as `choice.write`."""
        await audit.note(self.store, actor, Action.CHOSEN, pid)
        await choices.write(self.store, pid, choice)

    async def erase(self, pid: str, names: Sequence[str], *, actor: str) -> Erasure:
        """Erase an account and the entries of the identity map that lead to it. Its running requests end at once.

        Raises:
            Unconfirmed, redis.RedisError: Not begun: repeat it.
            LedgerUnavailable: As `Rights.erase`.
        """
        # First: a session that is gone already could not be announced, and would run on from the workers' caches.
        await revocation.revoke_all(self.store, pid, actor=actor, journal=self._journal)
        erasure = await self.rights.erase(pid, names, actor=actor)
        self._webhooks.emit(WebhookEvent.ACCOUNT_ERASED, pid)
        return erasure

    async def restrict(self, pid: str, *, restricted: bool, actor: str) -> Account | None:
        """Refuse the account's new requests, or take them again; ``None`` if nothing was ever granted to it.

        Raises:
            Unconfirmed, LedgerUnavailable, redis.RedisError: Done perhaps, and might not survive a failover: repeat it.
        """
        await audit.note(self.store, actor, Action.RESTRICTED if restricted else Action.UNRESTRICTED, pid)
        account = await self.ledger.restrict(pid, restricted=restricted)
        if account is not None:
            await self.store.confirm(keys.tag(keys.partition(pid)))
        return account

    async def set_customer(self, user: str, customer: str, *, actor: str) -> None:
        """Lead a user's charges to a customer at Stripe, making the account.

        Raises:
            ValueError: This is not a customer's id.
            Unconfirmed, redis.RedisError: Done perhaps, and might not survive a failover: repeat it.
        """
        pid = await self.accounts.pid_of(user, create=True)
        assert pid is not None
        await audit.note(self.store, actor, Action.CUSTOMER_SET, pid)
        await stripe_customers.assign(self.store, pid, customer)
        await self.store.confirm(keys.tag(keys.partition(pid)))

    async def switch(self, what: Switchable, name: str, *, off: bool, actor: str) -> None:
        """Switch a provider, model or key off, or on again. Raises as `switches.switch`."""
        await audit.note(self.store, actor, Action.SWITCHED_OFF if off else Action.SWITCHED_ON)
        await switches.switch(self.store, what, name, off=off)

    async def _state(self, pid: str) -> tuple[Account, Entitlements]:
        account = await self.ledger.account(pid)
        return account or Account(pid, 0, 0, 0, 0, ""), await entitlement.read(self.store.client, pid)

    async def close(self) -> None:
        await self.ledger.close()
        await self.store.close()


def consumers_of_records(store: Store) -> tuple[Forgetter, ...]:
    """What each consumer of usage records keeps of an account: see `metering.accounts.retention`, rule 5."""
    return (partial(stripe_customers.forget, store),)


def _rights(store: Store, ledger: Ledger, journal: Journal | None) -> Rights:
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
        Retention(store, ledger, consumers=consumers_of_records(store)),
        journal=journal,
        forgetters=(forget_sessions, forget_entitlements, forget_level),
    )
