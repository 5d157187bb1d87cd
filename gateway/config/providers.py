"""``[providers.NAME]``: where providers are, and what they do with what they are sent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from gateway.addresses import is_loopback
from gateway.config.clouds import (
    AMAZON,
    Cloud,
    CredentialSource,
    MachineCredentials,
    ServiceAccount,
    check_aws_keys,
    check_botocore,
    check_location,
    read_account,
    read_environment_keys,
    read_kind,
    read_location,
    read_machine,
    read_project,
    usual_url,
)
from gateway.config.reader import Section, check_name, read_ca_file
from gateway.names import Closed
from providers.dialect import Family, Operation, Wire
from providers.hosts import azure, bedrock, mantle, vertex
from providers.hosts.host import DIRECT, Direct, Host
from providers.hosts.profiles import PROFILES, Profile, ProfileName, openai_operations
from providers.wires import WIRES

MOST_RETENTION_DAYS = 36_500
MOST_WEIGHT = 1_000

_VERSION = re.compile(r"(?i)v\d+(?:[._]\d+)?(?:(?:alpha|beta|preview|rc)\d*)?")  # a path segment such as v4 or v1beta
_SENDABLE = re.compile(r"[!-~]+")  # what is allowed in a request line
# How a base URL ends that is the whole address of an operation, of the model list, or of a model.
_OPERATIONS = re.compile(
    "(?i)/(?:{}|models(?:/[^/]*)?)$".format(
        "|".join(re.escape(wire.path("").split("/", 2)[2]) for wire in WIRES.values())
    )
)


class Region(StrEnum):
    """The region in which a provider processes requests, as the operator states it."""

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
class DataHandling:
    """What becomes of prompts and answers at a provider, or at one of its models.

    Attributes:
        retention_days: How long they are kept; 0 is not at all.
        training: Whether models are trained on them.
        region: Where they are processed.
    """

    retention_days: int
    training: bool
    region: Region


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
        family: Whose API it speaks; the setting ``kind``, unless that names a cloud.
        key_weights: Of each key, its share of the accounts; empty if all have the same.
        adaptive_concurrency: It is given as many requests at once as it serves without slowing down.
        company: Who runs it: a fallback to another company needs the account's permission.
        store: The host knows OpenAI's ``store`` member.
        include_usage: The host knows ``stream_options.include_usage``.
        completion_limit: The host knows ``max_completion_tokens``; otherwise the limit is called ``max_tokens``.
        profile: Whose differences from its API it has, if it is a host that is known to have some.
        operations: What it serves of its API; ``None`` if that is not known, and everything is tried.
        host: How it takes a request of its API.
        cloud: Which cloud it is, if it is one.
        location: The cloud's own name of the place where it is served.
        account: With whose tokens it is asked instead of keys.
        machine: The same, with what the cloud lends to this machine.
        handling: The statement. It applies to each of its models for which nothing else is stated.
    """

    name: Closed
    family: Family
    endpoint: Endpoint
    api_keys: tuple[str, ...] = field(repr=False)
    handling: DataHandling
    company: str
    key_weights: tuple[int, ...] = ()
    adaptive_concurrency: bool = False
    ca_file: Path | None = None
    store: bool = True
    include_usage: bool = True
    completion_limit: bool = True
    profile: ProfileName | None = None
    operations: frozenset[Operation] | None = None
    host: Host = DIRECT
    cloud: Cloud | None = None
    location: str = ""
    account: ServiceAccount | None = None
    machine: MachineCredentials | None = None

    @property
    def kind(self) -> str:
        """The setting ``kind``."""
        return (self.cloud or self.family).value

    @property
    def key_count(self) -> int:
        """How many keys there are; a service account counts as one, and so do credentials that are lent."""
        return len(self.api_keys) if self.account is None and self.machine is None else 1

    def serves(self, operation: Operation) -> bool:
        """Whether it serves an operation without translation, as far as that is known."""
        return operation.family is self.family and (self.operations is None or operation in self.operations)

    def url(self, wire: Wire, model: str) -> str:
        """The whole address of an operation for one of its models."""
        shape = self.host.shape(wire, model, stream=False, query="", headers=[])
        return self.endpoint.url(shape.path)

    @property
    def responses(self) -> bool:
        """Whether what is said in another dialect is translated into the Responses API, not into Chat Completions: at
        OpenAI, whose models reason across turns only there, and where the operator states it. Other hosts imitate it.
        """
        official = self.endpoint.host in OFFICIAL_HOSTS[Family.OPENAI]
        stated = self.profile is None and Operation.OPENAI_RESPONSES in (self.operations or ())
        return official or stated

    @property
    def separates_caches(self) -> bool:
        """Whether requests can carry a key that keeps accounts apart in its prompt cache (``prompt_cache_key``)."""
        return self.family is Family.OPENAI and self.first_party

    @property
    def asks_before_caching(self) -> bool:
        """Whether requests can be sent so that nothing of them is cached. Gemini's API always caches
        (https://ai.google.dev/gemini-api/docs/caching); the behaviour of compatible hosts is unknown.
        """
        claude = self.cloud is not None and self.family is Family.ANTHROPIC  # the markers are the same there
        return claude or (self.family is not Family.GOOGLE and self.first_party)

    @property
    def reads_attribution(self) -> bool:
        """Whether it is Anthropic itself (`providers.anthropic.attribution`)."""
        return self.endpoint.host in OFFICIAL_HOSTS[Family.ANTHROPIC]

    @property
    def first_party(self) -> bool:
        """Whether it is the API's own maker, or a program on this machine that replaces it."""
        return self.profile is None and self.cloud is None and _is_maker(self.family, self.endpoint)

    @property
    def published_prices(self) -> bool:
        """Whether the published prices hold. OpenAI's regional hosts cost more for some models."""
        regional = self.family is Family.OPENAI and self.endpoint.host.startswith(("eu.", "us."))
        return self.first_party and not regional


