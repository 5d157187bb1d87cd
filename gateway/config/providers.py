"""The ``[providers.NAME]`` of the configuration: where they are and what they do with what they get."""

from __future__ import annotations

import re
import ssl
from urllib.parse import urlsplit

from gateway.addresses import is_loopback
from gateway.config import OFFICIAL_HOSTS, Endpoint, ProviderConfig, Region
from gateway.config.reader import Section
from gateway.names import Closed
from providers.dialect import Family

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")  # of providers and tiers: they stand in records and labels

_VERSION_SEGMENT = re.compile(r"/(v1|v1beta)$")


def read_provider(section: Section, name: str, *, need_keys: bool) -> ProviderConfig | None:
    """A provider, or ``None`` where too little is known of it to go on. Faults are noted."""
    if not NAME.fullmatch(name):
        section.fault("", "is not a name", "use lower-case letters, digits, - and _, 32 at most")
    known = section.require("kind", "write one of " + ", ".join(Family))
    family = section.choice("kind", Family.OPENAI)
    region = section.choice("region", Region.GLOBAL)
    endpoint = _endpoint(section, family, region)
    kept = OFFICIAL_HOSTS[family].get(endpoint.host) if endpoint is not None else None
    if kept is not None and region not in kept:
        hosts = [host for host, regions in OFFICIAL_HOSTS[family].items() if region in regions]
        mend = f"use https://{hosts[0]}" if hosts else "this API has no host that does; state " + " or ".join(kept)
        section.fault("region", "is not one that this host keeps requests in", mend)
    ca_file = section.path("ca_file")
    if ca_file is not None:
        try:
            ssl.create_default_context(cafile=str(ca_file))
        except (OSError, ssl.SSLError):
            section.fault("ca_file", "is not a file of PEM certificates", "mend the path or the file")
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
        section.fault("api_keys", "holds a key that cannot be sent in a header", "mend the key")
    return keys


def _official_url(family: Family, region: Region) -> str:
    """The maker's host for a region; the usual one where none is for it alone."""
    hosts = OFFICIAL_HOSTS[family]
    return "https://" + next((host for host, regions in hosts.items() if region in regions), next(iter(hosts)))


def _endpoint(section: Section, family: Family, region: Region) -> Endpoint | None:
    url = section.string("base_url", _official_url(family, region))
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if parts.scheme not in ("http", "https") or not host or not host.isascii():
        section.fault("base_url", "is not an address", "write https://HOST, with a path where it has one")
        return None
    if parts.username or parts.password or parts.query or parts.fragment:
        section.fault("base_url", "holds more than host, port and path", "put keys into api_keys")
        return None
    tls = parts.scheme == "https"
    if not tls and not is_loopback(host):
        section.fault("base_url", "is plain http beyond this machine", "use https")
        return None
    prefix = _VERSION_SEGMENT.sub("", parts.path.rstrip("/"))
    return Endpoint(tls, host, port or (443 if tls else 80), prefix.rstrip("/"))
