"""``[policy]``: what requests may ask of a provider, and what happens to secrets in prompts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from gateway.config.providers import ProviderConfig
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


class UnknownMembers(StrEnum):
    """What happens to strings and objects of a request that no table of members knows, and to betas likewise."""

    PASS = "pass"  # noqa: S105 - they reach the provider
    STRIP = "strip"  # they are removed, and the answer says how many
    REFUSE = "refuse"  # the request is


@dataclass(frozen=True, slots=True)
class PolicyConfig:
    """What requests may ask for.

    Attributes:
        server_tools: Tools that may run at a provider.
        unknown_members: What happens to members that nobody has decided about.
        extended_prompt_cache: Prompts may stay in a provider's cache for hours, if a request asks for it.
        cache_isolation: Whether accounts share a provider's prompt cache.
        secrets: What happens to the credentials and personal data (``sought``) found in a prompt.
    """

    server_tools: frozenset[str] = frozenset()
    unknown_members: UnknownMembers = UnknownMembers.STRIP
    extended_prompt_cache: bool = False
    cache_isolation: CacheIsolation = CacheIsolation.SHARED
    secrets: SecretsRule = SecretsRule.OFF
    sought: frozenset[str] = frozenset()


def read_policy(section: Section, providers: Mapping[str, ProviderConfig]) -> PolicyConfig:
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
                    "remove that provider, or accept the shared cache",
                )
    sought = frozenset(section.strings("sought")) if section.has("sought") else SOUGHT
    if sought - SOUGHT or not sought:
        section.fault("sought", "names what is not looked for", "write some of " + ", ".join(sorted(SOUGHT)))
    config = PolicyConfig(
        tools,
        section.choice("unknown_members", UnknownMembers.STRIP),
        extended_prompt_cache=section.boolean("extended_prompt_cache", default=False),
        cache_isolation=isolation,
        secrets=section.choice("secrets", SecretsRule.OFF),
        sought=sought,
    )
    section.close()
    return config
