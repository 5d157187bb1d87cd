"""The frame of every page of the portal, and the headers that every answer of it has.

Rules:

1. Every value that is not written in this code goes through `esc`.
2. A page loads nothing from another origin and contains no inline style or script: the content security policy allows
   neither.
3. Pages contain data of one person, so they are never cached.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from html import escape
from importlib.resources import files

from aiohttp import web

from gateway.http.answers import SERVER_NAME
from gateway.portal.paths import PagePath
from metering.usage import MICRO_CREDITS

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Server": SERVER_NAME,
    "Content-Security-Policy": POLICY,
    # not no-referrer: a browser would then send "Origin: null" with the portal's forms
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
NOT_KEPT = {"Cache-Control": "no-store"}

_DEVELOPMENT = (
    '<p class="development" role="note"><strong>Development sign-in.</strong> No sign-in service is configured: '
    "anybody on this machine can sign in here.</p>"
)


def esc(text: object) -> str:
    return escape(str(text), quote=True)


def when(at_ms: int) -> str:
    """A time for people and machines."""
    at = datetime.fromtimestamp(at_ms / 1000, UTC)
    return f'<time datetime="{at:%Y-%m-%dT%H:%M:%SZ}">{at.day} {at:%B %Y, %H:%M} UTC</time>'


def amount(micro: int) -> str:
    """Micro-credits as credits, two decimals, never rounded up; integers all the way."""
    cents = abs(micro) * 100 // MICRO_CREDITS
    sign = "\N{MINUS SIGN}" if micro < 0 and cents else ""
    return f"{sign}{cents // 100:,}.{cents % 100:02}"


def hidden(name: str, value: str) -> str:
    return f'<input type="hidden" name="{esc(name)}" value="{esc(value)}">'


def page(
    title: str, main: str, *, development: bool, form_token: str = "", home: PagePath | str = PagePath.ACCOUNT
) -> str:
    """A whole document. ``form_token`` is set where somebody is signed in; the brand leads to ``home``."""
    account = ""
    if form_token:
        account = (
            f'<nav aria-label="Portal"><a href="{PagePath.ACCOUNT}">Account</a> '
            f'<a href="{PagePath.DEVICE}">Connect a device</a>'
            f'<form method="post" action="{PagePath.SIGN_OUT}">{hidden("form_token", form_token)}'
            '<button class="plain">Sign out</button></form></nav>'
        )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" '
        f'content="light dark"><title>{esc(title)} \N{MIDDLE DOT} CodeGrex</title>'
        f'<link rel="stylesheet" href="{PagePath.STYLE}"><script src="{PagePath.SCRIPT}" defer></script></head>'
        '<body><a class="skip" href="#main">Skip to content</a>'
        f"{_DEVELOPMENT if development else ''}"
        f'<header><a class="brand" href="{home}">CodeGrex</a>{account}</header>'
        f'<main id="main" tabindex="-1">{main}</main></body></html>'
    )


def html(text: str, status: int = 200) -> web.Response:
    return web.Response(
        text=text, status=status, content_type="text/html", charset="utf-8", headers={**HEADERS, **NOT_KEPT}
    )


def see_other(location: str) -> web.Response:
    """303: the browser fetches ``location``, so that reloading repeats nothing. ``location`` is local."""
    return web.Response(status=303, headers={**HEADERS, **NOT_KEPT, "Location": location})


@cache
def _asset(name: str) -> bytes:
    return files("gateway.portal").joinpath("assets", name).read_bytes()


def asset(path: PagePath, rid: str) -> web.Response:
    """The style or the script."""
    name = path.rpartition("/")[2]
    kind = "text/css" if name.endswith(".css") else "text/javascript"
    return web.Response(
        body=_asset(name),
        content_type=kind,
        charset="utf-8",
        headers={**HEADERS, "Cache-Control": "max-age=300", "x-request-id": rid},
    )
