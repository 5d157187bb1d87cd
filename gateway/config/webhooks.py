"""``[webhooks]``: the operator's service that receives events."""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as Base64Error
from dataclasses import dataclass, field
from decimal import Decimal

from gateway.config.reader import Section, check_url
from metering.usage import MICRO_CREDITS

SHORTEST_SECRET, LONGEST_SECRET = 24, 64  # bytes, as Standard Webhooks asks


@dataclass(frozen=True, slots=True)
class WebhookConfig:
    """Where events go. ``low_credit`` is in micro-credits; 0 never calls."""

    url: str
    secret: bytes = field(repr=False)
    low_credit: int = 0


def read_webhooks(root: Section, *, needed: bool) -> WebhookConfig | None:
    section = root.table("webhooks")
    url = section.string("url")
    text = section.secret("secret", needed=needed)
    low = section.decimal("low_credit", Decimal(0))
    section.close()
    if not url and not text:
        return None
    check_url(section, "url", url)
    if not text and not needed:
        return None
    if not 0 <= low <= 1_000_000_000:
        section.fault("low_credit", "is out of range", "write credits from 0 to a billion")
        low = Decimal(0)
    secret = _decoded(text)
    if secret is None or not SHORTEST_SECRET <= len(secret) <= LONGEST_SECRET:
        fix = f"write whsec_ and base64 of {SHORTEST_SECRET} to {LONGEST_SECRET} random bytes"
        section.fault("secret", "is not a signing secret", fix)
        return None
    return WebhookConfig(url=url, secret=secret, low_credit=int(low * MICRO_CREDITS))


def _decoded(text: str) -> bytes | None:
    try:
        return b64decode(text.removeprefix("whsec_"), validate=True)
    except (Base64Error, ValueError):
        return None
