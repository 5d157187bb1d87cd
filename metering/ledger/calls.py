"""How a function of the ledger's library is called, and how the library gets onto a store.

Rules:

1. The library's name contains its version, so that two versions serve side by side during an upgrade.
2. A primary without the library (new, emptied, or promoted) gets it at the first call that does not find
   it, and the call is repeated.
3. Every foreign error becomes `LedgerUnavailable` (retry later) or `LedgerConflict` (never retry) here.
"""

from __future__ import annotations

import asyncio
from functools import cache
from importlib.resources import files
from typing import Any

from redis.exceptions import RedisError

from metering.ledger import records
from metering.ledger.types import LedgerConflict, LedgerUnavailable
from metering.store.link import Command, StoreError, Unreachable
from metering.store.store import Store

LIBRARY = "codegrex_v2"
NOT_NOW = frozenset({"LOADING", "BUSY", "CLUSTERDOWN", "MASTERDOWN", "TRYAGAIN", "READONLY", "OOM", "MISCONF",
                     "NOREPLICAS", "MOVED", "ASK", "NOAUTH"})  # fmt: skip
NEVER = frozenset({"CGXCONFLICT", "CGXGONE", "CGXARG"})


@cache
def source() -> bytes:
    """The library's text: both files as one."""
    return b"\n".join(files("metering.ledger").joinpath(name).read_bytes() for name in ("ledger.lua", "rights.lua"))


class Calls:
    """The functions of one store, for one process. ``timeout`` bounds each call, in seconds."""

    def __init__(self, store: Store, *, timeout: float) -> None:
        self.store = store
        self._topology = store.topology(timeout=timeout)
        self._loading = asyncio.Lock()

    async def load(self) -> None:
        """Connect to every primary, and load the library where this exact text of it is missing.

        Raises:
            LedgerUnavailable: A primary could not be reached.
        """
        try:
            listed = await self.store.on_primaries("FUNCTION", "LIST", "LIBRARYNAME", LIBRARY, "WITHCODE")
            if not all(_listed(libraries) for libraries in listed):
                await self.store.on_primaries("FUNCTION", "LOAD", "REPLACE", source())
            await self._topology.connect()
        except (RedisError, OSError, Unreachable):
            raise LedgerUnavailable(maybe_ran=False) from None

    def send(self, p: int, command: Command) -> asyncio.Future[Any]:
        """Send with the other calls of this tick. The caller must await `reply` for it."""
        return self._topology.send(p, command)

    async def reply(self, p: int, command: Command, sent: asyncio.Future[Any]) -> Any:
        """Await the reply to a call that was sent.

        Raises:
            LedgerUnavailable: No answer in time, or the store cannot serve now.
            LedgerConflict: The function will never accept these arguments.
            StoreError: Anything else, for example a key of another type.
        """
        try:
            try:
                return await self._answer(command, sent)
            except StoreError as error:
                if not (error.code == "ERR" and "unction not found" in error.detail):
                    raise
            async with self._loading:
                await self.load()
            return await self._answer(command, self.send(p, command))
        except Unreachable as error:
            raise LedgerUnavailable(maybe_ran=error.maybe_ran) from None
        except StoreError as error:
            if error.code in NEVER:
                raise LedgerConflict("argument" if error.code == "CGXARG" else error.detail) from None
            if error.code in NOT_NOW:
                raise LedgerUnavailable(maybe_ran=False) from None
            raise

    async def run(self, p: int, command: Command, *, urgent: bool = False) -> Any:
        """Send and await; ``urgent``: somebody waits for it (`metering.store.link`). Raises as `reply`."""
        return await self.reply(p, command, self._topology.send(p, command, urgent=urgent))

    async def close(self) -> None:
        await self._topology.close()

    async def _answer(self, command: Command, sent: asyncio.Future[Any]) -> Any:
        try:
            return await sent
        except StoreError as error:
            return await self._topology.redo(command, error)


def _listed(libraries: Any) -> bool:
    """Whether FUNCTION LIST ... WITHCODE shows exactly this text."""
    for library in libraries:
        fields: dict[Any, Any] = library if isinstance(library, dict) else records.pairs(library)
        code = fields.get(b"library_code", fields.get("library_code"))
        if code in (source(), source().decode()):
            return True
    return False
