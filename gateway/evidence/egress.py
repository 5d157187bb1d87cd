"""Which hosts a gateway of this configuration connects to: all of them, for the operator and for the evidence."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from gateway.config import EMBEDDED, Config


@dataclass(frozen=True, slots=True)
class Egress:
    """A host that is connected to; ``for_`` says by whom it is named, ``prompts`` whether content goes there."""

    host: str
    port: int
    for_: str
    prompts: bool

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def egress(config: Config) -> tuple[Egress, ...]:
    """Every host, providers first. The embedded store is none: it has no TCP port."""
    found = [
        Egress(provider.endpoint.host, provider.endpoint.port, f"providers.{provider.name}", True)
        for provider in config.providers.values()
    ]
    if config.store.url != EMBEDDED:
        parts = urlsplit(config.store.url)
        found.append(Egress(parts.hostname or "", parts.port or 6379, "store", False))
    return tuple(found)
