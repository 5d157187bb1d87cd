"""``[portal]``: where people reach the portal and sign in."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.config.reader import Section, check_url
from gateway.config.supabase import SupabaseConfig


@dataclass(frozen=True, slots=True)
class PortalConfig:
    """The portal's public address, and the page where people sign in.

    Attributes:
        url: The origin at which people reach the gateway; empty is what the caller's ``Host`` says.
        sign_in_url: Where a person signs in; ``redirect_to`` is added to its query.
    """

    url: str = ""
    sign_in_url: str = ""


def read_portal(root: Section, supabase: SupabaseConfig | None) -> PortalConfig:
    section = root.table("portal")
    origin = section.string("url").rstrip("/")
    sign_in = section.string("sign_in_url")
    section.close()
    if origin and check_url(section, "url", origin) and (origin.count("/") != 2 or "?" in origin):
        section.fault("url", "is not an origin", "write https://HOST, without a path")
    if sign_in:
        check_url(section, "sign_in_url", sign_in)
    elif supabase is not None:
        section.fault("sign_in_url", "is missing", "write the address of your sign-in page, see docs/identity.md")
    return PortalConfig(url=origin, sign_in_url=sign_in)
