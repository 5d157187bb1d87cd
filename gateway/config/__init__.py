"""What the operator states, as frozen types. `gateway.config.load.load` is the only way to make one
from a file; whatever holds a `Config` may rely on every rule that the loader checks. Secrets (provider
keys, the store's address, the identity key) never appear in a ``repr``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from pathlib import Path

from gateway.addresses import is_loopback
from gateway.config.oauth_settings import OAuthConfig
from gateway.config.portal import PortalConfig, SupabaseConfig
from gateway.config.services import InternalConfig, RetentionConfig, StripeConfig, WebhookConfig
from gateway.names import Closed
from metering.pricing import Row
from providers.dialect import Family

EMBEDDED = "embedded:"  # the store.url of the store in the data directory
DEFAULT_TIER = "default"


class ConfigError(Exception):
    """The configuration cannot be used. ``faults`` holds one line each: ``key: what; the mend``."""

    def __init__(self, faults: tuple[str, ...]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class Region(StrEnum):
    """Where a provider processes what it is sent, as the operator states it."""

    GLOBAL = "global"
    US = "us"
    EU = "eu"
    UK = "uk"
    CH = "ch"
    CA = "ca"
    BR = "br"
    IN = "in"
    JP = "jp"
    KR = "kr"
    SG = "sg"
    AU = "au"
    LOCAL = "local"  # on the operator's own machines


class HoldRule(StrEnum):
    LEARNT = "learnt"  # the smaller of the request's limit and the model's usual output
    WORST = "worst"  # the request's limit or the model's, at the dearest rate


class SecretsRule(StrEnum):
    """What happens to a request in which a secret was found."""

    OFF = "off"  # nothing is looked for
    BLOCK = "block"  # it is refused
    MASK = "mask"  # a placeholder goes to the provider and comes back
    RESTORE = "restore"  # the placeholder goes; the caller gets the secret back in the answer


class AbortRule(StrEnum):
    """What a stream that was cut charges; its cost is recorded all the same."""

    PRODUCED = "produced"  # the input and what was produced
    INPUT = "input"
    NOTHING = "nothing"


class HardeningMode(StrEnum):
    """Whether processes give nothing away (see `gateway.hardening.process`)."""

    ENFORCE = "enforce"  # whatever the kernel has of it
    OFF = "off"  # for development: debuggers attach, cores are written


class CacheIsolation(StrEnum):
    """Whether accounts share what the provider caches of prompts under the operator's key."""

    SHARED = "shared"
    ACCOUNT = "account"


