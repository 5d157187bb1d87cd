"""Keeps erasures and revocations on disk: the protocol, and its implementation for processes without a spool of their
own (the commands and the internal API), which write notes into the spool's folder.

Each note is a separate file, written and synced before the call returns. The file is not locked afterwards, so that
any gateway of this host adopts it like a dead gateway's file. That gateway applies it at once, and again at each new
epoch of the store, until the spool's retention time has passed. Applying is idempotent.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Collection
from pathlib import Path
from typing import Protocol

from metering.clock import now_ms
from metering.spool import frames
from metering.spool.segment import SUFFIX, Segment


class Journal(Protocol):
    """Keeps on disk what must survive a loss of the store: a `FileJournal` or a `metering.spool.spool.Spool`."""

    def erased(self, pid: str, names: Collection[str]) -> None:
        """Note an erasure: the account, and its names in the identity map. Raises OSError."""
        ...

    def revoked(self, name: str) -> None:
        """Note that a session or token family was revoked. Raises OSError."""
        ...


class FileJournal:
    """Writes notes into the folder of a spool (`metering.spool.spool`), which is created if it is missing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def erased(self, pid: str, names: Collection[str]) -> None:
        self._leave(frames.frame(frames.ERASED, " ".join((pid, *names))))

    def revoked(self, name: str) -> None:
        self._leave(frames.frame(frames.REVOKED, name))

    def _leave(self, frame: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = f"{now_ms():013d}-{secrets.token_hex(4)}-000001{SUFFIX}"
        segment = Segment.create(self._folder / name, time.monotonic())
        try:
            segment.write(frame)
            segment.sync()
        finally:
            segment.close()
