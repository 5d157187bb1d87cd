"""What one worker has built at start, in groups: each part of a request takes the one or two that it needs.

`gateway.process.app` is the one that builds them. A group never changes, except for the catalog (`Rules`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.auth.switches import Switches
from gateway.catalog.catalog import Catalog
from gateway.config import AbortRule, Config, PolicyConfig
from gateway.evidence.statement import Evidence
from gateway.http.aside import Aside
from gateway.http.overload import Overload
from gateway.http.pace import Pace
from gateway.http.shares import FairBudget
from gateway.http.slices import Slices
from gateway.inference.abandoned import Abandoned
from gateway.inference.lanes import Lanes
from gateway.inference.leases import Leases
from gateway.inference.limits import TierLimits
from gateway.inference.lingering import Lingering
from gateway.inference.running import Running
from gateway.inference.secrets import Secrets
from gateway.telemetry.instruments import Instruments
from gateway.telemetry.log import Log
from gateway.telemetry.otlp import Telemetry
from gateway.upstream.destination import Destination
from gateway.upstream.pool import Pool
from gateway.upstream.retry_budget import RetryBudget
from metering.learning import Learning
from metering.ledger.ledger import Ledger
from metering.settlement.settler import Settler
from metering.spool.spool import Spool


@dataclass(slots=True)
class Rules:
    """What holds for every request. Only a dated change of prices replaces the catalog (`gateway.process.upkeep`)."""

    config: Config
    catalog: Catalog
    secrets: Secrets | None


@dataclass(frozen=True, slots=True)
class Books:
    """Where credit is held, and what was used is written down.

    Attributes:
        limits: The limits of each plan.
        unpaid: The rate of each account's requests that nobody pays for.
        abort: What a cut answer charges.
    """

    ledger: Ledger
    spool: Spool
    settler: Settler
    leases: Leases
    limits: TierLimits
    unpaid: Pace
    abandoned: Abandoned
    abort: AbortRule
    learning: Learning = field(default_factory=Learning)


@dataclass(frozen=True, slots=True)
class Upstreams:
    """The way to providers.

    Attributes:
        destinations: By the provider's name.
        retries: How many further attempts are made.
        switches: What the operator has switched off.
        policy: What may leave.
        opening: Seconds for which a stream without output is held.
        identity_key: Of which an account's pseudonyms at providers are made.
    """

    pool: Pool
    destinations: Mapping[str, Destination]
    retries: RetryBudget
    switches: Switches
    policy: PolicyConfig
    opening: float
    identity_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Shares:
    """What this worker's requests have in common, and how much of it each may have.

    Attributes:
        bodies: Bytes of request bodies that are held.
        requests: Requests that run.
        strangers: How often each network was refused without a token.
        lanes: Autocomplete lanes of this worker's requests.
        running: The requests themselves, and whether they are the last ones.
        overload: Who waits while there is more to do than this worker can.
        slices: Whose turn it is to do long work.
        aside: The same for work that cannot be cut.
        lingering: Answers that are read on for clients that have left.
    """

    bodies: FairBudget
    requests: FairBudget
    strangers: Pace
    lanes: Lanes
    running: Running
    overload: Overload
    slices: Slices
    aside: Aside = field(default_factory=Aside)
    lingering: Lingering = field(default_factory=Lingering)


@dataclass(frozen=True, slots=True)
class Signals:
    """What is told of requests: counted, logged, signed, and, if the operator has a collector, sent there."""

    instruments: Instruments
    log: Log
    evidence: Evidence
    telemetry: Telemetry | None = None


@dataclass(frozen=True, slots=True)
class Services:
    """All that a request needs once its caller is known; for whoever hands its parts theirs."""

    rules: Rules
    books: Books
    upstreams: Upstreams
    shares: Shares
    signals: Signals
