"""All hosts that a gateway connects to, for the operator and for the evidence.

Rules:

1. This is the only list. Every module that opens a connection takes the address from the configuration, or from the
   store, which may name further nodes, and has a row here. A test finds every call that opens a connection and every
   address in the configuration, and checks under strace that a gateway connects to nothing else.
2. For commands, the list has only addresses of the configuration, not those on the command line.
3. The system's resolver, which looks up names, is not in the list.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from gateway.config import Config
from metering.store.address import read_address


@dataclass(frozen=True, slots=True)
class Egress:
    """A host that is connected to; ``for_`` says by whom it is named, ``prompts`` whether content goes there."""

    host: str
    port: int
    for_: str
    prompts: bool

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def egress(config: Config, nodes: Iterable[tuple[str, int]] = ()) -> tuple[Egress, ...]:
    """Every host, providers first. The embedded store is none: it has no TCP port.

    ``nodes`` are the servers that Sentinels or a Cluster named (`metering.store.store.Store.nodes`): what has not
    connected to the store knows only whom it asks.
    """
    found = [
        Egress(provider.endpoint.host, provider.endpoint.port, f"providers.{provider.name}", True)
        for provider in config.providers.values()
    ]
    found.extend(
        _of_url(provider.account.token_uri, f"providers.{provider.name}: tokens")
        for provider in config.providers.values()
        if provider.account is not None
    )
    found.extend(
        _of_url(provider.machine.url, f"providers.{provider.name}: credentials")
        for provider in config.providers.values()
        if provider.machine is not None
    )
    seeds = read_address(config.store.url).hosts
    found.extend(Egress(host, port, "store", False) for host, port in seeds)
    found.extend(Egress(host, port, "store: named by it", False) for host, port in sorted(set(nodes) - set(seeds)))
    if config.supabase is not None and config.supabase.jwt_secret is None:
        found.append(_of_url(config.supabase.jwks_url, "supabase"))
    if config.webhooks is not None:
        found.append(_of_url(config.webhooks.url, "webhooks"))
    if config.telemetry is not None:
        found.append(_of_url(config.telemetry.otlp_endpoint, "telemetry"))
    if config.stripe is not None:
        found.append(_of_url(config.stripe.base_url, "stripe: export"))
    return tuple(found)


def _of_url(url: str, for_: str) -> Egress:
    parts = urlsplit(url)
    return Egress(parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80), for_, False)
