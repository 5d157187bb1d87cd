"""Whatever the configuration states of the store reaches it."""

from dataclasses import replace

from gateway.accounts.opening import open_configured
from gateway.config import StoreConfig
from gateway.config.load import read
from tests.ledger_fixtures import embedded_url, folder

__all__ = ["embedded_url", "folder"]


async def test_what_is_stated_of_the_store_reaches_it(embedded_url, folder):
    provider = {
        "kind": "openai", "api_keys": ["k"], "retention_days": 0, "training": False, "region": "global",
    }  # fmt: skip
    stated = {"server": {"data_dir": str(folder)}, "providers": {"p": provider}}
    config = read(stated, folder / "gateway.toml", {})
    store = await open_configured(replace(config, store=StoreConfig(embedded_url, replicas=2)))
    try:
        assert store.replicas == 2
        assert await store.client.ping()
    finally:
        await store.close()
