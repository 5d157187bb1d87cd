"""``[store]``: the Redis or Valkey that holds accounts, sessions and the ledger."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from gateway.config.reader import Section

EMBEDDED = "embedded:"  # the store in the data directory
SCHEMES = ("redis", "rediss", "redis+cluster", "rediss+cluster", "redis+sentinel", "rediss+sentinel")


@dataclass(frozen=True, slots=True)
class StoreConfig:
    url: str = field(default=EMBEDDED, repr=False)
    replicas: int = 0  # that must hold a grant, an erasure or a revocation before it is answered


def read_store(section: Section) -> StoreConfig:
    config = StoreConfig(section.string("url", StoreConfig().url), section.integer("replicas", 0, 0, 5))
    section.close()
    if config.url == EMBEDDED:
        if config.replicas:
            section.fault("replicas", "is for a store that you run", "leave it out: the embedded store has none")
        return config
    try:
        parts = urlsplit(config.url)
        known = parts.scheme in SCHEMES and bool(parts.hostname)
    except ValueError:
        known = False
    if not known:
        fix = f'write "{EMBEDDED}", or SCHEME://HOST:PORT with SCHEME one of ' + ", ".join(SCHEMES)
        section.fault("url", "is not the address of a store", fix)
    return config