def read_providers(root: Section, *, need_keys: bool) -> Mapping[str, ProviderConfig]:
    """All providers by name, without those whose table is too incomplete to continue. One at least must be stated."""
    providers = {
        name: provider
        for name, section in root.tables("providers")
        if (provider := _provider(section, name, need_keys=need_keys)) is not None
    }
    if not root.raw("providers"):
        root.fault("providers", "none is configured", "add a [providers.NAME] table")
    return providers


class _Api(NamedTuple):
    """Which API a table is about, and where it is served."""

    family: Family
    cloud: Cloud | None
    profile: Profile | None
    location: str


def _provider(section: Section, name: str, *, need_keys: bool) -> ProviderConfig | None:
    """A provider, or ``None`` if its table is too incomplete to continue. Faults are noted."""
    check_name(section, name)
    known = section.require("kind", "write one of " + ", ".join((*Family, *Cloud)))
    family, cloud = read_kind(section)
    region = section.choice("region", Region.GLOBAL)
    profile = _profile_name(section, family, cloud)
    api = _Api(family, cloud, None if profile is None else PROFILES[profile], read_location(section, cloud))
    usual = _usual_url(section, api, region)
    endpoint = None if usual is None else _endpoint(section, api, usual)
    if endpoint is not None and cloud is None:
        _check_region(section, family, endpoint, region)
    elif endpoint is not None and cloud is not None and api.location:
        check_location(section, cloud, api.location, region=region, host=endpoint.host)
    ca_file = read_ca_file(section)
    machine = None if cloud is None else read_machine(section, cloud, need_keys=need_keys)
    account = None
    if cloud is Cloud.VERTEX and machine is None:
        account = read_account(section, need_keys=need_keys)
    keys, weights = _keys(section, cloud, need_keys=need_keys)
    if cloud in AMAZON:
        check_aws_keys(section, keys)
        if machine is not None:
            check_botocore(section)
    section.require("retention_days", "state how many days it keeps prompts and answers; 0 is not at all")
    section.require("training", "state whether it trains on prompts and answers: true or false")
    section.require("region", "state where it processes them: one of " + ", ".join(Region))
    provider = ProviderConfig(
        name=Closed(name),
        family=family,
        endpoint=endpoint or Endpoint(True, "invalid", 443),
        api_keys=keys,
        key_weights=weights,
        adaptive_concurrency=section.boolean("adaptive_concurrency", False),
        handling=DataHandling(_retention_days(section, 0), section.boolean("training", False), region),
        company=section.string("company", name),
        ca_file=ca_file,
        store=section.boolean("store", True if api.profile is None else api.profile.store),
        include_usage=section.boolean("include_usage", True if api.profile is None else api.profile.include_usage),
        completion_limit=section.boolean("completion_limit", _completion_limit(api, endpoint)),
        profile=profile,
        operations=_operations(section, api),
        host=_host(section, api),
        cloud=cloud,
        location=api.location,
        account=account,
        machine=machine,
    )
    section.close()
    return provider if known and endpoint is not None else None


