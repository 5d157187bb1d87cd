"""One file of the spool: append-only, synced, locked by the process that owns it.

Rules:

1. A process owns a file by holding its lock. A file is already locked when it appears in the folder,
   so that no other process adopts it; the file of a dead process is unlocked.
2. An incomplete write is truncated, so that frames never start in the middle.
3. The file may be removed when nothing in it is running or owed, and `keep` seconds have passed
   since: before that, a failover may need it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Collection, Iterator
from pathlib import Path

from metering.ledger import records
from metering.spool import frames

SUFFIX = ".log"


class Segment:
    """An open, locked file of the spool.

    Attributes:
        running: Requests whose intent is in this file and which have not ended.
        owed: Settlements and voids in this file that the ledger has not acknowledged.
        touched: When the last of these ended or was acknowledged (the spool's clock).
    """

    def __init__(self, path: Path, descriptor: int, size: int, now: float) -> None:
        self.path = path
        self.descriptor = descriptor
        self.size = size
        self.created = now
        self.touched = now
        self.running = 0
        self.owed = 0

    @classmethod
    def create(cls, path: Path, now: float) -> Segment:
        """A new file at ``path``. Raises OSError."""
        draft = path.with_suffix(".new")
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            draft.rename(path)
        except BaseException:
            os.close(descriptor)
            raise
        return cls(path, descriptor, 0, now)

    @classmethod
    def adopt(cls, path: Path, now: float) -> Segment | None:
        """The file of a dead process, with its torn tail truncated; ``None`` while its owner lives."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            data = path.read_bytes()  # FileNotFoundError: its owner removed it before we had the lock
            size = len(data) - frames.torn(data)
            if size < len(data):
                os.ftruncate(descriptor, size)
        except (BlockingIOError, FileNotFoundError):
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        return cls(path, descriptor, size, now)

    def write(self, data: bytes) -> None:
        """Append ``data`` completely or not at all. Raises OSError."""
        try:
            written = 0
            while written < len(data):
                written += os.write(self.descriptor, data[written:])
        except OSError:
            os.ftruncate(self.descriptor, self.size)
            raise
        self.size += len(data)

    def sync(self) -> None:
        """Wait until everything is on the disk. Blocks: do not call it on the event loop. Raises OSError."""
        os.fsync(self.descriptor)

    def read(self) -> bytes:
        return self.path.read_bytes()

    def may_go(self, now: float, keep: float) -> bool:
        return not self.running and not self.owed and now - self.touched > keep

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Close the file; another process can adopt it."""
        os.close(self.descriptor)


def adopt_dead(paths: Collection[Path], now: float) -> list[tuple[Segment, list[str]]]:
    """Adopt the files of dead processes; each with the requests that ended in it."""
    segments = [segment for path in paths if (segment := Segment.adopt(path, now)) is not None]
    return [(segment, list(_ends(segment.read()))) for segment in segments]


def _ends(data: bytes) -> Iterator[str]:
    for kind, text in frames.frames(data):
        if kind == frames.SETTLED:
            yield records.parse(text).rid
        elif kind == frames.VOIDED:
            yield text.partition(" ")[2]
