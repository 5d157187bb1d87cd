"""Which requests are for the portal's pages: looked up before a path is refused."""

from __future__ import annotations

from typing import Final

from aiohttp import web

PATHS: Final = frozenset({
    "/device",
    "/account",
    "/account/revoke",
    "/account/revoke-all",
    "/account/policy",
    "/account/token",
    "/account/export",
    "/account/delete",
    "/portal/sign-in",
    "/portal/callback",
    "/portal/session",
    "/portal/development",
    "/portal/sign-out",
    "/portal/portal.css",
    "/portal/portal.js",
})  # fmt: skip
_TOKENS: Final = ("Authorization", "x-api-key", "x-goog-api-key")


def is_page(request: web.BaseRequest, path: str) -> bool:
    """``/account`` with a token is the API's, for SDKs whose base URL has no ``/v1``."""
    return path in PATHS and (path != "/account" or not any(name in request.headers for name in _TOKENS))
