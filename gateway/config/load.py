"""From ``gateway.toml`` to a `Config`, or to all of its faults at once.

Everything that can be decided from the file, the environment and the files it names is decided
here, so that no other code checks a setting again. Nothing is written and nothing is connected to.
"""

from __future__ import annotations

import os
import ssl
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from urllib.parse import urlsplit

from gateway.addresses import is_loopback
from gateway.config import (
    DEFAULT_TIER,
    AbortRule,
    BillingConfig,
    CacheIsolation,
    Config,
    ConfigError,
    HardeningConfig,
    HardeningMode,
    HoldRule,
    LogConfig,
    PolicyConfig,
    ProviderConfig,
    SecretsRule,
    ServerConfig,
    StoreConfig,
    TierConfig,
)
from gateway.config.billing import read_retention, read_stripe, read_tokens, read_webhooks
from gateway.config.models import read_models
from gateway.config.oauth import read_identity, read_oauth
from gateway.config.portal import read_portal, read_supabase
from gateway.config.providers import NAME, read_provider
from gateway.config.reader import Faults, Section
from gateway.config.services import InternalConfig
from gateway.names import LOG_LEVELS
from metering.pricing import MICRO_CREDITS
from providers.tools.catalog import DEFAULT_ALLOWED, TOOLS_BY_ID

STORE_SCHEMES = ("redis", "rediss", "redis+cluster", "rediss+cluster", "redis+sentinel", "rediss+sentinel")
MOST_MICRO_CREDITS = 2**53 - 1
SOUGHT = frozenset({"credentials", "personal"})


def load(path: Path, env: Mapping[str, str] | None = None, *, need_keys: bool = True) -> Config:
    """Read and check the file.

    Args:
        path: The file.
        env: For ``env:NAME``; the process's own by default.
        need_keys: False leaves out the keys of providers and services that are not at hand, for work on
            the store alone.

    Raises:
        ConfigError: With every fault of the file, each naming its key and the mend.
    """
    try:
        with path.open("rb") as file:
            table = tomllib.load(file, parse_float=Decimal)
    except FileNotFoundError:
        raise ConfigError((f"{path}: does not exist; copy gateway.example.toml and edit it",)) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError((f"{path}: cannot be read ({reason}); mend the file or its permissions",)) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError((f"{path}: is not valid TOML ({error}); mend that line",)) from None
    return read(table, path, os.environ if env is None else env, need_keys=need_keys)


def read(table: Mapping[str, object], path: Path, env: Mapping[str, str], *, need_keys: bool = True) -> Config:
    """Check a decoded file; ``path`` is where relative paths start from. Raises `ConfigError`."""
    faults = Faults()
    path = path.absolute()
    root = Section(table, "", faults, env, path.parent)
    server = _server(root.table("server"))
    internal = _internal(root.table("internal"), needed=need_keys)
    store = _store(root.table("store"))
    providers = {
        name: provider
        for name, section in root.tables("providers")
        if (provider := read_provider(section, name, need_keys=need_keys)) is not None
    }
    if not root.raw("providers"):
        faults.add("providers", "none is configured", "add a [providers.NAME] table")
    tiers = {DEFAULT_TIER: TierConfig(DEFAULT_TIER)}
    tiers |= {name: _tier(section, name) for name, section in root.tables("tiers")}
    billing = _billing(root.table("billing"))
    models = read_models(root, providers, tiers, billing)
    if not root.has("models") and providers and not any(p.published_prices for p in providers.values()):
        faults.add("models", "is missing, and no provider publishes prices", "add [[models]] with prices")
    policy = _policy(root.table("policy"), providers)
    identity = read_identity(root.table("identity"))
    oauth = read_oauth(root.table("oauth"))
    retention = read_retention(root.table("retention"))
    webhooks = read_webhooks(root.table("webhooks"), needed=need_keys)
    stripe = read_stripe(root.table("stripe"), needed=need_keys)
    log = _log(root.table("log"))
    hardening = _hardening(root.table("hardening"))
    supabase = read_supabase(root.table("supabase"))
    portal = read_portal(root.table("portal"), supabase)
    root.close()
    if faults.lines:
        raise ConfigError(tuple(faults.lines))
    return Config(
        path=path,
        providers=providers,
        server=server,
        internal=internal,
        store=store,
        models=models,
        tiers=tiers,
        billing=billing,
        policy=policy,
        identity=identity,
        portal=portal,
        oauth=oauth,
        retention=retention,
        webhooks=webhooks,
        stripe=stripe,
        log=log,
        hardening=hardening,
        supabase=supabase,
    )


def _server(section: Section) -> ServerConfig:
    usual = ServerConfig()
    data_dir = section.path("data_dir", str(usual.data_dir))
    assert data_dir is not None
    config = ServerConfig(
        host=section.string("host", usual.host),
        port=section.integer("port", usual.port, 0, 65_535),
        workers=section.integer("workers", os.cpu_count() or 1, 1, 1_024),
        data_dir=data_dir,
        max_body_bytes=section.integer("max_body_bytes", usual.max_body_bytes, 1_024),
        max_inflight_body_bytes=section.integer("max_inflight_body_bytes", usual.max_inflight_body_bytes, 1_024),
        tls_cert=section.path("tls_cert"),
        tls_key=section.path("tls_key"),
        behind_tls_proxy=section.boolean("behind_tls_proxy", usual.behind_tls_proxy),
        connect_timeout=section.seconds("connect_timeout", usual.connect_timeout),
        first_byte_timeout=section.seconds("first_byte_timeout", usual.first_byte_timeout),
        idle_timeout=section.seconds("idle_timeout", usual.idle_timeout),
        drain_timeout=section.seconds("drain_timeout", usual.drain_timeout),
    )
    if config.max_inflight_body_bytes < config.max_body_bytes:
        section.fault("max_inflight_body_bytes", "is below max_body_bytes", "raise it to that at least")
    tls = _check_tls(section, config)
    if not (tls or config.behind_tls_proxy or is_loopback(config.host)):
        section.fault(
            "host",
            "serves plain http beyond this machine",
            "give tls_cert and tls_key, or set behind_tls_proxy = true where a proxy ends TLS",
        )
    section.close()
    return config


