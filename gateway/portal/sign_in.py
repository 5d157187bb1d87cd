"""Signing in to the portal, and out of it.

``/portal/sign-in`` sets a state in a cookie and sends the browser to the sign-in service with ``redirect_to``. The
service sends it back to ``/portal/callback?state=...#access_token=...``. The callback's script posts the token here.
The state must match the cookie, so that a link cannot sign a person in to another account.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import orjson
from aiohttp import web

from gateway.names import DEVELOPER
from gateway.portal import cookies, page
from gateway.portal.page import esc, hidden
from gateway.portal.paths import PagePath
from gateway.portal.supabase import AnonymousUser, AssuranceTooLow, IssuerAway, NotAllowed, NotSignedIn

if TYPE_CHECKING:
    from gateway.portal.portal import Portal, Visit

_REFUSED = {
    AnonymousUser.code: "Anonymous users cannot use this service. Sign in with an account.",
    AssuranceTooLow.code: "This service needs a second factor. Set one up where you sign in, and sign in with it.",
}


def ask(portal: Portal, visit: Visit, status: int = 200) -> web.Response:
    """The page for somebody who is not signed in."""
    path: str = PagePath.DEVICE if visit.path is PagePath.DEVICE else cookies.START
    if code := visit.fields.get("user_code", ""):
        path = f"{path}?{urlencode({'user_code': code})}"
    if portal.verifier is None:
        action = (
            f'<form method="post" action="{PagePath.DEVELOPMENT}">{hidden("next", path)}'
            '<button class="main">Sign in as the local developer</button></form>'
        )
    else:
        following = esc(quote(path, safe=""))
        action = f'<p><a class="button main" href="{PagePath.SIGN_IN}?next={following}">Sign in</a></p>'
    reason = "to connect your device" if path.startswith(PagePath.DEVICE) else "to see your credits and devices"
    main = f'<section class="card narrow"><h1>Sign in</h1><p>Sign in {reason}.</p>{action}</section>'
    return portal.html(None, "Sign in", main, status)


def begin(portal: Portal, visit: Visit) -> web.Response:
    """Send the browser to the sign-in service."""
    sign_in = cookies.new_sign_in(visit.fields.get("next", ""))
    if portal.verifier is None:
        return page.see_other(sign_in.next)
    url = portal.config.portal.sign_in_url
    back = f"{visit.origin}{PagePath.CALLBACK}?state={sign_in.state}"
    response = page.see_other(f"{url}{'&' if '?' in url else '?'}{urlencode({'redirect_to': back})}")
    sealed = cookies.seal(portal.key, sign_in)
    portal.set_cookie(response, cookies.SIGN_IN_COOKIE, sealed, cookies.SIGN_IN_SECONDS)
    return response


def callback(portal: Portal) -> web.Response:
    """Where the sign-in service sends the browser; its script does the rest."""
    main = (
        '<section class="card narrow"><h1>Signing in</h1>'
        f'<p id="callback" role="status" data-session="{PagePath.SESSION}">One moment.</p>'
        '<noscript><p>This step needs JavaScript.</p></noscript><div id="failed" role="alert" hidden>'
        '<p class="fault">The sign-in did not succeed.</p>'
        f"{_reasons()}"
        f'<p><a href="{PagePath.ACCOUNT}">Try again</a></p></div></section>'
    )
    return portal.html(None, "Signing in", main)


def _reasons() -> str:
    """The texts for refused users; the script shows the one that the answer names."""
    return "".join(f'<p data-reason="{code}" hidden>{esc(text)}</p>' for code, text in _REFUSED.items())


async def finish(portal: Portal, visit: Visit) -> web.Response:
    """``POST /portal/session``: an access token, in the body or as a bearer, becomes the portal's session.

    200 ``{"next": path}``; 401 if the token or the state is not valid; 403 if the policy does not accept the user; 503
    if the issuer's keys cannot be fetched.
    """
    sign_in = cookies.open_sign_in(portal.key, visit.request.cookies.get(portal.cookie(cookies.SIGN_IN_COOKIE), ""))
    if portal.verifier is None or sign_in is None:
        return _json({"error": "sign_in_not_begun"}, 401)
    if not cookies.same(sign_in.state, visit.fields.get("state", "")):
        return _json({"error": "sign_in_not_begun"}, 401)
    scheme, _, bearer = visit.request.headers.get("Authorization", "").partition(" ")
    token = bearer.strip() if scheme.lower() == "bearer" else visit.fields.get("access_token", "")
    try:
        user = await portal.verifier.verify(token)
    except NotAllowed as refused:
        return _json({"error": refused.code}, 403)
    except NotSignedIn:
        return _json({"error": "token_invalid"}, 401)
    except IssuerAway:
        return _json({"error": "issuer_unavailable"}, 503)
    response = _json({"next": sign_in.next}, 200)
    portal.set_cookie(response, cookies.SIGN_IN_COOKIE, "", 0)
    await _sign_in(portal, response, user)
    return response


async def finish_development(portal: Portal, visit: Visit) -> web.Response:
    """Sign in the local user; exists only if no sign-in service is configured, and only for this machine."""
    if not portal.config.development_sign_in:
        return portal.fault(visit, 404, "Not found", "This gateway has no development sign-in.")
    response = page.see_other(cookies.new_sign_in(visit.fields.get("next", "")).next)
    await _sign_in(portal, response, DEVELOPER)
    return response


def end(portal: Portal) -> web.Response:
    response = page.see_other(cookies.START)
    portal.set_cookie(response, cookies.SESSION_COOKIE, "", 0)
    return response


async def _sign_in(portal: Portal, response: web.Response, user: str) -> None:
    pid = await portal.accounts.pid_of(user, create=True)
    assert pid is not None
    await portal.opened.ledger.grant(pid, 0, f"portal:{pid}")  # creates a new account
    session = cookies.new_session(pid, portal.accounts.names(user))
    sealed = cookies.seal(portal.key, session)
    portal.set_cookie(response, cookies.SESSION_COOKIE, sealed, cookies.SESSION_SECONDS)


def _json(body: dict[str, str], status: int) -> web.Response:
    headers = {**page.HEADERS, **page.NOT_KEPT}
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json", headers=headers)
