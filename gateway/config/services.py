"""``[internal]``, ``[retention]``, ``[webhooks]`` and ``[stripe]``: the services around the gateway.

Their secrets never appear in a ``repr``, and are needed by what serves or sends. A command that works on the store
only goes without those whose environment variable is not set (``needed`` is false then).
"""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as Base64Error
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from urllib.parse import urlsplit

from gateway.addresses import is_loopback
from gateway.config.reader import Section, check_name
from metering.accounts.audit import Actor
from metering.usage import MICRO_CREDITS

SHORTEST_TOKEN = 32
SHORTEST_SECRET, LONGEST_SECRET = 24, 64  # bytes, as Standard Webhooks asks


class ServiceScope(StrEnum):
    """What a service token may do on the internal listener."""

    USAGE_READ = "usage:read"
    USAGE_ACK = "usage:ack"
    ACCOUNTS_READ = "accounts:read"
    ACCOUNTS_WRITE = "accounts:write"
    GRANTS_WRITE = "grants:write"
    TOKENS_INTROSPECT = "tokens:introspect"
    RIGHTS_EXPORT = "rights:export"
    RIGHTS_ERASE = "rights:erase"
    RIGHTS_RESTRICT = "rights:restrict"
    RIGHTS_RECTIFY = "rights:rectify"


@dataclass(frozen=True, slots=True)
class ServiceToken:
    """A service that may call the internal API. ``name`` stands in the audit stream, and is the name of
    its place in the usage records.
    """

    name: str
    secret: str = field(repr=False)
    scopes: frozenset[ServiceScope]


@dataclass(frozen=True, slots=True)
class InternalConfig:
    """The listener for health, metrics and the services of ``tokens``."""

    host: str = "127.0.0.1"
    port: int = 9090
    tokens: tuple[ServiceToken, ...] = ()


@dataclass(frozen=True, slots=True)
class RetentionConfig:
    """Days that usage records are kept; ``longest_days`` is where waiting for billing ends."""

    days: int = 90
    longest_days: int = 120


@dataclass(frozen=True, slots=True)
class WebhookConfig:
    """Where events go. ``low_credit`` is in micro-credits; 0 never calls."""

    url: str
    secret: bytes = field(repr=False)
    low_credit: int = 0


@dataclass(frozen=True, slots=True)
class StripeConfig:
    """The meter that charges are sent to, in micro-credits."""

    api_key: str = field(repr=False)
    event_name: str = "codegrex_micro_credits"
    base_url: str = "https://api.stripe.com"


def read_internal(section: Section, *, needed: bool) -> InternalConfig:
    usual = InternalConfig()
    config = InternalConfig(
        section.string("host", usual.host),
        section.integer("port", usual.port, 0, 65_535),
        _tokens(section, needed=needed),
    )
    section.close()
    return config


def _tokens(section: Section, *, needed: bool) -> tuple[ServiceToken, ...]:
    """The services of ``[internal.tokens.NAME]``."""
    found: list[ServiceToken] = []
    for name, inner in section.tables("tokens"):
        check_name(inner, name)
        if name in set(Actor):
            inner.fault("", "is a name that the audit stream has for somebody else", "choose another")
        secret = inner.secret("token", needed=needed)
        scopes = inner.strings("scopes")
        inner.close()
        if len(set(scopes) - set(ServiceScope)):
            inner.fault("scopes", "holds one that does not exist", "use " + ", ".join(ServiceScope))
        elif not scopes:
            inner.fault("scopes", "is empty", "list what the service may do: " + ", ".join(ServiceScope))
        elif not secret:
            if needed:
                inner.fault("token", "is missing", f"write env:NAME of at least {SHORTEST_TOKEN} random characters")
        elif len(secret) < SHORTEST_TOKEN or not secret.isascii():
            inner.fault("token", "is too short or not ASCII", f"use at least {SHORTEST_TOKEN} random characters")
        else:
            found.append(ServiceToken(name, secret, frozenset(map(ServiceScope, scopes))))
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
        section.fault("url", "is not https", "write https://HOST/PATH; http is accepted only on this machine")
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
    return WebhookConfig(url, secret, int(low * MICRO_CREDITS))


def read_stripe(section: Section, *, needed: bool) -> StripeConfig | None:
    key = section.secret("api_key", needed=needed)
    event = section.string("event_name", StripeConfig("").event_name)
    url = section.string("base_url", StripeConfig("").base_url)
    section.close()
    if len(event) > 100:
        section.fault("event_name", "is too long", "use the meter's event_name, 100 characters at most")
    if not _is_safe(url):
        section.fault("base_url", "is not https", "leave it out; http is accepted only on this machine")
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
