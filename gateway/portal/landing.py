"""The page at ``/``, for a person who opens the gateway's address: what this is, and links to everything else.

Rules:

1. It says nothing that needs a token, and reads neither a cookie nor the store.
2. It has the portal's frame and headers, but also exists without a portal.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web

from gateway.addresses import is_loopback, name_of_host
from gateway.config import Config
from gateway.evidence.statement import WELL_KNOWN
from gateway.oauth.paths import METADATA
from gateway.portal import documentation
from gateway.portal.page import esc, html, page
from gateway.portal.paths import LANDING, PagePath

METHODS: Final = ("GET", "HEAD")
_READY: Final = "/readyz"  # of the internal listener


def landing(config: Config, host: str, rid: str, *, portal: bool, draining: bool) -> web.Response:
    """The page.

    Args:
        config: Of this gateway.
        host: The request's ``Host``.
        rid: The request's id.
        portal: Whether people can sign in here.
        draining: Whether this process takes no new requests.
    """
    address = config.own_address(host)
    state = "It is shutting down." if draining else "It is running."
    bases = (
        ("OpenAI's API", f"{address}/v1", "SDKs, Codex, opencode"),
        ("Anthropic's API", address, "SDKs, Claude Code"),
        ("Google's API", address, "SDKs, Gemini CLI"),
    )
    connect = "".join(
        f"<div><dt>{esc(api)} <small>({esc(who)})</small></dt><dd><code>{esc(base)}</code></dd></div>"
        for api, base, who in bases
    )
    links = "".join(
        f'<li><div><a href="{esc(to)}">{esc(name)}</a><span class="quiet">{esc(what)}</span></div></li>'
        for to, name, what in _links(config, host, portal=portal)
    )
    main = (
        "<h1>CodeGrex gateway</h1>"
        "<p>A gateway between AI IDEs, coding agents and model providers. It passes requests on, meters what they use, "
        f"and keeps no prompts, code or answers. {state}</p>"
        '<section class="card" aria-labelledby="connect"><h2 id="connect">Connect a tool</h2>'
        "<p>Change the base URL of the tool or SDK to one of these, and give it an access token of this gateway as its "
        f"API key.</p><dl>{connect}</dl></section>"
        f'<section class="card" aria-labelledby="more"><h2 id="more">More</h2><ul class="rows">{links}</ul></section>'
    )
    response = html(page("Gateway", main, development=False, home=LANDING))
    response.headers["x-request-id"] = rid
    return response


def _links(config: Config, host: str, *, portal: bool) -> list[tuple[str, str, str]]:
    """Address, name and meaning of what else there is."""
    found: list[tuple[str, str, str]] = []
    if portal:
        found += [
            (PagePath.ACCOUNT, "Your account", "Credits, usage, sessions, tokens, export and deletion."),
            (PagePath.DEVICE, "Connect a device", "Enter the code that an IDE or agent shows."),
        ]
    documents = documentation.described()
    if documents is not None:
        found.append(documents)
    found += [
        (WELL_KNOWN, "Privacy statement", "What this gateway does with requests, signed, as JSON."),
        (METADATA, "Sign-in metadata", "How programs sign in (OAuth), as JSON."),
    ]
    internal = config.internal
    # The internal listener is the operator's: only on the machine itself does a link to it lead anywhere.
    if internal.port and is_loopback(internal.host) and is_loopback(name_of_host(host)):
        at = f"[{internal.host}]" if ":" in internal.host else internal.host
        found.append((f"http://{at}:{internal.port}{_READY}", "Health", "Whether this gateway can serve requests."))
    return found
