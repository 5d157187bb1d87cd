"""The identity key, store, ledger and accounts of a configuration, opened in one place for every caller.

Each function opens everything or nothing: after a failure it closes what it has opened.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from gateway.accounts.administration import Administration
from gateway.accounts.webhooks import Webhooks
from gateway.auth.identity import identity_keys, load_key
from gateway.config import Config, ConfigError
from metering.accounts.identity_map import Accounts
from metering.ledger.ledger import Ledger
from metering.spool.journal import FileJournal, Journal
from metering.spool.spool import Spool
from metering.store.store import Store, open_store

# Seconds that a call of the ledger may take. A request has the ledger's default, because a client waits for it.
SERVICE_TIMEOUT = 5.0
COMMAND_TIMEOUT = 10.0
SPOOL_FOLDER = "spool"  # in the data directory

Kept = TypeVar("Kept", bound=Journal)


@dataclass(frozen=True, slots=True)
class OpenedAccounts(Generic[Kept]):
    """What accounts are kept in. ``journal`` remembers erasures and revocations on disk; `close` does not close it."""

    key: bytes
    store: Store
    ledger: Ledger
    accounts: Accounts
    journal: Kept

    def administration(self, webhooks: Webhooks | None = None) -> Administration:
        return Administration(self.store, self.ledger, self.accounts, self.key, journal=self.journal, webhooks=webhooks)

    async def close(self) -> None:
        await self.ledger.close()
        await self.store.close()


async def open_configured(config: Config) -> Store:
    """Open the store, the embedded one in the data directory. Raises as `metering.store.store.open_store`."""
    return await open_store(config.store.url, data_dir=config.server.data_dir, replicas=config.store.replicas)


async def open_accounts(config: Config, *, timeout: float = COMMAND_TIMEOUT) -> OpenedAccounts[FileJournal]:
    """Open what accounts are kept in, for work beside the requests. Workers may run at the same time.

    Raises:
        ConfigError: The identity key cannot be used.
        StoreUnavailable, EmbeddedError: The store cannot be opened.
        LedgerUnavailable: Its functions cannot be loaded.
    """
    return await _open(config, FileJournal, lambda store, _journal: Ledger(store, timeout=timeout))


async def open_serving(config: Config) -> OpenedAccounts[Spool]:
    """Open what accounts are kept in, for a process that serves requests: its journal is its part of the spool.

    Raises:
        ConfigError: The identity key cannot be used, or the store is not fit to hold a ledger.
        StoreUnavailable, EmbeddedError, LedgerUnavailable: As `open_accounts`.
    """

    def ledger_of(store: Store, spool: Spool) -> Ledger:
        return Ledger(store, home=spool.home)

    return await _open(config, Spool, ledger_of, check=True)


async def _open(
    config: Config,
    journal_in: Callable[[Path], Kept],
    ledger_of: Callable[[Store, Kept], Ledger],
    *,
    check: bool = False,
) -> OpenedAccounts[Kept]:
    key = await asyncio.to_thread(load_key, config)  # the internal listener serves meanwhile
    async with AsyncExitStack() as half_open:
        store = await open_configured(config)
        half_open.push_async_callback(store.close)
        if check and (faults := await store.check()):
            raise ConfigError(tuple(f"store.url: {fault}" for fault in faults))
        journal = journal_in(config.server.data_dir / SPOOL_FOLDER)
        if isinstance(journal, Spool):  # the other one opens its files only while it writes
            half_open.push_async_callback(journal.close)
        ledger = ledger_of(store, journal)
        half_open.push_async_callback(ledger.close)
        await ledger.load()
        half_open.pop_all()
    return OpenedAccounts(key, store, ledger, Accounts(store, identity_keys(key)), journal)


@asynccontextmanager
async def opened(config: Config) -> AsyncIterator[OpenedAccounts[FileJournal]]:
    """`open_accounts` for one command; closed again at its end."""
    accounts = await open_accounts(config)
    try:
        yield accounts
    finally:
        await accounts.close()


class OnDemand:
    """Opens an `Administration` when it is first needed, and again after a failure to open it."""

    def __init__(self, config: Config, webhooks: Webhooks | None = None) -> None:
        self._config = config
        self._webhooks = webhooks
        self._opened: Administration | None = None
        self._lock = asyncio.Lock()

    async def get(self) -> Administration:
        """Raises as `open_accounts`."""
        async with self._lock:
            if self._opened is None:
                accounts = await open_accounts(self._config, timeout=SERVICE_TIMEOUT)
                self._opened = accounts.administration(self._webhooks)
            return self._opened

    async def close(self) -> None:
        if self._opened is not None:
            await self._opened.close()
            self._opened = None
