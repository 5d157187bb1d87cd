"""What one worker has built at start and every request uses. `gateway.app` is the one that builds it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from aiohttp import web

from gateway.auth.announcements import Listener
from gateway.auth.authenticator import Authenticator
from gateway.catalog import Catalog
from gateway.config import Config
from gateway.evidence import Evidence
from gateway.inbound import BodyBudget
from gateway.instruments import Instruments
from gateway.lanes import Lanes
from gateway.leases import Leases
from gateway.limits import TierLimits
from gateway.log import Log
from gateway.running import Running
from gateway.secrets_policy import Secrets
from gateway.upstream.destination import Destination
from gateway.upstream.pool import Pool
from gateway.webhooks import Webhooks
from metering.accounts import Accounts
from metering.learning import Learning
from metering.ledger import Ledger
from metering.rights import Rights
from metering.settler import Settler
from metering.spool import Spool
from metering.store import Store

Answers: TypeAlias = Callable[[web.BaseRequest, str], Awaitable[web.StreamResponse]]  # of a request and its id


@dataclass(slots=True)
class Services:
    """One per worker.

    Attributes:
        draining: Set at SIGTERM: nothing new is begun, what runs goes on.
        limits: The limits of each plan.
        listener: Hears what other workers announce.
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
    bodies: BodyBudget
    limits: TierLimits
    lanes: Lanes
    listener: Listener
    evidence: Evidence
    webhooks: Webhooks = field(default_factory=Webhooks)
    secrets: Secrets | None = None
    learning: Learning = field(default_factory=Learning)
    draining: bool = False
    running: Running = field(default_factory=Running)
    portal: Answers | None = None
