"""The internal API's operations: usage records, accounts, grants, and the rights of their owners.

Each is a function of the opened `Administration` and a `Call`; it returns one of the shapes or raises
a `GatewayError`. `OPERATIONS` is the table that is routed (`gateway.internal.api`) and described
(`gateway.internal.openapi`).
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from gateway.accounts.administration import Administration
from gateway.config.services import ServiceScope
from gateway.errors import Conflict, InvalidRequest, NotFound
from gateway.internal import shapes
from metering import keys
from metering.accounts.rights import RecordMoved
from metering.numbers import whole_number
from metering.reading.reader import NotGiven, book, check_given, note_given, read_page
from metering.usage import UsageRecord

MOST_RECORDS = 1_000
_LIMIT = f"limit is a number from 1 to {MOST_RECORDS}."
LONGEST_KEY = 255
LONGEST_USER = 512
_NO_ACCOUNT = "This user has no account."

Stated = TypeVar("Stated")


@dataclass(frozen=True, slots=True)
class Call:
    """One call: who calls, and what with. ``known`` is the set of services whose place exists."""

    actor: str
    path: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any
    known: set[str]

    @property
    def user(self) -> str:
        user = self.path["user"]
        if not user.isprintable() or len(user) > LONGEST_USER:
            raise InvalidRequest("The user's id is printable and has 512 characters at most.", param="user")
        return user

    @property
    def org(self) -> str:
        org = self.path["org"]
        if not re.fullmatch(shapes.LABEL, org) or len(org) > shapes.LONGEST_LABEL:
            raise InvalidRequest("An organisation's name is 64 letters, digits and . _ + / - at most.", param="org")
        return org


@dataclass(frozen=True, slots=True)
class PlainText:
    """An answer that is not JSON."""

    content: str
    content_type: str


Handler = Callable[[Administration, Call], Awaitable[msgspec.Struct | PlainText]]


@dataclass(frozen=True, slots=True)
class ServiceOperation:
    """``parameters``: name -> (query or header, what it is, whether it is required)."""

    method: str
    path: str
    scope: ServiceScope
    summary: str
    handler: Handler
    answer: Any
    body: Any = None
    errors: tuple[int, ...] = ()
    parameters: Mapping[str, tuple[str, str, bool]] = field(default_factory=dict)


async def usage(admin: Administration, call: Call) -> shapes.UsagePage:
    limit = whole_number(call.query.get("limit", "500"), MOST_RECORDS)
    if not limit:
        raise InvalidRequest(_LIMIT, param="limit")
    await admin.epoch.look()
    try:
        if call.actor not in call.known:  # from now on retention and erasure wait for this service
            await book(admin.store, call.actor, "")
            call.known.add(call.actor)
        page = await read_page(admin.store, after=call.query.get("after", ""), limit=limit)
    except ValueError:
        raise _no_place() from None
    await note_given(admin.store, call.actor, page)
    return shapes.UsagePage(page.records, page.after, admin.epoch.identity)


async def ack(admin: Administration, call: Call) -> shapes.Acknowledged:
    try:
        await check_given(admin.store, call.actor, call.body.after)
        await book(admin.store, call.actor, call.body.after)
    except NotGiven:
        raise InvalidRequest(
            "after is beyond the last page that this service was given. Acknowledge what a page gave.", param="after"
        ) from None
    except ValueError:
        raise _no_place() from None
    return shapes.Acknowledged(call.body.after)


def _no_place() -> InvalidRequest:
    return InvalidRequest("after is what a page gave, Unix milliseconds, or empty for the begin.", param="after")


async def show(admin: Administration, call: Call) -> shapes.AccountShape:
    found = await admin.show(call.user, actor=call.actor)
    if found is None:
        raise NotFound(_NO_ACCOUNT)
    return shapes.AccountShape(shapes.Credits.of(found[0]), shapes.EntitlementsShape.of(found[1]))


async def _accepted(statement: Awaitable[Stated | None]) -> Stated:
    """What holds after a statement of entitlements. Raises `InvalidRequest` and `Conflict` where it is refused."""
    try:
        found = await statement
    except ValueError:
        raise InvalidRequest("A field of the entitlements is not of its form.") from None
    if found is None:
        raise Conflict("A newer version is stored, or this one with other content. Read it, and state a higher one.")
    return found


async def entitle(admin: Administration, call: Call) -> shapes.AccountShape:
    account, stated = await _accepted(admin.entitle(call.user, call.body.value(), actor=call.actor))
    return shapes.AccountShape(shapes.Credits.of(account), shapes.EntitlementsShape.of(stated))


async def organisation(admin: Administration, call: Call) -> shapes.EntitlementsShape:
    return shapes.EntitlementsShape.of(await admin.organisation(call.org))


async def entitle_organisation(admin: Administration, call: Call) -> shapes.EntitlementsShape:
    stated = await _accepted(admin.entitle_organisation(call.org, call.body.value(), actor=call.actor))
    return shapes.EntitlementsShape.of(stated)


async def grant(admin: Administration, call: Call) -> shapes.Credits:
    key = call.headers.get("Idempotency-Key", "")
    if not key or len(key) > LONGEST_KEY or not key.isprintable():
        raise InvalidRequest("Send an Idempotency-Key of 1 to 255 characters.", param="Idempotency-Key")
    # A service's keys are its own: another service may use the same ones.
    return shapes.Credits.of(await admin.grant(call.user, call.body.amount, f"{call.actor}\0{key}", actor=call.actor))


async def export(admin: Administration, call: Call) -> shapes.ExportShape | PlainText:
    form = call.query.get("format", "json")
    if form not in ("json", "csv"):
        raise InvalidRequest("format is json or csv.", param="format")
    held = await admin.export(call.user, actor=call.actor)
    if held is None:
        raise NotFound(_NO_ACCOUNT)
    return PlainText(held.csv(), "text/csv") if form == "csv" else shapes.ExportShape.of(held)


async def erase(admin: Administration, call: Call) -> shapes.ErasureShape:
    erasure = await admin.erase(call.user, actor=call.actor)
    if erasure is None:
        raise NotFound(_NO_ACCOUNT)
    return shapes.ErasureShape.of(erasure)


async def restrict(admin: Administration, call: Call) -> shapes.Credits:
    account = await admin.restrict(call.user, restricted=call.body.restricted, actor=call.actor)
    if account is None:
        raise NotFound("This user has no account, or no credits were ever granted to it.")
    return shapes.Credits.of(account)


async def rectify(admin: Administration, call: Call) -> UsageRecord:
    stated = {name: value for name, value in msgspec.structs.asdict(call.body).items() if value is not msgspec.UNSET}
    if not stated.keys() - {"rev"}:
        raise InvalidRequest("State what is to be corrected.")
    if not keys.is_id(call.path["rid"]):
        raise NotFound("This user has no record of that request.")
    try:
        record = await admin.rectify(call.user, call.path["rid"], actor=call.actor, **stated)
    except RecordMoved as moved:
        raise Conflict("The record has the rank rev now. Read it, and correct that one.", rev=moved.rev) from None
    if record is None:
        raise NotFound("This user has no record of that request.")
    return record


async def set_customer(admin: Administration, call: Call) -> shapes.CustomerBody:
    try:
        await admin.set_customer(call.user, call.body.customer, actor=call.actor)
    except ValueError:
        raise InvalidRequest("A customer is Stripe's id, cus_ and letters or digits.", param="customer") from None
    return shapes.CustomerBody(call.body.customer)


_ACCOUNT = "/internal/accounts/{user}"
_ORGANISATION = "/internal/organisations/{org}"
OPERATIONS: tuple[ServiceOperation, ...] = (
    ServiceOperation(
        "GET", "/internal/usage", ServiceScope.USAGE_READ, "Usage records behind a place, oldest first",
        usage, shapes.UsagePage,
        parameters={
            "after": ("query", "a place of an earlier page, Unix milliseconds, or nothing for the begin", False),
            "limit": ("query", f"records, 1 to {MOST_RECORDS}; 500 if left out", False),
        },
    ),
    ServiceOperation(
        "POST", "/internal/usage/ack", ServiceScope.USAGE_ACK, "Everything up to a place is booked",
        ack, shapes.Acknowledged, shapes.Ack,
    ),
    ServiceOperation(
        "GET", _ACCOUNT, ServiceScope.ACCOUNTS_READ, "Credits and entitlements of a user",
        show, shapes.AccountShape, errors=(404,),
    ),
    ServiceOperation(
        "PUT", _ACCOUNT, ServiceScope.ACCOUNTS_WRITE, "State what a user may use",
        entitle, shapes.AccountShape, shapes.EntitlementsBody, (409,),
    ),
    ServiceOperation(
        "DELETE", _ACCOUNT, ServiceScope.RIGHTS_ERASE, "Erase a user's account",
        erase, shapes.ErasureShape, errors=(404,),
    ),
    ServiceOperation(
        "POST", _ACCOUNT + "/grants", ServiceScope.GRANTS_WRITE, "Grant credits, once for each key",
        grant, shapes.Credits, shapes.GrantBody, (409,),
        {"Idempotency-Key": ("header", "the grant's own id, remembered for 400 days", True)},
    ),
    ServiceOperation(
        "GET", _ACCOUNT + "/export", ServiceScope.RIGHTS_EXPORT, "All that is held about a user",
        export, shapes.ExportShape, errors=(404,),
        parameters={"format": ("query", "json, or csv for one table", False)},
    ),
    ServiceOperation(
        "PUT", _ACCOUNT + "/restriction", ServiceScope.RIGHTS_RESTRICT, "Refuse new requests of a user, or no longer",
        restrict, shapes.Credits, shapes.RestrictionBody, (404, 409),
    ),
    ServiceOperation(
        "POST", _ACCOUNT + "/records/{rid}/corrections", ServiceScope.RIGHTS_RECTIFY,
        "Replace a record by a corrected one",
        rectify, UsageRecord, shapes.CorrectionBody, (404, 409),
    ),
    ServiceOperation(
        "PUT", _ACCOUNT + "/stripe", ServiceScope.ACCOUNTS_WRITE, "Lead a user's charges to a customer at Stripe",
        set_customer, shapes.CustomerBody, shapes.CustomerBody,
    ),
    ServiceOperation(
        "GET", _ORGANISATION, ServiceScope.ACCOUNTS_READ, "What was stated of an organisation; version 0: nothing yet",
        organisation, shapes.EntitlementsShape,
    ),
    ServiceOperation(
        "PUT", _ORGANISATION, ServiceScope.ACCOUNTS_WRITE, "State what an organisation's accounts may use",
        entitle_organisation, shapes.EntitlementsShape, shapes.OrganisationBody, (409,),
    ),
)  # fmt: skip
