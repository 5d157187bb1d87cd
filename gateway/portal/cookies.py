"""The portal's signed cookies: a session with an account id, and the state of a running sign-in.

Rules:

1. A cookie is ``<body>.<mac>``; the mac is keyed with the identity key and names its purpose, so that no cookie
   can be used as another one. Nothing about portal sessions is stored.
2. A cookie contains the account's id and the names of the identity map (keyed digests), which an erasure needs, but not
   the user's id. Whether the account still exists is checked in the store (`gateway.portal.portal`).
3. Every form carries the session's form token (a keyed digest of its nonce), compared in constant time.
"""

from __future__ import annotations

import hmac
import re
import secrets
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from gateway.auth.identity import digest
from gateway.portal.paths import PagePath

SESSION_SECONDS = 1_800
SIGN_IN_SECONDS = 600
MOST_COOKIE = 2_048
START = PagePath.ACCOUNT.value
SESSION_COOKIE = "cgx_portal"
SIGN_IN_COOKIE = "cgx_sign_in"
_NEXT = re.compile(rf"{re.escape(PagePath.ACCOUNT)}|{re.escape(PagePath.DEVICE)}(\?user_code=[A-Za-z-]{{0,16}})?")


class PortalSession(msgspec.Struct, frozen=True):
    """Who is signed in. ``expires`` is Unix seconds; ``names`` lead to the account in the identity map."""

    pid: str
    names: tuple[str, ...]
    nonce: str
    expires: int


class SignIn(msgspec.Struct, frozen=True):
    """A sign-in that began here: ``state`` must be returned with the token; then the person continues at ``next``."""

    state: str
    next: str
    expires: int


_Sealed = TypeVar("_Sealed", PortalSession, SignIn)


def _now() -> int:
    return int(time.time())


def new_session(pid: str, names: Sequence[str]) -> PortalSession:
    return PortalSession(pid, tuple(names), secrets.token_hex(16), _now() + SESSION_SECONDS)


def new_sign_in(path: str) -> SignIn:
    """``path`` is the page that the person wanted; a path that is not a page of the portal becomes its first page."""
    return SignIn(secrets.token_hex(16), path if _NEXT.fullmatch(path) else START, _now() + SIGN_IN_SECONDS)


def seal(key: bytes, value: PortalSession | SignIn) -> str:
    """The cookie's text."""
    body = urlsafe_b64encode(msgspec.json.encode(value)).decode().rstrip("=")
    return f"{body}.{digest(key, _purpose(type(value)), body)}"


def open_session(key: bytes, text: str) -> PortalSession | None:
    """The session of a cookie, or ``None`` if it is forged, broken or over."""
    return _open(key, text, PortalSession)


def open_sign_in(key: bytes, text: str) -> SignIn | None:
    """As `open_session`."""
    return _open(key, text, SignIn)


def form_token(key: bytes, session: PortalSession) -> str:
    return digest(key, "portal-form", session.nonce)


def form_token_fits(key: bytes, session: PortalSession, sent: str) -> bool:
    return hmac.compare_digest(form_token(key, session).encode(), sent.encode())


def same(left: str, right: str) -> bool:
    """In constant time."""
    return hmac.compare_digest(left.encode(), right.encode())


def _purpose(kind: type[object]) -> str:
    return f"portal-{kind.__name__}"


def _open(key: bytes, text: str, kind: type[_Sealed]) -> _Sealed | None:
    body, _, mac = text.partition(".")
    if len(text) > MOST_COOKIE or not text.isascii() or not same(digest(key, _purpose(kind), body), mac):
        return None
    try:
        value = msgspec.json.decode(urlsafe_b64decode(body + "=" * (-len(body) % 4)), type=kind)
    except (msgspec.DecodeError, ValueError):
        return None
    return value if value.expires > _now() else None
