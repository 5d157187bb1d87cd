"""``[supabase]`` and ``[portal]``: who signs users in, and where they do it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import urlsplit

from gateway.addresses import is_loopback
from gateway.config.reader import Section

MINIMUM_SECRET_BYTES = 32  # RFC 7518 section 3.2: an HS256 key has the hash's size at least


class Assurance(StrEnum):
    """How surely Supabase Auth knows who signed in: the values of the claim ``aal``."""

    AAL1 = "aal1"  # one factor
    AAL2 = "aal2"  # a second factor as well


@dataclass(frozen=True, slots=True)
class SupabaseConfig:
    """Whose access tokens sign people in, and which people.

    Attributes:
        jwt_secret: The legacy shared secret: if it is set, only HS256 is accepted.
        allow_anonymous: Whether users that Supabase Auth calls anonymous are let in. Whoever signs in anonymously again
            is another user, with a new account and the limits of its plan.
        min_aal: The lowest assurance that is enough.
    """

    issuer: str
    audience: str
    jwt_secret: bytes | None = field(default=None, repr=False)
    allow_anonymous: bool = False
    min_aal: Assurance = Assurance.AAL1

    @property
    def jwks_url(self) -> str:
        return f"{self.issuer}/.well-known/jwks.json"


@dataclass(frozen=True, slots=True)
class PortalConfig:
    """Where people find the portal, and where it sends them to sign in.

    Attributes:
        url: The origin at which people reach the gateway; empty is what the caller's ``Host`` says.
        sign_in_url: Where a person signs in; ``redirect_to`` is added to its query.
    """

    url: str = ""
    sign_in_url: str = ""


def read_supabase(section: Section) -> SupabaseConfig | None:
    """The table, or ``None`` if there is none."""
    url = section.string("url").rstrip("/")
    issuer = section.string("issuer", f"{url}/auth/v1" if url else "").rstrip("/")
    audience = section.string("audience", "authenticated")
    secret = section.string("jwt_secret")
    anonymous = section.boolean("allow_anonymous", False)
    min_aal = section.choice("min_aal", Assurance.AAL1)
    section.close()
    if not issuer:
        if audience != "authenticated" or secret or anonymous or min_aal is not Assurance.AAL1:
            section.fault("url", "is missing", "write https://PROJECT.supabase.co, or remove the table")
        return None
    check_url(section, "url" if url else "issuer", issuer)
    if secret and len(secret.encode()) < MINIMUM_SECRET_BYTES:
        section.fault("jwt_secret", "is too short", f"use the project's own, {MINIMUM_SECRET_BYTES} bytes at least")
    return SupabaseConfig(issuer, audience, secret.encode() or None, anonymous, min_aal)


def read_portal(section: Section, supabase: SupabaseConfig | None) -> PortalConfig:
    origin = section.string("url").rstrip("/")
    sign_in = section.string("sign_in_url")
    section.close()
    if origin and check_url(section, "url", origin) and (origin.count("/") != 2 or "?" in origin):
        section.fault("url", "is not an origin", "write https://HOST, without a path")
    if sign_in:
        check_url(section, "sign_in_url", sign_in)
    elif supabase is not None:
        section.fault("sign_in_url", "is missing", "write the address of your sign-in page, see docs/identity.md")
    return PortalConfig(origin, sign_in)


def check_url(section: Section, key: str, url: str) -> bool:
    """Whether ``url`` is https, or http to this machine, without credentials and fragment. Notes a fault if not."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        good = bool(host) and not parts.username and not parts.fragment and parts.scheme in ("http", "https")
        secure = parts.scheme == "https" or is_loopback(host)
    except ValueError:
        good = secure = False
    if not good:
        section.fault(key, "is not an address", "write https://HOST/PATH")
    elif not secure:
        section.fault(key, "is plain http beyond this machine", "use https")
    return good and secure
