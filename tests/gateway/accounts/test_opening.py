"""What accounts are kept in is opened whole, as the configuration says, or not at all."""

import asyncio
from dataclasses import replace

import pytest

from gateway.accounts.opening import OnDemand, open_accounts, open_configured, open_serving, opened
from gateway.config import Config, ConfigError, IdentityConfig, ServerConfig, StoreConfig
from metering.ledger.ledger import LedgerUnavailable
from tests.gateway.billing_fixtures import KEY, USER, accounts
from tests.ledger_fixtures import embedded_url, folder, ledger, store, store_url

__all__ = ["accounts", "embedded_url", "folder", "ledger", "store", "store_url"]


@pytest.fixture
def config(folder):
    return Config(
        path=folder / "gateway.toml",
        providers={},
        server=ServerConfig(data_dir=folder),
        identity=IdentityConfig(KEY),
    )


async def left_open(store, folder):
    """Connections to the store, and files of the spool."""
    return len(await store.client.client_list()), sorted((folder / "spool").glob("*.log"))


async def nothing_more_is_open(store, folder, before):
    async with asyncio.timeout(60):
        while await left_open(store, folder) != before:
            await asyncio.sleep(0.01)  # the store notices the end of a connection in its own time


async def test_what_is_stated_of_the_store_reaches_it(config, embedded_url):
    store = await open_configured(replace(config, store=StoreConfig(embedded_url, replicas=2)))
    try:
        assert store.replicas == 2
        assert await store.client.ping()
    finally:
        await store.close()


async def test_commands_the_internal_api_and_workers_find_the_same_account(config, store, ledger):
    async with opened(config) as command:
        pid = await command.accounts.pid_of(USER, create=True)
        await command.ledger.grant(pid, 7, "grant")
    serving = await open_serving(config)
    on_demand = OnDemand(config)
    admin = await on_demand.get()
    for found in (serving, admin):
        assert await found.accounts.pid_of(USER) == pid
        assert (await found.ledger.account(pid)).granted == 7
    await on_demand.close()
    await serving.close()
    await serving.journal.close()


async def test_the_store_is_opened_when_it_is_first_needed_and_again_after_it_was_closed(config, store, accounts):
    on_demand = OnDemand(config)
    admin = await on_demand.get()
    assert await on_demand.get() is admin
    assert admin.accounts.names(USER) == accounts.names(USER)
    await on_demand.close()
    assert await on_demand.get() is not admin
    await on_demand.close()


@pytest.fixture
async def no_functions(store):
    """The store refuses to load functions, as for a user without the right."""
    await store.client.function_flush()
    await store.client.execute_command("ACL", "SETUSER", "default", "-function|load")
    yield
    await store.client.execute_command("ACL", "SETUSER", "default", "+function|load")


@pytest.mark.parametrize("opening", [open_accounts, open_serving])
async def test_what_was_opened_before_a_failure_is_closed(opening, config, folder, store, no_functions):
    before = await left_open(store, folder)
    with pytest.raises(LedgerUnavailable) as caught:  # keeps the frames, so that no collection closes anything
        await opening(config)
    await nothing_more_is_open(store, folder, before)
    del caught


async def test_a_store_that_could_lose_credits_serves_no_requests(config, folder, store):
    await store.client.config_set("maxmemory-policy", "allkeys-lru")
    before = await left_open(store, folder)
    try:
        with pytest.raises(ConfigError, match="maxmemory-policy is allkeys-lru") as caught:
            await open_serving(config)
    finally:
        await store.client.config_set("maxmemory-policy", "noeviction")
    await nothing_more_is_open(store, folder, before)
    del caught
