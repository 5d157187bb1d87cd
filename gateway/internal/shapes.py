"""The types of the internal API's bodies: the handlers decode and encode with them, and the OpenAPI document is
generated from them, so that code and document cannot differ.

Amounts are integer micro-credits, times Unix milliseconds.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

import msgspec

from gateway.auth.choice import Choice
from gateway.auth.entitlements import LONGEST_COMPANY, Entitlements
from gateway.auth.switches import Switchable
from gateway.config.providers import MOST_RETENTION_DAYS
from metering.accounts.rights import Erasure
from metering.ledger.ledger import Account
from metering.usage import COUNTS, LARGEST_AMOUNT, UsageRecord

Amount = Annotated[int, msgspec.Meta(ge=1, le=LARGEST_AMOUNT)]
Version = Annotated[int, msgspec.Meta(ge=1, le=LARGEST_AMOUNT)]
LONGEST_LABEL = 64
LABEL = "^[A-Za-z0-9._+/-]*$"
Label = Annotated[str, msgspec.Meta(max_length=LONGEST_LABEL, pattern=LABEL)]
RetentionDays = Annotated[int, msgspec.Meta(ge=0, le=MOST_RETENTION_DAYS)]
Company = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_COMPANY)]
ModelName = Annotated[str, msgspec.Meta(max_length=128)]


class UsagePage(msgspec.Struct, frozen=True):
    """Records, oldest first. ``after`` is the cursor: the next page begins there, and `ack` takes it. If ``epoch``
    differs from the last page's, the store was interrupted or failed over: see docs/billing.md, After a failover.
    """

    records: tuple[UsageRecord, ...]
    after: str
    epoch: str


class Ack(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every record up to the cursor ``after`` is booked, durably."""

    after: str


class Acknowledged(msgspec.Struct, frozen=True):
    after: str


class OrganisationBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that an organisation's accounts may use. ``version`` grows with each change. An empty ``models``
    means all. ``max_retention_days``: for how long a provider may keep prompts; if absent, there is no limit.
    ``fallback_companies`` may answer if the selected company fails; if absent, nothing is stated.
    """

    version: Version
    tier: Label = ""
    models: tuple[ModelName, ...] = ()
    region: Label = ""
    mode: Literal["", "cloud", "local"] = ""
    min_app: dict[Label, Label] = {}
    max_retention_days: RetentionDays | None = None
    fallback_companies: tuple[Company, ...] | None = None

    def value(self) -> Entitlements:
        return Entitlements(
            self.version,
            self.tier,
            frozenset(self.models),
            self.region,
            self.mode,
            min_app=self.min_app,
            max_retention_days=self.max_retention_days,
            fallback_companies=None if self.fallback_companies is None else frozenset(self.fallback_companies),
        )


class EntitlementsBody(OrganisationBody, frozen=True, forbid_unknown_fields=True):
    """Everything that a user may use. ``org`` is the name of the account's organisation."""

    org: Label = ""

    def value(self) -> Entitlements:
        return replace(super().value(), org=self.org)


class EntitlementsShape(msgspec.Struct, frozen=True):
    """``version`` 0: none were set."""

    version: int
    tier: str
    models: tuple[str, ...]
    region: str
    mode: str
    org: str
    min_app: dict[str, str]
    max_retention_days: int | None
    fallback_companies: tuple[str, ...] | None

    @classmethod
    def of(cls, stated: Entitlements) -> EntitlementsShape:
        return cls(
            stated.version,
            stated.tier,
            tuple(sorted(stated.models)),
            stated.region,
            stated.mode,
            stated.org,
            dict(stated.min_app),
            stated.max_retention_days,
            None if stated.fallback_companies is None else tuple(sorted(stated.fallback_companies)),
        )


class Credits(msgspec.Struct, frozen=True):
    """``available`` is granted - spent - held and may be negative."""

    pid: str
    granted: int
    spent: int
    held: int
    available: int
    tier: str
    restricted: bool

    @classmethod
    def of(cls, account: Account) -> Credits:
        return cls(
            account.pid,
            account.granted,
            account.spent,
            account.held,
            account.available,
            account.tier,
            account.restricted,
        )


class AccountShape(msgspec.Struct, frozen=True):
    account: Credits
    entitlements: EntitlementsShape


class GrantBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    amount: Amount


class RestrictionBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    restricted: bool


class ChoiceBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All choices of a user; an absent one means no choice. The strictest of choice and entitlements applies."""

    mode: Literal["", "cloud", "local"] = ""
    region: Label = ""
    max_retention_days: RetentionDays | None = None

    def value(self) -> Choice:
        return Choice(self.mode, self.region, self.max_retention_days)


class SwitchBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    off: bool


class SwitchShape(msgspec.Struct, frozen=True):
    """A provider, model or key that is off. A key is ``PROVIDER:POSITION``, counted from 1 in ``api_keys``."""

    what: Switchable
    name: str
    since_ms: int


class SwitchesShape(msgspec.Struct, frozen=True):
    """Everything that is off."""

    off: tuple[SwitchShape, ...]


class CustomerBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    customer: str


class ErasureShape(msgspec.Struct, frozen=True):
    """``waiting``: records that will be deleted when billing has booked them."""

    pid: str
    deleted: int
    waiting: int

    @classmethod
    def of(cls, erasure: Erasure) -> ErasureShape:
        return cls(erasure.pid, erasure.deleted, erasure.waiting)


class ReloadShape(msgspec.Struct, frozen=True):
    """Names in gateway.toml: what ``changed``, and what differs from the running gateway and ``needs_restart``.
    ``workers``: in how many the new version holds.
    """

    changed: tuple[str, ...]
    needs_restart: tuple[str, ...]
    workers: int


# The integers of a record that a correction may state; absent ones do not change. ``rev`` is the rank that it corrects:
# if the record has another rank, the correction is refused.
CorrectionBody = msgspec.defstruct(
    "CorrectionBody",
    [
        (name, Annotated[int, msgspec.Meta(ge=0, le=LARGEST_AMOUNT)] | msgspec.UnsetType, msgspec.UNSET)
        for name in (*COUNTS, "cost", "charge")
    ]
    + [("rev", Annotated[int, msgspec.Meta(ge=0, le=LARGEST_AMOUNT)] | msgspec.UnsetType, msgspec.UNSET)]
    + [("unpriced", Annotated[int, msgspec.Meta(ge=0, le=1)] | msgspec.UnsetType, msgspec.UNSET)],
    frozen=True,
    forbid_unknown_fields=True,
)
