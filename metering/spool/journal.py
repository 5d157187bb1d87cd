"""What remembers erasures and revocations on disk, and the one for processes without a spool (the commands and the
internal API), which leaves notes in the spool's folder.

Each note is a file of its own, written and synced before the call returns. The file is not locked afterwards, so that
any gateway of this host adopts it as it adopts a dead one's, and applies it again at once and at each new epoch of the
store until it is as old as the spool keeps things. Applying is idempotent.
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
    """Keeps on disk what must outlive a loss of the store: `FileJournal` or a `metering.spool.spool.Spool`."""

    def erased(self, pid: str, names: Collection[str]) -> None:
        """Note an erasure: the account, and the names that the identity map had for it. Raises OSError."""
        ...

    def revoked(self, name: str) -> None:
        """Note that a session or token family was revoked. Raises OSError."""
        ...


class FileJournal:
    """Notes in the folder of a spool (`metering.spool.spool`), which is made where it is missing."""

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
