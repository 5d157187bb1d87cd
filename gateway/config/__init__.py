"""The settings of gateway.toml, as frozen types: one module per table, with its type and reader.

`gateway.config.load` makes a `Config` from a file. Code that holds a `Config` may rely on every rule that the
readers check. Secrets (provider keys, the store's address, the identity key) never appear in a ``repr``.

Rules:

1. A module has one table, and its name: the type, and ``read_TABLE``, which takes the whole file as a
   `gateway.config.reader.Section` and asks for its own table.
2. What holds if nothing is stated is said once, by the type. The reader takes it from there (``usual``), and names
   each value that it hands to the type.
3. The modules of the tables import `gateway.config.reader` and each other, never this package: it is built from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gateway.addresses import is_loopback, name_of_host
from gateway.config.billing import AbortRule, BillingConfig, HoldRule, ShortRule
from gateway.config.clouds import Cloud, CredentialSource, MachineCredentials, ServiceAccount
from gateway.config.hardening import HardeningConfig, HardeningMode
from gateway.config.identity import IdentityConfig
from gateway.config.internal import InternalConfig
from gateway.config.log import LogConfig
from gateway.config.models import Capability, ModelConfig, PriceConfig, TargetConfig
from gateway.config.oauth import OAuthClient, OAuthConfig
from gateway.config.policy import CacheIsolation, PolicyConfig, RefusedTools, SecretsRule, UnknownMembers
from gateway.config.portal import PortalConfig
from gateway.config.providers import OFFICIAL_HOSTS, DataHandling, Endpoint, ProviderConfig, Region
from gateway.config.retention import RetentionConfig
from gateway.config.routing import RoutingConfig
from gateway.config.server import ServerConfig
from gateway.config.store import EMBEDDED, StoreConfig
from gateway.config.stripe import StripeConfig
from gateway.config.supabase import SupabaseConfig
from gateway.config.telemetry import TelemetryConfig
from gateway.config.tiers import DEFAULT_TIER, TierConfig
from gateway.config.webhooks import WebhookConfig

__all__ = [
    "DEFAULT_TIER",
    "EMBEDDED",
    "OFFICIAL_HOSTS",
    "AbortRule",
    "BillingConfig",
    "CacheIsolation",
    "Capability",
    "Cloud",
    "Config",
    "ConfigError",
    "CredentialSource",
    "DataHandling",
    "Endpoint",
    "HardeningConfig",
    "HardeningMode",
    "HoldRule",
    "IdentityConfig",
    "InternalConfig",
    "LogConfig",
    "MachineCredentials",
    "ModelConfig",
    "OAuthClient",
    "OAuthConfig",
    "PolicyConfig",
    "PortalConfig",
    "PriceConfig",
    "ProviderConfig",
    "RefusedTools",
    "Region",
    "RetentionConfig",
    "RoutingConfig",
    "SecretsRule",
    "ServerConfig",
    "ServiceAccount",
    "ShortRule",
    "StoreConfig",
    "StripeConfig",
    "SupabaseConfig",
    "TargetConfig",
    "TelemetryConfig",
    "TierConfig",
    "UnknownMembers",
    "WebhookConfig",
]


class ConfigError(Exception):
    """The configuration cannot be used. ``faults`` holds one line each: ``key: what is wrong; how to fix it``."""

    def __init__(self, faults: tuple[str, ...]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration. ``tiers`` always has `DEFAULT_TIER`; ``models`` may be empty, and then
    the catalog is the published models of the first-party providers.
    """

    path: Path
    providers: Mapping[str, ProviderConfig]
    server: ServerConfig = field(default_factory=ServerConfig)
    internal: InternalConfig = field(default_factory=InternalConfig)
    store: StoreConfig = field(default_factory=StoreConfig)
    models: tuple[ModelConfig, ...] = ()
    tiers: Mapping[str, TierConfig] = field(default_factory=lambda: {DEFAULT_TIER: TierConfig(DEFAULT_TIER)})
    billing: BillingConfig = field(default_factory=BillingConfig)
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    identity: IdentityConfig = field(default_factory=IdentityConfig)
    portal: PortalConfig = field(default_factory=PortalConfig)
    oauth: OAuthConfig = field(default_factory=OAuthConfig)
    retention: RetentionConfig = field(default_factory=RetentionConfig)
    routing: RoutingConfig = field(default_factory=RoutingConfig)
    webhooks: WebhookConfig | None = None
    stripe: StripeConfig | None = None
    log: LogConfig = field(default_factory=LogConfig)
    hardening: HardeningConfig = field(default_factory=HardeningConfig)
    supabase: SupabaseConfig | None = None
    telemetry: TelemetryConfig | None = None

    @property
    def development_sign_in(self) -> bool:
        """Whether the portal signs in a local user: there is no sign-in service, and only this machine connects."""
        server = self.server
        return self.supabase is None and is_loopback(server.host) and not server.behind_tls_proxy

    def own_address(self, host: str) -> str:
        """The gateway's public origin: the configured one, or the one that a caller who named ``host`` reached.

        A value that is not a host is not repeated: the listener's own address is used instead.
        """
        if self.portal.url:
            return self.portal.url
        reached = host if name_of_host(host) else f"{self.server.host}:{self.server.port}"
        return f"{'https' if self.server.over_tls else 'http'}://{reached}"
