"""Which hosts a gateway of this configuration connects to: all of them, for the operator and for the evidence."""

from __future__ import annotations

from dataclasses import dataclass

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


def egress(config: Config) -> tuple[Egress, ...]:
    """Every host, providers first. The embedded store is none: it has no TCP port. Sentinels stand for the servers that
    they name.
    """
    found = [
        Egress(provider.endpoint.host, provider.endpoint.port, f"providers.{provider.name}", True)
        for provider in config.providers.values()
    ]
    found.extend(Egress(host, port, "store", False) for host, port in read_address(config.store.url).hosts)
    return tuple(found)
