"""What one worker has built at start and every request uses. `gateway.process.app` is the one that builds it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from aiohttp import web

from gateway.accounts.webhooks import Webhooks
from gateway.auth.announcements import Listener
from gateway.auth.authenticator import Authenticator
from gateway.catalog.catalog import Catalog
from gateway.config import Config
from gateway.evidence.statement import Evidence
from gateway.http.pace import Pace
from gateway.http.shares import FairBudget
from gateway.http.slices import Slices
from gateway.inference.abandoned import Abandoned
from gateway.inference.lanes import Lanes
from gateway.inference.leases import Leases
from gateway.inference.limits import TierLimits
from gateway.inference.running import Running
from gateway.inference.secrets import Secrets
from gateway.telemetry.instruments import Instruments
from gateway.telemetry.log import Log
from gateway.upstream.destination import Destination
from gateway.upstream.pool import Pool
from metering.accounts.identity_map import Accounts
from metering.accounts.rights import Rights
from metering.learning import Learning
from metering.ledger.ledger import Ledger
from metering.settlement.settler import Settler
from metering.spool.spool import Spool
from metering.store.store import Store

Answers: TypeAlias = Callable[[web.BaseRequest, str], Awaitable[web.StreamResponse]]  # of a request and its id


@dataclass(slots=True)
class Services:
    """One per worker.

    Attributes:
        draining: Set at SIGTERM: nothing new is begun, what runs goes on.
        bodies: Bytes of request bodies that are held.
        requests: Requests that run.
        unpaid: How often each account asked for what nobody pays for.
        strangers: How often each network was refused without a token.
        limits: The limits of each plan.
        listener: Hears what other workers announce.
        slices: Whose turn it is to do long work.
        lanes: Autocomplete lanes of this worker's requests.
        portal: Answers for the pages of the portal; what it needs is loaded with the first of them.
    """

    loop: asyncio.AbstractEventLoop
    config: Config
    catalog: Catalog
    store: Store
    ledger: Ledger
    settler: Settler
    spool: Spool
    leases: Leases
    pool: Pool
    destinations: Mapping[str, Destination]
    authenticator: Authenticator
    instruments: Instruments
    log: Log
    identity_key: bytes = field(repr=False)
    accounts: Accounts
    rights: Rights
    bodies: FairBudget
    requests: FairBudget
    unpaid: Pace
    strangers: Pace
    limits: TierLimits
    lanes: Lanes
    listener: Listener
    evidence: Evidence
    webhooks: Webhooks = field(default_factory=Webhooks)
    secrets: Secrets | None = None
    learning: Learning = field(default_factory=Learning)
    abandoned: Abandoned = field(default_factory=lambda: Abandoned(0))
    draining: bool = False
    slices: Slices = field(default_factory=Slices)
    running: Running = field(default_factory=Running)
    portal: Answers | None = None
