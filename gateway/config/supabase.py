"""``[supabase]``: who signs users in."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from gateway.config.reader import Section, check_url

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
        allow_anonymous: Whether anonymous users of Supabase Auth are accepted. Each anonymous
            sign-in is a new user, with a new account and the limits of its plan.
        min_aal: The lowest assurance that is enough.
    """

    issuer: str
    audience: str = "authenticated"
    jwt_secret: bytes | None = field(default=None, repr=False)
    allow_anonymous: bool = False
    min_aal: Assurance = Assurance.AAL1

    @property
    def jwks_url(self) -> str:
        return f"{self.issuer}/.well-known/jwks.json"


def read_supabase(root: Section) -> SupabaseConfig | None:
    """The table, or ``None`` if there is none."""
    section, usual = root.table("supabase"), SupabaseConfig("")
    url = section.string("url").rstrip("/")
    issuer = section.string("issuer", f"{url}/auth/v1" if url else "").rstrip("/")
    audience = section.string("audience", usual.audience)
    secret = section.string("jwt_secret")
    anonymous = section.boolean("allow_anonymous", usual.allow_anonymous)
    min_aal = section.choice("min_aal", usual.min_aal)
    section.close()
    if not issuer:
        if secret or (audience, anonymous, min_aal) != (usual.audience, usual.allow_anonymous, usual.min_aal):
            section.fault("url", "is missing", "write https://PROJECT.supabase.co, or remove the table")
        return None
    check_url(section, "url" if url else "issuer", issuer)
    if secret and len(secret.encode()) < MINIMUM_SECRET_BYTES:
        section.fault("jwt_secret", "is too short", f"use the project's own, {MINIMUM_SECRET_BYTES} bytes at least")
    return SupabaseConfig(
        issuer=issuer,
        audience=audience,
        jwt_secret=secret.encode() or None,
        allow_anonymous=anonymous,
        min_aal=min_aal,
    )