def _usual_url(section: Section, api: _Api, region: Region) -> str | None:
    """The base URL if none is stated; ``None`` if one must be, and is not."""
    if api.cloud is Cloud.AZURE:
        stated = section.require("base_url", "write https://RESOURCE.openai.azure.com with the resource's name")
        return "" if stated else None
    if api.cloud is not None and not api.location:
        section.has("base_url")
        section.has("append_version")
        return None  # the location is the fault
    if api.cloud is not None:
        return usual_url(api.cloud, api.location)
    return _official_url(api.family, region) if api.profile is None else api.profile.base_url


def _host(section: Section, api: _Api) -> Host:
    if api.cloud is Cloud.BEDROCK:
        return bedrock.Bedrock()
    if api.cloud is Cloud.MANTLE:
        return mantle.Mantle()
    if api.cloud is Cloud.VERTEX:
        return vertex.Vertex(api.family, read_project(section), api.location)
    return DIRECT if api.profile is None else Direct(api.profile.paths)


def _profile_name(section: Section, family: Family, cloud: Cloud | None) -> ProfileName | None:
    if not section.has("profile"):
        return None
    if family is not Family.OPENAI or cloud is not None:
        section.fault("profile", "is not for this kind: profiles are of hosts that offer OpenAI's API", "remove it")
        return None
    return section.choice("profile", ProfileName.OPENROUTER)


def _is_maker(family: Family, endpoint: Endpoint) -> bool:
    return endpoint.host in OFFICIAL_HOSTS[family] or is_loopback(endpoint.host)


def _completion_limit(api: _Api, endpoint: Endpoint | None) -> bool:
    """Many hosts that nothing is known of know only the older ``max_tokens``."""
    if api.profile is not None:
        return api.profile.completion_limit
    return api.cloud is not None or (endpoint is not None and _is_maker(api.family, endpoint))


def _operations(section: Section, api: _Api) -> frozenset[Operation] | None:
    if api.cloud is Cloud.VERTEX:
        return vertex.OPERATIONS
    if api.cloud is Cloud.BEDROCK:
        return bedrock.OPERATIONS
    if api.cloud is Cloud.MANTLE:
        return mantle.OPERATIONS
    if api.family is not Family.OPENAI:
        return None
    responses = section.boolean("responses", False) if section.has("responses") else None
    known = azure.OPERATIONS if api.cloud is Cloud.AZURE else None if api.profile is None else api.profile.operations
    return openai_operations(known, responses=responses)


def read_handling(section: Section, provider: ProviderConfig | None, model: str) -> DataHandling | None:
    """What a target's table states differently from its provider; ``None`` if it states nothing."""
    stated = [key for key in ("retention_days", "training", "region") if section.has(key)]
    if provider is None:
        return None
    of = provider.handling
    region = section.choice("region", of.region)
    location, cloud = provider.location, provider.cloud
    profiled = cloud in AMAZON and bedrock.region_of(location, model) != bedrock.region_of(location)
    if cloud is not None and location and (stated or profiled):
        check_location(section, cloud, location, region=region, host=provider.endpoint.host, model=model)
    if not stated:
        return None
    if cloud is None:
        _check_region(section, provider.family, provider.endpoint, region)
    return DataHandling(_retention_days(section, of.retention_days), section.boolean("training", of.training), region)


