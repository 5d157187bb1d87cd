"""``[policy]``: what requests may ask of a provider, and what happens to secrets in prompts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from gateway.config.providers import MOST_RETENTION_DAYS, ProviderConfig
from gateway.config.reader import Section
from providers.tools.catalog import DEFAULT_ALLOWED, TOOLS_BY_ID

SOUGHT = frozenset({"credentials", "personal"})


class SecretsRule(StrEnum):
    """What happens to a request in which a secret was found."""

    OFF = "off"  # nothing is looked for
    BLOCK = "block"  # it is refused
    MASK = "mask"  # a placeholder is sent to the provider and comes back
    RESTORE = "restore"  # a placeholder is sent; the caller gets the secret back in the answer


class CacheIsolation(StrEnum):
    """Whether accounts share what the provider caches of prompts under the operator's key."""

    SHARED = "shared"
    ACCOUNT = "account"
    NONE = "none"  # nothing of a prompt is cached


class UnknownMembers(StrEnum):
    """What happens to strings and objects of a request that no table of members knows, and to unknown betas."""

    PASS = "pass"  # noqa: S105 - they reach the provider
    STRIP = "strip"  # they are removed, and the answer says how many
    REFUSE = "refuse"  # the request is


class RefusedTools(StrEnum):
    """What happens to a tool that runs at the provider and that ``server_tools`` does not list."""

    STRIP = "strip"  # it is removed unless the request requires it, and the answer names it
    REFUSE = "refuse"  # the request is refused


@dataclass(frozen=True, slots=True)
class PolicyConfig:
    """What requests may ask for.

    Attributes:
        server_tools: Tools that may run at a provider.
        server_tools_refuse: What happens to the others.
        unknown_members: What happens to unknown members.
        extended_prompt_cache: Prompts may stay in a provider's cache for hours, if a request asks for it.
        max_retention_days: For how long a provider may keep requests; ``None`` means no limit.
        cache_isolation: Whether accounts share a provider's prompt cache.
        secrets: What happens to the credentials and personal data (``sought``) found in a prompt.
    """

    server_tools: frozenset[str] = DEFAULT_ALLOWED
    server_tools_refuse: RefusedTools = RefusedTools.STRIP
    unknown_members: UnknownMembers = UnknownMembers.STRIP
    extended_prompt_cache: bool = False
    max_retention_days: int | None = None
    cache_isolation: CacheIsolation = CacheIsolation.SHARED
    secrets: SecretsRule = SecretsRule.OFF
    sought: frozenset[str] = SOUGHT


def read_policy(root: Section, providers: Mapping[str, ProviderConfig]) -> PolicyConfig:
    section, usual = root.table("policy"), PolicyConfig()
    tools = usual.server_tools
    if section.has("server_tools"):
        tools = frozenset(section.strings("server_tools"))
        if unknown := len(tools - TOOLS_BY_ID.keys()):
            section.fault(
                "server_tools",
                f"{unknown} of the names do not exist",
                "write some of " + ", ".join(sorted(TOOLS_BY_ID)),
            )
    isolation = section.choice("cache_isolation", usual.cache_isolation)
    for provider in providers.values():
        if isolation is CacheIsolation.ACCOUNT and not provider.separates_caches:
            section.fault(
                "cache_isolation",
                f"the provider {provider.name} ({provider.family}) has no key that separates accounts in its cache",
                "remove that provider, or accept the shared cache",
            )
        if isolation is CacheIsolation.NONE and not provider.asks_before_caching:
            section.fault(
                "cache_isolation",
                f"the provider {provider.name} ({provider.family}) always caches prompts",
                "remove that provider, or accept the shared cache",
            )
    sought = frozenset(section.strings("sought")) if section.has("sought") else usual.sought
    if sought - SOUGHT or not sought:
        section.fault("sought", "has an unknown name", "write some of " + ", ".join(sorted(SOUGHT)))
    config = PolicyConfig(
        server_tools=tools,
        server_tools_refuse=section.choice("server_tools_refuse", usual.server_tools_refuse),
        unknown_members=section.choice("unknown_members", usual.unknown_members),
        extended_prompt_cache=section.boolean("extended_prompt_cache", usual.extended_prompt_cache),
        max_retention_days=(
            section.integer("max_retention_days", 0, 0, MOST_RETENTION_DAYS)
            if section.has("max_retention_days")
            else usual.max_retention_days
        ),
        cache_isolation=isolation,
        secrets=section.choice("secrets", usual.secrets),
        sought=sought,
    )
    section.close()
    return config
