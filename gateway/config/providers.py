"""``[providers.NAME]``: where providers are, and what they do with what they are sent."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from gateway.addresses import is_loopback
from gateway.config.reader import Section, check_name
from gateway.names import Closed
from providers.dialect import Family

_VERSION = re.compile(r"(?i)v\d+(?:[._]\d+)?(?:(?:alpha|beta|preview|rc)\d*)?")  # a path segment such as v4 or v1beta
_SENDABLE = re.compile(r"[!-~]+")  # what may stand in a request line
_OPERATIONS = re.compile(
    r"/(?:chat/completions|completions|responses|embeddings|messages|messages/count_tokens|models(?:/[^/]*)?)$"
)


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
    """An origin to connect to, and the path that every request to it begins with.

    Attributes:
        prefix: Without a slash at its end.
        versioned: The prefix has the API's version in it (``/api/paas/v4``), or the API has none.
    """

    tls: bool
    host: str
    port: int
    prefix: str = ""
    versioned: bool = False

    def path(self, operation: str) -> str:
        """Where an operation is, by its path at the API's own maker (``/v1/chat/completions``)."""
        return self.prefix + (operation[operation.index("/", 1) :] if self.versioned else operation)

    def url(self, operation: str) -> str:
        """The whole address of an operation."""
        return self.address + self.path(operation)

    @property
    def address(self) -> str:
        """Scheme, host and port."""
        scheme, usual = ("https", 443) if self.tls else ("http", 80)
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}" + ("" if self.port == usual else f":{self.port}")

    def __str__(self) -> str:
        return self.address + self.prefix


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
        """Whether it is the API's own maker, or something on this machine that stands in for it."""
        return self.endpoint.host in OFFICIAL_HOSTS[self.family] or is_loopback(self.endpoint.host)

    @property
    def published_prices(self) -> bool:
        """Whether the published prices hold. OpenAI's regional hosts cost more for some models."""
        regional = self.family is Family.OPENAI and self.endpoint.host.startswith(("eu.", "us."))
        return self.first_party and not regional


def read_providers(root: Section, *, need_keys: bool) -> Mapping[str, ProviderConfig]:
    """All providers by name, without those of which too little is known to go on. One at least must be stated."""
    providers = {
        name: provider
        for name, section in root.tables("providers")
        if (provider := _provider(section, name, need_keys=need_keys)) is not None
    }
    if not root.raw("providers"):
        root.fault("providers", "none is configured", "add a [providers.NAME] table")
    return providers


def _provider(section: Section, name: str, *, need_keys: bool) -> ProviderConfig | None:
    """A provider, or ``None`` if too little is known of it to go on. Faults are noted."""
    check_name(section, name)
    known = section.require("kind", "write one of " + ", ".join(Family))
    family = section.choice("kind", Family.OPENAI)
    region = section.choice("region", Region.GLOBAL)
    endpoint = _endpoint(section, family, region)
    kept = OFFICIAL_HOSTS[family].get(endpoint.host) if endpoint is not None else None
    if kept is not None and region not in kept:
        hosts = [host for host, regions in OFFICIAL_HOSTS[family].items() if region in regions]
        fix = f"use https://{hosts[0]}" if hosts else "this API has no host that does; state " + " or ".join(kept)
        section.fault("region", "is not one that this host keeps requests in", fix)
    ca_file = section.path("ca_file")
    if ca_file is not None:
        try:
            ssl.create_default_context(cafile=str(ca_file))
        except (OSError, ssl.SSLError):
            section.fault("ca_file", "is not a file of PEM certificates", "fix the path or the file")
    keys = _api_keys(section, need_keys=need_keys)
    section.require("retention_days", "state how many days it keeps prompts and answers; 0 is not at all")
    section.require("training", "state whether it trains on prompts and answers: true or false")
    section.require("region", "state where it processes them: one of " + ", ".join(Region))
    provider = ProviderConfig(
        name=Closed(name),
        family=family,
        endpoint=endpoint or Endpoint(True, "invalid", 443),
        api_keys=keys,
        retention_days=section.integer("retention_days", 0, 0, 36_500),
        training=section.boolean("training", False),
        region=region,
        company=section.string("company", name),
        ca_file=ca_file,
        store=section.boolean("store", True),
        include_usage=section.boolean("include_usage", True),
    )
    section.close()
    return provider if known and endpoint is not None else None


def _api_keys(section: Section, *, need_keys: bool) -> tuple[str, ...]:
    if not section.require("api_keys", 'write "env:NAME" with the variable that holds the key') or not need_keys:
        return ()
    keys = section.strings("api_keys")
    if section.raw("api_keys") == []:
        section.fault("api_keys", "is empty", "give one key at least")
    if any(" " in key or not key.isascii() for key in keys):
        section.fault("api_keys", "holds a key that cannot be sent in a header", "correct the key")
    return keys


def _official_url(family: Family, region: Region) -> str:
    """The maker's host for a region; the usual one if none is for that region."""
    hosts = OFFICIAL_HOSTS[family]
    return "https://" + next((host for host, regions in hosts.items() if region in regions), next(iter(hosts)))


def _endpoint(section: Section, family: Family, region: Region) -> Endpoint | None:
    url = section.string("base_url", _official_url(family, region))
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if parts.scheme not in ("http", "https") or not host or not _SENDABLE.fullmatch(host + parts.path):
        section.fault("base_url", "is not an address", "write https://HOST, with a path if it has one")
        return None
    if parts.username or parts.password or parts.query or parts.fragment:
        section.fault("base_url", "holds more than host, port and path", "put keys into api_keys")
        return None
    tls = parts.scheme == "https"
    if not tls and not is_loopback(host):
        section.fault("base_url", "is plain http beyond this machine", "use https")
        return None
    prefix = parts.path.rstrip("/")
    if _OPERATIONS.search(prefix):
        section.fault("base_url", "ends in the path of one operation", "remove that part: it is appended")
        return None
    versioned = _versioned(family, prefix) or not section.boolean("append_version", True)
    return Endpoint(tls, host, port or (443 if tls else 80), prefix, versioned)


def _versioned(family: Family, prefix: str) -> bool:
    """Whether a base URL's path states the API's version itself.

    Base URLs of OpenAI's dialect are whole by convention, so that the version may stand anywhere in them
    (``/v1beta/openai``, ``/client/v4/accounts/ID/ai/v1``). In those of the others an earlier one is a proxy's own.
    """
    segments = prefix.split("/")
    return any(_VERSION.fullmatch(segment) for segment in (segments if family is Family.OPENAI else segments[-1:]))