def _check_tls(section: Section, config: ServerConfig) -> bool:
    files = {"tls_cert": config.tls_cert, "tls_key": config.tls_key}
    if not any(files.values()):
        return False
    complete = True
    for key, file in files.items():
        if file is None:
            section.fault(key, "is missing", "give tls_cert and tls_key, or neither")
            complete = False
        elif not os.access(file, os.R_OK) or not file.is_file():
            section.fault(key, "is not a readable file", "mend the path or its permissions")
            complete = False
    if complete and config.tls_cert is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:  # the password callback keeps OpenSSL from asking on the terminal
            context.load_cert_chain(config.tls_cert, config.tls_key, password=lambda: "")
        except (ssl.SSLError, ValueError):
            section.fault("tls_key", "does not belong to tls_cert", "give a PEM chain and its unencrypted key")
    return True


def _internal(section: Section, *, needed: bool) -> InternalConfig:
    usual = InternalConfig()
    config = InternalConfig(
        section.string("host", usual.host),
        section.integer("port", usual.port, 0, 65_535),
        read_tokens(section, needed=needed),
    )
    section.close()
    return config


def _store(section: Section) -> StoreConfig:
    config = StoreConfig(section.string("url", StoreConfig().url), section.integer("replicas", 0, 0, 5))
    section.close()
    if config.url == "embedded:":
        if config.replicas:
            section.fault("replicas", "is for a store of your own", "leave it out: the embedded store has none")
        return config
    mend = 'write "embedded:", or SCHEME://HOST:PORT with SCHEME one of ' + ", ".join(STORE_SCHEMES)
    try:
        parts = urlsplit(config.url)
        known = parts.scheme in STORE_SCHEMES and bool(parts.hostname)
    except ValueError:
        known = False
    if not known:
        section.fault("url", "is not the address of a store", mend)
    return config


def _tier(section: Section, name: str) -> TierConfig:
    if not NAME.fullmatch(name):
        section.fault("", "is not a name", "use lower-case letters, digits, - and _, 32 at most")
    tier = TierConfig(
        name,
        section.integer("requests_per_minute", 0, 0),
        section.integer("tokens_per_minute", 0, 0),
        section.integer("concurrent", 0, 0),
        _credits(section, "daily_credits"),
        _credits(section, "monthly_credits"),
    )
    section.close()
    return tier


def _credits(section: Section, key: str) -> int:
    """Credits of the file as micro-credits."""
    amount = section.decimal(key, Decimal(0)) * MICRO_CREDITS
    if amount < 0 or amount > MOST_MICRO_CREDITS or amount % 1:
        section.fault(key, "is no amount of credits", "write credits, 0 for no limit, with 6 decimals at most")
        return 0
    return int(amount)


def _billing(section: Section) -> BillingConfig:
    usual = BillingConfig()
    credit = section.decimal("credit_usd", usual.credit_usd)
    if not Decimal("0.000001") <= credit <= 1_000:
        section.fault("credit_usd", "is out of range", "write USD from 0.000001 to 1000; 0.01 is usual")
        credit = usual.credit_usd
    markup = section.decimal("markup", Decimal(0))
    if not -1 <= markup <= 10:
        section.fault("markup", "is out of range", "write 0.2 for 20 percent on top; -1 to 10")
        markup = Decimal(0)
    config = BillingConfig(
        credit,
        section.choice("hold", HoldRule.LEARNT),
        1 + Fraction(markup),
        section.choice("abort", AbortRule.PRODUCED),
    )
    section.close()
    return config


def _policy(section: Section, providers: Mapping[str, ProviderConfig]) -> PolicyConfig:
    tools = DEFAULT_ALLOWED
    if section.has("server_tools"):
        tools = frozenset(section.strings("server_tools"))
        if unknown := len(tools - TOOLS_BY_ID.keys()):
            section.fault("server_tools", f"{unknown} of them do not exist", "see gateway.example.toml for the list")
    isolation = section.choice("cache_isolation", CacheIsolation.SHARED)
    if isolation is CacheIsolation.ACCOUNT:
        for provider in providers.values():
            if not provider.separates_caches:
                section.fault(
                    "cache_isolation",
                    f"the provider {provider.name} ({provider.family}) has no key that separates accounts in its cache",
                    "leave that provider out, or accept the shared cache",
                )
    sought = frozenset(section.strings("sought")) if section.has("sought") else SOUGHT
    if sought - SOUGHT or not sought:
        section.fault("sought", "names what is not looked for", "write some of " + ", ".join(sorted(SOUGHT)))
    config = PolicyConfig(tools, isolation, section.choice("secrets", SecretsRule.OFF), sought)
    section.close()
    return config


def _log(section: Section) -> LogConfig:
    level = section.string("level", "info")
    if level not in LOG_LEVELS:
        section.fault("level", "is not a level", "write one of " + ", ".join(LOG_LEVELS))
    config = LogConfig(level, section.path("file"), section.integer("keep_days", LogConfig().keep_days, 1, 3_650))
    section.close()
    return config


def _hardening(section: Section) -> HardeningConfig:
    config = HardeningConfig(section.choice("mode", HardeningMode.ENFORCE))
    section.close()
    return config
