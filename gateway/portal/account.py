"""``/account``: the page of the signed-in account and its acts. Every act applies only to that account."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import orjson
from aiohttp import web

from gateway.accounts.export import export_account
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
    opened, pid = portal.opened, session.pid
    account = await opened.ledger.account(pid)
    if account is None:  # erased since the sign-in
        return end(portal)
    since = now_ms() - chart.DAYS * DAY_MS
    records = [record async for record in read_usage(opened.store, pid=pid, since_ms=since)]
    main = account_page.account_page(
        account,
        chart.usage(records, datetime.now(UTC).date()),
        await _live(portal, pid),
        await choice.read(opened.store.client, pid),
        token=form_token(portal.key, session),
        done=visit.fields.get("done", ""),
    )
    return portal.html(session, "Account", main)


async def _live(portal: Portal, pid: str) -> list[Session]:
    """The sessions that still work, newest first."""
    now = now_ms()
    held = await sessions.of_account(portal.opened.store.client, pid)
    live = [session for session in held if session.revoked_ms is None and session.expires_ms > now]
    return sorted(live, key=lambda session: -session.created_ms)


async def _revoke(portal: Portal, visit: Visit, session: PortalSession) -> web.Response:
    # Compared here: a form's text is not sent to the store as a key, since its slow log could keep it.
    held = await sessions.of_account(portal.opened.store.client, session.pid)
    found = next((one for one in held if one.sid == visit.fields.get("sid")), None)
    if found is None:  # another account's looks the same
        return portal.fault(visit, 404, "Not found", "This session no longer exists.")
    await revocation.revoke(portal.opened.store, found.sid, actor=Actor.PORTAL, journal=portal.opened.journal)
    return page.see_other(f"{PagePath.ACCOUNT}?done=revoked#sessions")


async def _revoke_all(portal: Portal, _visit: Visit, session: PortalSession) -> web.Response:
    opened = portal.opened
    await revocation.revoke_all(opened.store, session.pid, actor=Actor.PORTAL, journal=opened.journal)
    return page.see_other(f"{PagePath.ACCOUNT}?done=all-revoked#sessions")


async def _token(portal: Portal, visit: Visit, session: PortalSession) -> web.Response:
    name, days = visit.fields.get("name", "").strip(), visit.fields.get("days", "")
    if days not in account_page.TOKEN_LIVES:
        return portal.fault(visit, 400, "Not accepted", "Choose one of the listed times.")
    opened = portal.opened
    try:
        issued = await personal.create(
            opened.store,
            opened.key,
            pid=session.pid,
            name=name,
            scopes=(Scope.INFERENCE, Scope.MODELS),
            life_s=int(days) * DAY_SECONDS,
        )
    except personal.InvalidToken as invalid:
        return portal.fault(visit, 400, "Not accepted", str(invalid))
    return portal.html(session, "Access token", account_page.token_made(issued.access_token, name))


async def _policy(portal: Portal, visit: Visit, session: PortalSession) -> web.Response:
    mode, region, days = (visit.fields.get(name, "") for name in ("mode", "region", "retention"))
    if mode not in account_page.MODES or region not in account_page.REGIONS or days not in account_page.RETENTIONS:
        return portal.fault(visit, 400, "Not accepted", "Choose from the listed modes, regions and times.")
    chosen = choice.Choice(mode, region, int(days) if days else None)
    await portal.administration.choose(session.pid, chosen, actor=Actor.PORTAL)
    return page.see_other(f"{PagePath.ACCOUNT}?done=policy#policy")


async def _export(portal: Portal, visit: Visit, session: PortalSession) -> web.Response:
    held = await export_account(portal.opened.store, portal.opened.ledger, session.pid, actor=Actor.PORTAL)
    if held is None:
        return end(portal)
    if visit.fields.get("form") == "csv":
        body, kind, name = held.usage_csv().encode(), "text/csv", "codegrex-usage.csv"
    else:
        body, kind, name = orjson.dumps(held.json()), "application/json", "codegrex-account.json"
    headers = {**page.HEADERS, **page.NOT_KEPT, "Content-Disposition": f'attachment; filename="{name}"'}
    return web.Response(body=body, content_type=kind, headers=headers)


async def _delete(portal: Portal, visit: Visit, session: PortalSession) -> web.Response:
    if visit.fields.get("confirm") != "delete":
        return portal.fault(visit, 400, "Not deleted", "Type the word delete to confirm.")
    await portal.administration.erase(session.pid, session.names, actor=Actor.PORTAL)
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
