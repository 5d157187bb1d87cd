"""``[store]``: the Redis or Valkey that holds accounts, sessions and the ledger."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.config.reader import Section
from metering.store.address import EMBEDDED, InvalidAddress, read_address

__all__ = ["EMBEDDED", "StoreConfig", "read_store"]


@dataclass(frozen=True, slots=True)
class StoreConfig:
    url: str = field(default=EMBEDDED, repr=False)
    replicas: int = 0  # that must hold a grant, an erasure or a revocation before it is answered


def read_store(root: Section) -> StoreConfig:
    section, usual = root.table("store"), StoreConfig()
    config = StoreConfig(
        url=section.string("url", usual.url),
        replicas=section.integer("replicas", usual.replicas, 0, 5),
    )
    section.close()
    if config.url == EMBEDDED and config.replicas:
        section.fault("replicas", "is for a store that you run", "leave it out: the embedded store has none")
    try:
        read_address(config.url)
    except InvalidAddress as fix:
        section.fault("url", "is not the address of a store", str(fix))
    return config
