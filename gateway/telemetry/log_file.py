"""The log file: a new one each day (UTC), deleted after the configured time.

Rules:

1. Several processes append to one file. A line is one ``write``, so that lines never mix.
2. After its day, the first process that writes renames the file to ``NAME.YYYY-MM-DD``; the others notice that the name
   is now another file, and follow. A lock on the old file decides who renames.
3. A file is deleted when its first line is ``keep_days`` old, so that no line is kept for longer.
4. If the disk is full or missing, lines are lost, but no request fails.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from metering.clock import DAY_SECONDS

KEEP_DAYS = 14
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


class LogFile:
    """What `structlog.BytesLogger` writes to."""

    def __init__(self, path: Path, keep_days: int = KEEP_DAYS, clock: Callable[[], float] = time.time) -> None:
        """Open ``path`` for appending.

        Raises:
            OSError: It cannot be opened.
        """
        self._path = path
        self._keep_days = keep_days
        self._clock = clock
        self._descriptor = -1
        self._day = 0  # days since 1970 in UTC, of what the open file holds
        self._open()
        now = int(clock())
        if self._day != now // DAY_SECONDS:  # left over from another day
            self._roll(now)
        self._sweep(now)

    def write(self, line: bytes) -> None:
        self.tick()
        with suppress(OSError):
            os.write(self._descriptor, line)

    def flush(self) -> None:
        """Nothing is buffered here."""

    def tick(self) -> None:
        """Rename the file if its day is over."""
        now = int(self._clock())
        if now // DAY_SECONDS != self._day:
            with suppress(OSError):
                self._roll(now)
                self._sweep(now)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> None:
        self.close()
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        found = os.fstat(self._descriptor)
        moment = found.st_mtime if found.st_size else self._clock()
        self._day = int(moment) // DAY_SECONDS

    def _roll(self, now: int) -> None:
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        try:
            with suppress(FileNotFoundError):
                if os.path.samestat(self._path.stat(), os.fstat(self._descriptor)):
                    ended = self._path.with_name(f"{self._path.name}.{_date(self._day)}")
                    if not ended.exists():
                        self._path.rename(ended)
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        self._open()
        self._day = now // DAY_SECONDS

    def _sweep(self, now: int) -> None:
        last = _date(now // DAY_SECONDS) - timedelta(days=self._keep_days)
        for old in self._path.parent.glob(f"{self._path.name}.*"):
            day = old.name.removeprefix(f"{self._path.name}.")
            if _DATE.fullmatch(day) and day <= last.isoformat():
                with suppress(OSError):
                    old.unlink()


def _date(day: int) -> date:
    return datetime.fromtimestamp(day * DAY_SECONDS, UTC).date()
