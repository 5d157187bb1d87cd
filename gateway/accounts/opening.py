"""The store that the configuration names, opened in one way for every part that works on it."""

from __future__ import annotations

from gateway.config import Config
from metering.store.store import Store, open_store


async def open_configured(config: Config) -> Store:
    """Open the store, the embedded one in the data directory. Raises as `metering.store.store.open_store`."""
    return await open_store(config.store.url, data_dir=config.server.data_dir, replicas=config.store.replicas)
