"""The internal API's operations: usage records, accounts, grants, and the rights of their owners.

Each operation is a function of the opened `Administration` and a `Call`. It returns one of the shapes or raises a
`GatewayError`. `gateway.internal.api` routes the table `OPERATIONS`, and `gateway.internal.openapi` describes it.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from gateway.accounts.administration import LONGEST_KEY, Administration
from gateway.accounts.export import PersonExport, export_account
from gateway.auth.entitlements import NotOfItsForm
from gateway.auth.switches import Switchable, read_switches
from gateway.config import ConfigError
from gateway.config.changes import Reloaded
from gateway.config.internal import ServiceScope
from gateway.errors import Conflict, InvalidRequest, NotFound, NotReloaded
from gateway.internal import shapes
from metering import keys
from metering.accounts.rights import RecordMoved
from metering.numbers import whole_number
from metering.reading.reader import NotGiven, book, check_given, note_given, read_page
from metering.usage import UsageRecord

MOST_RECORDS = 1_000
_LIMIT = f"limit is a number from 1 to {MOST_RECORDS}."
LONGEST_USER = 512
_NO_ACCOUNT = "This user has no account."
_NO_PLAN = "The configuration has no such plan: use the NAME of a [tiers.NAME] table, or default."
_NO_MODEL = "The gateway does not serve this model: use a name from GET /v1/models, without a date."
_NO_COMPANY = "No configured provider belongs to this company: use the company of a [providers.NAME] table."
_NO_SWITCH = "Name provider/NAME, model/NAME or key/PROVIDER:POSITION, as the configuration and GET /v1/models do."
_NOT_OF_ITS_FORM = "This member has the wrong form: see docs/billing.md, Bodies."

Stated = TypeVar("Stated")


@dataclass(frozen=True, slots=True)
class Served:
    """What entitlements and switches may name: plans, companies, providers and keys of the configuration, and models
    of the catalog.
    """

    tiers: frozenset[str]
    models: frozenset[str]
    companies: frozenset[str] = frozenset()
    switchable: frozenset[tuple[Switchable, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Call:
    """One call: who calls, and what with. ``known`` is the set of services that have a cursor, ``served`` tells
    what is served here, ``reload`` takes a new version of the configuration.
    """

    actor: str
    path: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any
    known: set[str]
    served: Callable[[], Awaitable[Served]]
    reload: Callable[[str], Awaitable[Reloaded]]

    @property
    def user(self) -> str:
        user = self.path["user"]
        if not user.isprintable() or len(user) > LONGEST_USER:
            raise InvalidRequest("A user's id has at most 512 printable characters.", param="user")
        return user

    @property
    def org(self) -> str:
        org = self.path["org"]
        if not re.fullmatch(shapes.LABEL, org) or len(org) > shapes.LONGEST_LABEL:
            raise InvalidRequest("An organisation's name has at most 64 letters, digits and . _ + / -.", param="org")
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
        raise _no_cursor() from None
    await note_given(admin.store, call.actor, page)
    return shapes.UsagePage(page.records, page.after, admin.epoch.identity)


async def ack(admin: Administration, call: Call) -> shapes.Acknowledged:
    try:
        await check_given(admin.store, call.actor, call.body.after)
        await book(admin.store, call.actor, call.body.after)
    except NotGiven:
        raise InvalidRequest(
            "after is beyond the last page that this service was given. Send the after of a page that you booked.",
            param="after",
        ) from None
    except ValueError:
        raise _no_cursor() from None
    return shapes.Acknowledged(call.body.after)


def _no_cursor() -> InvalidRequest:
    return InvalidRequest(
        "after is the cursor of a page (its member after), Unix milliseconds, or empty for the start.", param="after"
    )


async def _pid(admin: Administration, call: Call) -> str:
    """The account of the user. Raises `NotFound`."""
    pid = await admin.accounts.pid_of(call.user)
    if pid is None:
        raise NotFound(_NO_ACCOUNT)
    return pid


async def show(admin: Administration, call: Call) -> shapes.AccountShape:
    account, stated = await admin.show(await _pid(admin, call), actor=call.actor)
    return shapes.AccountShape(shapes.Credits.of(account), shapes.EntitlementsShape.of(stated))


async def _check_served(call: Call) -> None:
    """Raises `InvalidRequest` for a plan, model or company that does not exist here: such a mistake would lock people
    out without a message.
    """
    body: shapes.OrganisationBody = call.body
    if not body.tier and not body.models and not body.fallback_companies:
        return
    served = await call.served()
    if body.tier and body.tier not in served.tiers:
        raise InvalidRequest(_NO_PLAN, param="tier")
    for index, name in enumerate(body.models):
        if name not in served.models:
            member = f"models[{index}]"
            raise InvalidRequest(_NO_MODEL, param=member)
    for index, name in enumerate(body.fallback_companies or ()):
        if name not in served.companies:
            member = f"fallback_companies[{index}]"
            raise InvalidRequest(_NO_COMPANY, param=member)


async def _accepted(statement: Awaitable[Stated | None]) -> Stated:
    """The entitlements after a statement. Raises `InvalidRequest` or `Conflict` if it is refused."""
    try:
        found = await statement
    except NotOfItsForm as fault:
        raise InvalidRequest(_NOT_OF_ITS_FORM, param=fault.name) from None
    if found is None:
        raise Conflict(
            "A newer version is stored, or this version with other content. Read it, and send a higher version."
        )
    return found


async def entitle(admin: Administration, call: Call) -> shapes.AccountShape:
    await _check_served(call)
    account, stated = await _accepted(admin.entitle(call.user, call.body.value(), actor=call.actor))
    return shapes.AccountShape(shapes.Credits.of(account), shapes.EntitlementsShape.of(stated))


async def organisation(admin: Administration, call: Call) -> shapes.EntitlementsShape:
    return shapes.EntitlementsShape.of(await admin.organisation(call.org))


async def entitle_organisation(admin: Administration, call: Call) -> shapes.EntitlementsShape:
    await _check_served(call)
    stated = await _accepted(admin.entitle_organisation(call.org, call.body.value(), actor=call.actor))
    return shapes.EntitlementsShape.of(stated)


async def grant(admin: Administration, call: Call) -> shapes.Credits:
    key = call.headers.get("Idempotency-Key", "")
    if not key or len(key) > LONGEST_KEY or not key.isprintable():
        raise InvalidRequest("Send an Idempotency-Key of 1 to 255 characters.", param="Idempotency-Key")
    # Each service has its own keys: another service may use the same ones.
    return shapes.Credits.of(await admin.grant(call.user, call.body.amount, f"{call.actor}\0{key}", actor=call.actor))


async def export(admin: Administration, call: Call) -> PersonExport | PlainText:
    form = call.query.get("format", "json")
    if form not in ("json", "csv"):
        raise InvalidRequest("format is json or csv.", param="format")
    held = await export_account(admin.store, admin.ledger, await _pid(admin, call), actor=call.actor)
    if held is None:
        raise NotFound(_NO_ACCOUNT)
    return PlainText(held.csv(), "text/csv") if form == "csv" else held


async def erase(admin: Administration, call: Call) -> shapes.ErasureShape:
    pid = await _pid(admin, call)
    return shapes.ErasureShape.of(await admin.erase(pid, admin.accounts.names(call.user), actor=call.actor))


async def restrict(admin: Administration, call: Call) -> shapes.Credits:
    account = await admin.restrict(await _pid(admin, call), restricted=call.body.restricted, actor=call.actor)
    if account is None:
        raise NotFound("No credits were ever granted to this user, so there is nothing to restrict.")
    return shapes.Credits.of(account)


async def choose(admin: Administration, call: Call) -> shapes.ChoiceBody:
    chosen: shapes.ChoiceBody = call.body
    pid = await _pid(admin, call)
    try:
        await admin.choose(pid, chosen.value(), actor=call.actor)
    except NotOfItsForm as fault:
        raise InvalidRequest(_NOT_OF_ITS_FORM, param=fault.name) from None
    return chosen


async def rectify(admin: Administration, call: Call) -> UsageRecord:
    stated = {name: value for name, value in msgspec.structs.asdict(call.body).items() if value is not msgspec.UNSET}
    if not stated.keys() - {"rev"}:
        raise InvalidRequest("Name at least one field to correct.")
    if not keys.is_id(call.path["rid"]):
        raise NotFound("This user has no record of that request.")
    pid = await _pid(admin, call)
    try:
        record = await admin.rights.rectify(pid, call.path["rid"], actor=call.actor, **stated)
    except RecordMoved as moved:
        raise Conflict("The record's rank is now rev. Read the record, and correct it again.", rev=moved.rev) from None
    if record is None:
        raise NotFound("This user has no record of that request.")
    return record


async def set_customer(admin: Administration, call: Call) -> shapes.CustomerBody:
    try:
        await admin.set_customer(call.user, call.body.customer, actor=call.actor)
    except ValueError:
        raise InvalidRequest(
            "customer is a Stripe id: cus_ followed by letters and digits.", param="customer"
        ) from None
    return shapes.CustomerBody(call.body.customer)


async def reload(_admin: Administration, call: Call) -> shapes.ReloadShape:
    try:
        done = await call.reload(call.actor)
    except ConfigError as error:
        raise NotReloaded(error.faults) from None
    return shapes.ReloadShape(done.changed, done.needs_restart, done.workers)


async def switches(admin: Administration, _call: Call) -> shapes.SwitchesShape:
    found = await read_switches(admin.store.client)
    return shapes.SwitchesShape(tuple(shapes.SwitchShape(*one) for one in found))


async def switch(admin: Administration, call: Call) -> shapes.SwitchesShape:
    try:
        what = Switchable(call.path["what"])
    except ValueError:
        raise NotFound(_NO_SWITCH) from None
    name = call.path["name"]
    if call.body.off and (what, name) not in (await call.served()).switchable:
        raise NotFound(_NO_SWITCH)
    await admin.switch(what, name, off=call.body.off, actor=call.actor)
    return await switches(admin, call)


_ACCOUNT = "/internal/accounts/{user}"
_ORGANISATION = "/internal/organisations/{org}"
OPERATIONS: tuple[ServiceOperation, ...] = (
    ServiceOperation(
        "GET", "/internal/usage", ServiceScope.USAGE_READ, "Usage records after a cursor, oldest first",
        usage, shapes.UsagePage,
        parameters={
            "after": ("query", "the cursor: after of a page, Unix milliseconds, or nothing for the start", False),
            "limit": ("query", f"records, 1 to {MOST_RECORDS}; 500 if left out", False),
        },
    ),
    ServiceOperation(
        "POST", "/internal/usage/ack", ServiceScope.USAGE_ACK, "Say that every record up to a cursor is booked",
        ack, shapes.Acknowledged, shapes.Ack,
    ),
    ServiceOperation(
        "GET", _ACCOUNT, ServiceScope.ACCOUNTS_READ, "Credits and entitlements of a user",
        show, shapes.AccountShape, errors=(404,),
    ),
    ServiceOperation(
        "PUT", _ACCOUNT, ServiceScope.ACCOUNTS_WRITE, "Set the entitlements of a user",
        entitle, shapes.AccountShape, shapes.EntitlementsBody, (409,),
    ),
    ServiceOperation(
        "DELETE", _ACCOUNT, ServiceScope.RIGHTS_ERASE, "Erase a user's account",
        erase, shapes.ErasureShape, errors=(404,),
    ),
    ServiceOperation(
        "POST", _ACCOUNT + "/grants", ServiceScope.GRANTS_WRITE, "Grant credits, once for each idempotency key",
        grant, shapes.Credits, shapes.GrantBody, (409,),
        {"Idempotency-Key": ("header", "the grant's idempotency key, remembered for 400 days", True)},
    ),
    ServiceOperation(
        "GET", _ACCOUNT + "/export", ServiceScope.RIGHTS_EXPORT, "Everything that is stored about a user",
        export, PersonExport, errors=(404,),
        parameters={"format": ("query", "json (default), or csv for one table", False)},
    ),
    ServiceOperation(
        "PUT", _ACCOUNT + "/restriction", ServiceScope.RIGHTS_RESTRICT,
        "Refuse a user's new requests, or accept them again",
        restrict, shapes.Credits, shapes.RestrictionBody, (404, 409),
    ),
    ServiceOperation(
        "PUT", _ACCOUNT + "/choice", ServiceScope.RIGHTS_CHOOSE,
        "Set a user's choices of mode, region and retention, as the user does in the portal",
        choose, shapes.ChoiceBody, shapes.ChoiceBody, (404, 409),
    ),
    ServiceOperation(
        "POST", _ACCOUNT + "/records/{rid}/corrections", ServiceScope.RIGHTS_RECTIFY,
        "Replace a record with a corrected one",
        rectify, UsageRecord, shapes.CorrectionBody, (404, 409),
    ),
    ServiceOperation(
        "PUT", _ACCOUNT + "/stripe", ServiceScope.ACCOUNTS_WRITE, "Set the Stripe customer who is charged for a user",
        set_customer, shapes.CustomerBody, shapes.CustomerBody,
    ),
    ServiceOperation(
        "GET", _ORGANISATION, ServiceScope.ACCOUNTS_READ, "Entitlements of an organisation; version 0: none were set",
        organisation, shapes.EntitlementsShape,
    ),
    ServiceOperation(
        "PUT", _ORGANISATION, ServiceScope.ACCOUNTS_WRITE, "Set the entitlements of an organisation's accounts",
        entitle_organisation, shapes.EntitlementsShape, shapes.OrganisationBody, (409,),
    ),
    ServiceOperation(
        "GET", "/internal/switches", ServiceScope.SWITCHES_READ, "Providers, models and keys that are switched off",
        switches, shapes.SwitchesShape,
    ),
    ServiceOperation(
        "PUT", "/internal/switches/{what}/{name}", ServiceScope.SWITCHES_WRITE,
        "Switch a provider, model or key off or on",
        switch, shapes.SwitchesShape, shapes.SwitchBody, (404,),
    ),
    ServiceOperation(
        "POST", "/internal/reload", ServiceScope.CONFIG_RELOAD, "Take the present version of gateway.toml",
        reload, shapes.ReloadShape, errors=(409,),
    ),
)  # fmt: skip
