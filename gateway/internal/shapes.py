"""What goes over the internal API, as types: the handlers decode and encode with them, and the OpenAPI
document is generated from them, so that the two cannot differ.

Amounts are integer micro-credits, times Unix milliseconds.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

import msgspec

from gateway.accounts.administration import PersonExport
from gateway.auth.entitlements import Entitlements
from metering.accounts.rights import Erasure
from metering.ledger.ledger import Account
from metering.usage import COUNTS, UsageRecord

LARGEST = 2**53
Amount = Annotated[int, msgspec.Meta(ge=1, le=LARGEST)]
Version = Annotated[int, msgspec.Meta(ge=1, le=LARGEST)]
LONGEST_LABEL = 64
LABEL = "^[A-Za-z0-9._+/-]*$"
Label = Annotated[str, msgspec.Meta(max_length=LONGEST_LABEL, pattern=LABEL)]
ModelName = Annotated[str, msgspec.Meta(max_length=128)]


class UsagePage(msgspec.Struct, frozen=True):
    """Records, oldest first. ``after`` leads on, and is what `ack` takes. Another ``epoch`` than on the
    last page: the store was away or failed over; read the last 15 minutes again.
    """

    records: tuple[UsageRecord, ...]
    after: str
    epoch: str


class Ack(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything up to this place is booked, durably."""

    after: str


class Acknowledged(msgspec.Struct, frozen=True):
    after: str


class OrganisationBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole of what an organisation's accounts may use. ``version`` grows with each change; ``models``
    empty is all.
    """

    version: Version
    tier: Label = ""
    models: tuple[ModelName, ...] = ()
    region: Label = ""
    mode: Literal["", "cloud", "local"] = ""
    min_app: dict[Label, Label] = {}

    def value(self) -> Entitlements:
        return Entitlements(
            self.version, self.tier, frozenset(self.models), self.region, self.mode, min_app=self.min_app
        )


class EntitlementsBody(OrganisationBody, frozen=True, forbid_unknown_fields=True):
    """The whole of what a user may use. ``org`` is the name of the organisation that the account belongs to."""

    org: Label = ""

    def value(self) -> Entitlements:
        return replace(super().value(), org=self.org)


class EntitlementsShape(msgspec.Struct, frozen=True):
    """``version`` 0: nothing was stated yet."""

    version: int
    tier: str
    models: tuple[str, ...]
    region: str
    mode: str
    org: str
    min_app: dict[str, str]

    @classmethod
    def of(cls, stated: Entitlements) -> EntitlementsShape:
        models = tuple(sorted(stated.models))
        return cls(stated.version, stated.tier, models, stated.region, stated.mode, stated.org, dict(stated.min_app))


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


class CustomerBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    customer: str


class Granted(msgspec.Struct, frozen=True):
    at_ms: int
    amount: int


class SessionShape(msgspec.Struct, frozen=True):
    sid: str
    pid: str
    tier: str
    mode: str
    region: str
    app_version: str
    platform: str
    created_ms: int
    expires_ms: int
    revoked_ms: int | None
    name: str  # of a personal access token
    scopes: tuple[str, ...]


class AuditShape(msgspec.Struct, frozen=True):
    at_ms: int
    actor: str
    action: str
    pid: str


class ExportShape(msgspec.Struct, frozen=True):
    """All that is held about a person. ``running``: requests that are not settled yet."""

    account: Credits
    grants: tuple[Granted, ...]
    running: tuple[str, ...]
    records: tuple[UsageRecord, ...]
    entitlements: EntitlementsShape
    sessions: tuple[SessionShape, ...]
    audit: tuple[AuditShape, ...]

    @classmethod
    def of(cls, held: PersonExport) -> ExportShape:
        return msgspec.convert(held.json(), cls)


class ErasureShape(msgspec.Struct, frozen=True):
    """``waiting``: records that are deleted once billing has booked them."""

    pid: str
    deleted: int
    waiting: int

    @classmethod
    def of(cls, erasure: Erasure) -> ErasureShape:
        return cls(erasure.pid, erasure.deleted, erasure.waiting)


class Problem(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """RFC 9457, with the gateway's stable ``code``. ``rev``: the rank of a record that was not as stated."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    param: str | None = None
    rev: int | None = None


# The integers of a record that a correction may state; what it leaves out stays. ``rev`` is the rank that it corrects:
# if the record has another one, nothing is done.
CorrectionBody = msgspec.defstruct(
    "CorrectionBody",
    [
        (name, Annotated[int, msgspec.Meta(ge=0, le=LARGEST)] | msgspec.UnsetType, msgspec.UNSET)
        for name in (*COUNTS, "cost", "charge")
    ]
    + [("rev", Annotated[int, msgspec.Meta(ge=0, le=LARGEST)] | msgspec.UnsetType, msgspec.UNSET)]
    + [("unpriced", Annotated[int, msgspec.Meta(ge=0, le=1)] | msgspec.UnsetType, msgspec.UNSET)],
    frozen=True,
    forbid_unknown_fields=True,
)