def _retention_days(section: Section, default: int) -> int:
    return section.integer("retention_days", default, 0, MOST_RETENTION_DAYS)


def _check_region(section: Section, family: Family, endpoint: Endpoint, region: Region) -> None:
    """Note a fault if the API's maker does not keep requests to this host in the region."""
    kept = OFFICIAL_HOSTS[family].get(endpoint.host)
    if kept is not None and region not in kept:
        hosts = [host for host, regions in OFFICIAL_HOSTS[family].items() if region in regions]
        fix = f"use https://{hosts[0]}" if hosts else "this API has no host that does; state " + " or ".join(kept)
        section.fault("region", "is not one that this host keeps requests in", fix)


def _keys(section: Section, cloud: Cloud | None, *, need_keys: bool) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """The keys and their weights; none where the credentials are others."""
    if cloud is Cloud.VERTEX:
        return (), ()
    if cloud not in AMAZON or not section.has("credentials"):
        return _api_keys(section, need_keys=need_keys)
    source = section.choice("credentials", CredentialSource.INSTANCE)
    if section.has("api_keys"):
        section.fault("api_keys", "stands beside credentials", "remove one of them")
    if source is not CredentialSource.ENVIRONMENT:
        return (), ()
    keys = read_environment_keys(section, need_keys=need_keys)
    return keys, tuple(1 for _ in keys)


def _api_keys(section: Section, *, need_keys: bool) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """The keys and their weights. A key is a text, or a table of ``key`` and ``weight``; a single one needs no list."""
    if not section.require("api_keys", 'write "env:NAME" with the variable that holds the key') or not need_keys:
        return (), ()
    value = section.raw("api_keys")
    stated = value if isinstance(value, list) else [value]
    if not stated:
        section.fault("api_keys", "is empty", "give one key at least")
    found: list[tuple[str, int]] = []
    for index, item in enumerate(stated):
        if isinstance(item, dict):
            one = section.inner(item, f"api_keys[{index}]")
            weight = one.integer("weight", 1, 1, MOST_WEIGHT)
            if one.require("key", 'write "env:NAME" with the variable that holds the key'):
                found.append((one.string("key"), weight))
            one.close()
        else:
            found.append((section.inner({"api_keys": item}, "").string("api_keys"), 1))
    keys = tuple(key for key, _ in found if key)
    if any(" " in key or not key.isascii() for key in keys):
        section.fault("api_keys", "holds a key that cannot be sent in a header", "correct the key")
    return keys, tuple(weight for key, weight in found if key)


def _official_url(family: Family, region: Region) -> str:
    """The maker's host for a region; the usual one if none is for that region."""
    hosts = OFFICIAL_HOSTS[family]
    return "https://" + next((host for host, regions in hosts.items() if region in regions), next(iter(hosts)))


def _endpoint(section: Section, api: _Api, usual: str) -> Endpoint | None:
    url = section.string("base_url", usual)
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
    if api.cloud is Cloud.AZURE:
        prefix = prefix or azure.PREFIX
    versioned = _versioned(api.family, prefix) or not section.boolean("append_version", True)
    if api.cloud is Cloud.BEDROCK:
        versioned = False  # its API has none, and none of its paths begins with one
    return Endpoint(tls, host, port or (443 if tls else 80), prefix, versioned)


def _versioned(family: Family, prefix: str) -> bool:
    """Whether a base URL's path states the API's version itself.

    Base URLs of OpenAI's dialect are whole by convention, so that the version may stand anywhere in them
    (``/v1beta/openai``, ``/client/v4/accounts/ID/ai/v1``). In those of the others an earlier one is a proxy's own.
    """
    segments = prefix.split("/")
    return any(_VERSION.fullmatch(segment) for segment in (segments if family is Family.OPENAI else segments[-1:]))
