"""``/device``: a person lets a device in, or refuses it (RFC 8628 section 3.3)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from aiohttp import web

from gateway.config import DEFAULT_TIER
from gateway.http.proxies import address_of
from gateway.oauth import device
from gateway.oauth.device import GrantState
from gateway.portal import device_page
from gateway.portal.cookies import PortalSession, form_token

if TYPE_CHECKING:
    from gateway.portal.portal import Portal, Visit


async def show(portal: Portal, visit: Visit, session: PortalSession) -> web.Response:
    """Ask for the code, or show what it approves. Wrong, expired and used codes look the same."""
    code = visit.fields.get("user_code", "")
    if not code:
        return portal.html(session, "Connect a device", device_page.enter())
    await _count(portal, visit, session)
    grant = await device.pending(portal.opened.store.client, portal.key, code)
    if grant is None or grant.state is not GrantState.PENDING or grant.expires_ms <= time.time() * 1_000:
        return _wrong(portal, session)
    main = device_page.confirm(code, grant, _title(portal, grant.client_id), form_token(portal.key, session))
    return portal.html(session, "Connect this device?", main)


async def decide(portal: Portal, visit: Visit, session: PortalSession) -> web.Response:
    """Write down what the person chose. Anything but ``approve`` and ``deny`` decides nothing."""
    client, code = portal.opened.store.client, visit.fields.get("user_code", "")
    decision = visit.fields.get("decision", "")
    await _count(portal, visit, session)
    done = False
    if decision == "approve":
        account = await portal.opened.ledger.account(session.pid)
        if account is None:  # erased since the sign-in
            return portal.fault(visit, 403, "Not accepted", "This account no longer exists. Sign in again.")
        done = await device.approve(client, portal.key, code, pid=session.pid, tier=account.tier or DEFAULT_TIER)
    elif decision == "deny":
        done = await device.deny(client, portal.key, code)
    if not done:
        return _wrong(portal, session)
    approved = decision == "approve"
    title = "Device connected" if approved else "Device refused"
    return portal.html(session, title, device_page.decided(approved=approved))


def _title(portal: Portal, client_id: str) -> str:
    """The app's name in the configuration, else its id."""
    client = portal.config.oauth.clients.get(client_id)
    return client.title if client is not None else client_id


async def _count(portal: Portal, visit: Visit, session: PortalSession) -> None:
    """Count an attempt at a user code. Raises `RateLimited`."""
    await portal.attempts.admit(address_of(visit.request, portal.config.server), session.pid)


def _wrong(portal: Portal, session: PortalSession) -> web.Response:
    return portal.html(session, "Connect a device", device_page.enter(device_page.WRONG), 404)
