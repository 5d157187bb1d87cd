"""The store, as a command works on it: each act is noted, and what the operator can fix becomes an `OperatorError`."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from gateway.accounts.opening import OpenedAccounts
from gateway.auth.principal import StoreFailure
from gateway.cli.options import OperatorError
from gateway.config import ConfigError
from metering.accounts import audit
from metering.accounts.audit import Action, Actor
from metering.ledger.ledger import LedgerConflict, LedgerUnavailable
from metering.spool.journal import FileJournal
from metering.store.embedded import EmbeddedError
from metering.store.store import StoreUnavailable, Unconfirmed

Result = TypeVar("Result")


async def note(at: OpenedAccounts[FileJournal], action: Action, pid: str = "") -> None:
    """Note an act of the operator in the audit stream, before it is done."""
    await audit.note(at.store, Actor.CLI, action, pid)


async def pid_of(at: OpenedAccounts[FileJournal], user: str) -> str:
    """The account of a user who has one. Raises `OperatorError` otherwise."""
    pid = await at.accounts.pid_of(user)
    if pid is None:
        raise OperatorError("the user has no account; create one with: codegrex-gateway sessions create")
    return pid


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a command's coroutine; what the operator can fix becomes an `OperatorError`."""
    try:
        return asyncio.run(work)
    except ConfigError as error:
        raise OperatorError(*error.faults) from None
    except (EmbeddedError, StoreUnavailable) as error:
        raise OperatorError(f"store.url: {error}") from None
    except (LedgerUnavailable, StoreFailure, TimeoutError):
        fix = "check store.url and its credentials, and that the server runs"
        raise OperatorError(f"store.url: the store does not answer correctly; {fix}") from None
    except OSError as error:
        fix = "check that this user may write there, and run the command again"
        raise OperatorError(f"server.data_dir: its files cannot be used ({error.strerror}); {fix}") from None
    except Unconfirmed:
        raise OperatorError(
            "store: done, but a crash of the store could still undo it; run the command again"
        ) from None
    except LedgerConflict:
        raise OperatorError(
            "the ledger refused: the account was erased, or the amount would exceed the largest possible one"
        ) from None
