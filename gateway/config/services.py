"""What the operator states about the service side: service tokens, retention, webhooks, Stripe.

`gateway.config.billing` makes these from the file and checks every rule that they state. Secrets
never appear in a ``repr``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Scope(StrEnum):
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
    scopes: frozenset[Scope]


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