# The hosts of the APIs' own makers and the regions that they keep a request in; any other is a promise that nobody
# keeps. https://developers.openai.com/api/docs/guides/data-residency (a host a region),
# https://platform.claude.com/docs/en/manage-claude/data-residency (inference_geo is "us" or "global").
_OPENAI_PREFIXES = {"": Region.GLOBAL, "us.": Region.US, "eu.": Region.EU}
OFFICIAL_HOSTS: Mapping[Family, Mapping[str, tuple[Region, ...]]] = {
    Family.OPENAI: {f"{prefix}api.openai.com": (region,) for prefix, region in _OPENAI_PREFIXES.items()},
    Family.ANTHROPIC: {"api.anthropic.com": (Region.GLOBAL, Region.US)},
    Family.GOOGLE: {"generativelanguage.googleapis.com": (Region.GLOBAL,)},
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An origin to connect to and the path prefix before the API's own version segment."""

    tls: bool
    host: str
    port: int
    prefix: str = ""

    def __str__(self) -> str:
        scheme, usual = ("https", 443) if self.tls else ("http", 80)
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == usual else f":{self.port}"
        return f"{scheme}://{host}{port}{self.prefix}"


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """The public listener. Times are seconds, sizes bytes; a port of 0 takes any free one."""

    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 1
    data_dir: Path = Path("data")
    max_body_bytes: int = 32 << 20
    max_inflight_body_bytes: int = 1 << 30  # request bodies held by one worker at once
    tls_cert: Path | None = None
    tls_key: Path | None = None
    behind_tls_proxy: bool = False
    connect_timeout: float = 5.0
    first_byte_timeout: float = 600.0
    idle_timeout: float = 300.0
    drain_timeout: float = 600.0


@dataclass(frozen=True, slots=True)
class StoreConfig:
    url: str = field(default=EMBEDDED, repr=False)
    replicas: int = 0  # that must hold a grant, an erasure or a revocation before it is answered


@dataclass(frozen=True, slots=True)
class ProviderConfig:
    """A provider, and what the operator states about what it does with what it is sent.

    Attributes:
        name: The closed name in records and in ``x-provider``.
        family: Whose API it speaks; the setting ``kind``.
        company: Who runs it: a fallback to another company needs the account's permission.
        store: The host knows OpenAI's ``store`` member.
        include_usage: The host knows ``stream_options.include_usage``.
        retention_days: How long it keeps prompts and answers; 0 is not at all.
        training: Whether it trains on them.
    """

    name: Closed
    family: Family
    endpoint: Endpoint
    api_keys: tuple[str, ...] = field(repr=False)
    retention_days: int
    training: bool
    region: Region
    company: str
    ca_file: Path | None = None
    store: bool = True
    include_usage: bool = True

    @property
    def separates_caches(self) -> bool:
        """Whether requests can carry a key that keeps accounts apart in its prompt cache (``prompt_cache_key``)."""
        return self.family is Family.OPENAI and self.first_party

    @property
    def first_party(self) -> bool:
        """The API's own maker, or something on this machine that stands in for it."""
        return self.endpoint.host in OFFICIAL_HOSTS[self.family] or is_loopback(self.endpoint.host)

    @property
    def published_prices(self) -> bool:
        """They hold at the maker's usual host alone: OpenAI's regional ones cost more for some models."""
        regional = self.family is Family.OPENAI and self.endpoint.host.startswith(("eu.", "us."))
        return self.first_party and not regional


@dataclass(frozen=True, slots=True)
class PriceConfig:
    """Stated USD prices, see `metering.pricing.build`."""

    row: Row
    variants: Mapping[str, Row | Fraction] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TargetConfig:
    """One place that serves a model. Without a price the published one holds, if there is one."""

    provider: str
    model: str
    price: PriceConfig | None = None


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """A model as clients name it; ``tiers`` empty means every tier may use it."""

    name: str
    targets: tuple[TargetConfig, ...]
    aliases: tuple[str, ...] = ()
    tiers: frozenset[str] = frozenset()
    reasoning: bool | None = None
    max_output: int | None = None
    context_window: int | None = None


@dataclass(frozen=True, slots=True)
class TierConfig:
    """The limits of a plan; 0 is none. Credits are micro-credits here, and days and months are of UTC."""

    name: str
    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    concurrent: int = 0
    daily_credits: int = 0
    monthly_credits: int = 0


@dataclass(frozen=True, slots=True)
class BillingConfig:
    """How usage becomes credits. ``markup`` is a factor here: 0.2 in the file is 6/5."""

    credit_usd: Decimal = Decimal("0.01")
    hold: HoldRule = HoldRule.LEARNT
    markup: Fraction = Fraction(1)
    abort: AbortRule = AbortRule.PRODUCED


@dataclass(frozen=True, slots=True)
class PolicyConfig:
    """``secrets``: what happens to the credentials and personal data (``sought``) found in a prompt."""

    server_tools: frozenset[str] = frozenset()
    cache_isolation: CacheIsolation = CacheIsolation.SHARED
    secrets: SecretsRule = SecretsRule.OFF
    sought: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class IdentityConfig:
    """The key of the digests of users and tokens; ``None`` is the key file in the data directory."""

    key: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class LogConfig:
    level: str = "info"
    file: Path | None = None  # None is standard error
    keep_days: int = 14  # of the log file, which is rotated daily


@dataclass(frozen=True, slots=True)
class HardeningConfig:
    mode: HardeningMode = HardeningMode.ENFORCE


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
    webhooks: WebhookConfig | None = None
    stripe: StripeConfig | None = None
    log: LogConfig = field(default_factory=LogConfig)
    hardening: HardeningConfig = field(default_factory=HardeningConfig)
    supabase: SupabaseConfig | None = None

    @property
    def development_sign_in(self) -> bool:
        """No sign-in service, on this machine alone: the portal signs in a local user."""
        server = self.server
        return self.supabase is None and is_loopback(server.host) and not server.behind_tls_proxy
