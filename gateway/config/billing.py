"""Reads ``[internal.tokens]``, ``[retention]``, ``[webhooks]`` and ``[stripe]``.

Their secrets are needed by what serves or sends. A command that works on the store alone goes without
those whose environment variable is not set (``needed`` is false then).
"""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as Base64Error
from decimal import Decimal
from urllib.parse import urlsplit

from gateway.addresses import is_loopback
from gateway.config.providers import NAME
from gateway.config.reader import Section
from gateway.config.services import RetentionConfig, Scope, ServiceToken, StripeConfig, WebhookConfig
from metering.accounts.audit import Actor
from metering.pricing import MICRO_CREDITS

SHORTEST_TOKEN = 32
SHORTEST_SECRET, LONGEST_SECRET = 24, 64  # bytes, as Standard Webhooks asks


def read_tokens(section: Section, *, needed: bool) -> tuple[ServiceToken, ...]:
    """The services of ``[internal.tokens.NAME]``."""
    found: list[ServiceToken] = []
    for name, inner in section.tables("tokens"):
        if not NAME.fullmatch(name):
            inner.fault("", "is not a name", "use lower-case letters, digits, - and _, 32 at most")
        if name in set(Actor):
            inner.fault("", "is a name that the audit stream has for somebody else", "choose another")
        secret = inner.secret("token", needed=needed)
        scopes = inner.strings("scopes")
        inner.close()
        if len(set(scopes) - set(Scope)):
            inner.fault("scopes", "holds one that does not exist", "use " + ", ".join(Scope))
        elif not scopes:
            inner.fault("scopes", "is empty", "list what the service may do: " + ", ".join(Scope))
        elif not secret:
            if needed:
                inner.fault("token", "is missing", f"write env:NAME of at least {SHORTEST_TOKEN} random characters")
        elif len(secret) < SHORTEST_TOKEN or not secret.isascii():
            inner.fault("token", "is too short or not ASCII", f"use at least {SHORTEST_TOKEN} random characters")
        else:
            found.append(ServiceToken(name, secret, frozenset(map(Scope, scopes))))
    if len({token.secret for token in found}) < len(found):
        section.fault("tokens", "two services have the same token", "give each its own")
    return tuple(found)


def read_retention(section: Section) -> RetentionConfig:
    usual = RetentionConfig()
    days = section.integer("days", usual.days, 1, 3_650)
    longest = section.integer("longest_days", max(usual.longest_days, days), 1, 3_650)
    section.close()
    if longest < days:
        section.fault("longest_days", "is below days", "raise it to that at least")
    return RetentionConfig(days, longest)


def read_webhooks(section: Section, *, needed: bool) -> WebhookConfig | None:
    url = section.string("url")
    text = section.secret("secret", needed=needed)
    low = section.decimal("low_credit", Decimal(0))
    section.close()
    if not url and not text:
        return None
    if not _is_safe(url):
        section.fault("url", "is not https", "write https://HOST/PATH; http is taken on this machine alone")
    if not text and not needed:
        return None
    if not 0 <= low <= 1_000_000_000:
        section.fault("low_credit", "is out of range", "write credits from 0 to a billion")
        low = Decimal(0)
    secret = _decoded(text)
    if secret is None or not SHORTEST_SECRET <= len(secret) <= LONGEST_SECRET:
        mend = f"write whsec_ and base64 of {SHORTEST_SECRET} to {LONGEST_SECRET} random bytes"
        section.fault("secret", "is not a signing secret", mend)
        return None
    return WebhookConfig(url, secret, int(low * MICRO_CREDITS))


def read_stripe(section: Section, *, needed: bool) -> StripeConfig | None:
    key = section.secret("api_key", needed=needed)
    event = section.string("event_name", StripeConfig("").event_name)
    url = section.string("base_url", StripeConfig("").base_url)
    section.close()
    if len(event) > 100:
        section.fault("event_name", "is too long", "use the meter's event_name, 100 characters at most")
    if not _is_safe(url):
        section.fault("base_url", "is not https", "leave it out; http is taken on this machine alone")
    return StripeConfig(key, event, url) if key else None


def _is_safe(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    if parts.username or parts.password or parts.fragment:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host)))


def _decoded(text: str) -> bytes | None:
    try:
        return b64decode(text.removeprefix("whsec_"), validate=True)
    except (Base64Error, ValueError):
        return None
