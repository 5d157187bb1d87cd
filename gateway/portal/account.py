"""``/account``: what the owner of an account sees and may do. Every act is on the signed-in account alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import orjson
from aiohttp import web

from gateway.accounts.webhooks import WebhookEvent
from gateway.auth import choice, revocation, sessions
from gateway.auth.principal import Scope
from gateway.auth.sessions import Session
from gateway.portal import account_page, chart, page, personal
from gateway.portal.cookies import PortalSession, form_token
from gateway.portal.paths import PagePath
from gateway.portal.sign_in import end
from metering.accounts.audit import Actor
from metering.clock import DAY_MS, DAY_SECONDS, now_ms
from metering.reading.reader import read_usage

if TYPE_CHECKING:
    from gateway.portal.portal import Portal, Visit


async def show(portal: Portal, visit: Visit, session: PortalSession) -> web.Response:
    services, pid = portal.services, session.pid
    account = await services.ledger.account(pid)
    if account is None:  # erased since the sign-in
        return end(portal)
    since = now_ms() - chart.DAYS * DAY_MS
    records = [record async for record in read_usage(services.store, pid=pid, since_ms=since)]
    main = account_page.account_page(
        account,
        chart.usage(records, datetime.now(UTC).date()),
        await _live(portal, pid),
        await choice.read(services.store.client, pid),
        token=form_token(portal.key, session),
        done=visit.fields.get("done", ""),
    )
    return portal.html(session, "Account", main)


async def _live(portal: Portal, pid: str) -> list[Session]:
    """The sessions that still work, newest first."""
    now = now_ms()
    held = await sessions.of_account(portal.services.store.client, pid)
    live = [session for session in held if session.revoked_ms is None and session.expires_ms > now]
    return sorted(live, key=lambda session: -session.created_ms)


async def _revoke(portal: Portal, visit: Visit, session: PortalSession) -> web.Response:
    # Compared here: what a form holds is no key that the store is asked for, and could be in its slow log.
    held = await sessions.of_account(portal.services.store.client, session.pid)
    found = next((one for one in held if one.sid == visit.fields.get("sid")), None)
    if found is None:  # another account's looks the same
        return portal.fault(visit, 404, "Not found", "This session is not there any more.")
    await revocation.revoke(portal.services.store, found.sid, actor=Actor.PORTAL, journal=portal.services.spool)
    return page.see_other(f"{PagePath.ACCOUNT}?done=revoked#sessions")


async def _end_all(portal: Portal, pid: str) -> None:
    services = portal.services
    await revocation.revoke_all(services.store, pid, actor=Actor.PORTAL, journal=services.spool)


async def _revoke_all(portal: Portal, _visit: Visit, session: PortalSession) -> web.Response:
    await _end_all(portal, session.pid)
    return page.see_other(f"{PagePath.ACCOUNT}?done=all-revoked#sessions")


async def _token(portal: Portal, visit: Visit, session: PortalSession) -> web.Response:
    name, days = visit.fields.get("name", "").strip(), visit.fields.get("days", "")
    if days not in account_page.TOKEN_LIVES:
        return portal.fault(visit, 400, "Not accepted", "Choose one of the times of the page.")
    services = portal.services
    try:
        issued = await personal.create(
            services.store,
            services.identity_key,
            pid=session.pid,
            name=name,
            scopes=(Scope.INFERENCE, Scope.MODELS),
            life_s=int(days) * DAY_SECONDS,
        )
    except personal.InvalidToken as invalid:
        return portal.fault(visit, 400, "Not accepted", str(invalid))
    return portal.html(session, "Access token", account_page.token_made(issued.access_token, name))


async def _policy(portal: Portal, visit: Visit, session: PortalSession) -> web.Response:
    mode, region = visit.fields.get("mode", ""), visit.fields.get("region", "")
    if mode not in account_page.MODES or region not in account_page.REGIONS:
        return portal.fault(visit, 400, "Not accepted", "Choose one of the modes and regions of the page.")
    await choice.write(portal.services.store, session.pid, choice.Choice(mode, region))
    return page.see_other(f"{PagePath.ACCOUNT}?done=policy#policy")


async def _export(portal: Portal, visit: Visit, session: PortalSession) -> web.Response:
    export = await portal.rights.export(session.pid, actor=Actor.PORTAL)
    if export is None:
        return end(portal)
    if visit.fields.get("form") == "csv":
        body, kind, name = export.csv().encode(), "text/csv", "codegrex-usage.csv"
    else:
        held = await sessions.of_account(portal.services.store.client, session.pid)
        document = {**export.json(), "sessions": [dataclasses.asdict(one) for one in held]}
        body, kind, name = orjson.dumps(document), "application/json", "codegrex-account.json"
    headers = {**page.HEADERS, **page.NOT_KEPT, "Content-Disposition": f'attachment; filename="{name}"'}
    return web.Response(body=body, content_type=kind, headers=headers)


async def _delete(portal: Portal, visit: Visit, session: PortalSession) -> web.Response:
    if visit.fields.get("confirm") != "delete":
        return portal.fault(visit, 400, "Not deleted", "Type the word delete to confirm.")
    await _end_all(portal, session.pid)
    await portal.rights.erase_known(session.pid, session.names, actor=Actor.PORTAL)
    portal.services.webhooks.emit(WebhookEvent.ACCOUNT_ERASED, session.pid)
    return end(portal)


Act = Callable[["Portal", "Visit", PortalSession], Awaitable[web.Response]]
ACTS: Final[Mapping[PagePath, Act]] = {
    PagePath.REVOKE: _revoke,
    PagePath.REVOKE_ALL: _revoke_all,
    PagePath.POLICY: _policy,
    PagePath.TOKEN: _token,
    PagePath.EXPORT: _export,
    PagePath.DELETE: _delete,
}
