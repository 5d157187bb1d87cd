"""The paths of the portal: its pages, the forms that they post and the two assets."""

from __future__ import annotations

from enum import StrEnum

from gateway.oauth.paths import VERIFICATION


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
