"""The store, opened for one command: it works whether or not the gateway runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from gateway.accounts.administration import Administration
from gateway.accounts.opening import open_configured
from gateway.auth.identity import identity_keys, load_key
from gateway.auth.principal import StoreFailure
from gateway.cli.options import OperatorError
from gateway.config import Config, ConfigError
from metering.accounts import audit
from metering.accounts.audit import Action, Actor
from metering.accounts.identity_map import Accounts
from metering.ledger.ledger import Ledger, LedgerConflict, LedgerUnavailable
from metering.spool.journal import FileJournal
from metering.store.embedded import EmbeddedError
from metering.store.store import Store, StoreUnavailable, Unconfirmed

# A command has no client that waits on it, so it is more patient than a request.
LEDGER_TIMEOUT = 10.0

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Opened:
    store: Store
    ledger: Ledger
    accounts: Accounts
    key: bytes
    journal: FileJournal

    @property
    def administration(self) -> Administration:
        return Administration(self.store, self.ledger, self.accounts, self.key, journal=self.journal)

    async def note(self, action: Action, pid: str = "") -> None:
        """Note an act of the operator's, before it is done."""
        await audit.note(self.store, Actor.CLI, action, pid)

    async def pid_of(self, user: str) -> str:
        """The account of a user who has one. Raises `OperatorError` otherwise."""
        pid = await self.accounts.pid_of(user)
        if pid is None:
            raise OperatorError("that user has no account; make one with: codegrex-gateway sessions create")
        return pid


@asynccontextmanager
async def opened(config: Config) -> AsyncIterator[Opened]:
    """Everything that a command works on; closed again at its end."""
    key = load_key(config)
    store = await open_configured(config)
    try:
        ledger = Ledger(store, timeout=LEDGER_TIMEOUT)
        try:
            await ledger.load()
            journal = FileJournal(config.server.data_dir / "spool")
            yield Opened(store, ledger, Accounts(store, identity_keys(key)), key, journal)
        finally:
            await ledger.close()
    finally:
        await store.close()


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a command's coroutine; what the operator can mend becomes an `OperatorError`."""
    try:
        return asyncio.run(work)
    except ConfigError as error:
        raise OperatorError(*error.faults) from None
    except EmbeddedError as error:
        raise OperatorError(f"store.url: {error}") from None
    except (StoreUnavailable, LedgerUnavailable, StoreFailure, TimeoutError):
        mend = "check store.url, its credentials, and that the server runs"
        raise OperatorError(f"store.url: the store does not answer as it should; {mend}") from None
    except OSError as error:
        mend = "check that this user may write there, and run the same again"
        raise OperatorError(f"server.data_dir: its files can't be used ({error.strerror}); {mend}") from None
    except Unconfirmed:
        raise OperatorError(
            "store: done, but it might not survive the loss of the server yet; run the same again"
        ) from None
    except LedgerConflict:
        raise OperatorError("the ledger refused: the account was erased or would exceed the largest amount") from None
