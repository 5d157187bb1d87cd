"""The paths of the portal: its pages, the forms that they post and the two assets."""

from __future__ import annotations

from enum import StrEnum

from gateway.oauth.paths import VERIFICATION

LANDING = "/"
"""The page about the gateway itself, which has no portal's session and is there without a portal."""

DOCUMENTS = "/docs/"
"""The documents of this version, by their names below it."""


class PagePath(StrEnum):
    """Every path that the portal answers, exactly as a browser sends it."""

    DEVICE = VERIFICATION
    ACCOUNT = "/account"
    REVOKE = "/account/revoke"
    REVOKE_ALL = "/account/revoke-all"
    POLICY = "/account/policy"
    TOKEN = "/account/token"  # noqa: S105 - a path
    EXPORT = "/account/export"
    DELETE = "/account/delete"
    SIGN_IN = "/portal/sign-in"
    CALLBACK = "/portal/callback"
    SESSION = "/portal/session"
    DEVELOPMENT = "/portal/development"
    SIGN_OUT = "/portal/sign-out"
    STYLE = "/portal/portal.css"
    SCRIPT = "/portal/portal.js"
