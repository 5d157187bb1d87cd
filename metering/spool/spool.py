"""What a gateway still has to report to the ledger, on disk, without content.

An intent is written before a request is sent to a provider, and its settlement or void after it ended.
Both survive a killed process as soon as they are written (the kernel has them), and a lost machine after the next
group fsync. What the ledger has acknowledged is kept for another 15 minutes, because a failover may
lose it.

Rules:

1. All notes of one loop tick are one write, and the requests that waited for it go on in it (`metering.inline`); fsync
   is done in groups, off the loop.
2. The size of the folder is bounded. At the bound, and while writing fails, new requests are refused (`SpoolFull`);
   settlements of running requests are still accepted.
3. The spool does not decide what is charged: replaying too much is harmless, since the ledger's calls are
   idempotent by rid.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Callable, Collection
from pathlib import Path

from metering.clock import now_ms
from metering.inline import InlineFuture
from metering.ledger import records
from metering.spool import frames
from metering.spool.segment import SUFFIX, Segment, adopt_dead
from metering.usage import UsageRecord

LIMIT = 1 << 30
KEEP_SECONDS = 900.0
SEGMENT_BYTES = 8 << 20
SEGMENT_SECONDS = 60.0
SYNC_SECONDS = 0.05
RETRY_SECONDS = 0.5


class SpoolFull(Exception):
    """The folder is full, or the disk refuses writes: a new request must not be sent to a provider."""


class Spool:
    """One process's part of a host's spool folder.

    Attributes:
        home: The folder's id. A request that was reserved under it and has no intent was never sent.
        failing: The last write failed.
    """

    def __init__(
        self,
        folder: Path,
        *,
        limit: int = LIMIT,
        keep: float = KEEP_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._limit = limit
        self._keep = keep
        self._clock = clock
        self._process = secrets.token_hex(4)
        self._number = 0
        self._mine: list[Segment] = []
        self._adopted: list[Segment] = []
        self._owed: dict[str, Segment] = {}
        self._running: dict[str, Segment] = {}
        # Not written yet:
        self._intents: list[tuple[str, bytes, InlineFuture[None]]] = []
        self._ends: dict[str, bytes] = {}
        self._notes: list[bytes] = []
        self._flushing = False
        self._dirty: set[Segment] = set()
        self._in_sync: set[Segment] = set()
        self._syncing: asyncio.Task[None] | None = None
        self.failing = False
        self.home = _home(folder)
        self._size = sum(map(_size, self._files()))
        self._current = self._rotate()

    @property
    def owed(self) -> int:
        """Settlements and voids that the ledger has not acknowledged."""
        return len(self._owed) + len(self._ends)

    @property
    def full(self) -> bool:
        return self.failing or self._size >= self._limit

    async def intent(self, pid: str, rid: str, *, alone: bool = False) -> None:
        """Note that a request is about to be sent to a provider; on return the note survives this process.

        ``alone``: no other will come in this turn, so that it is written at once, with those that wait for the turn.

        Raises:
            SpoolFull: Refuse the request.
        """
        if self.full:
            raise SpoolFull
        written: InlineFuture[None] = InlineFuture(loop=asyncio.get_running_loop())
        self._intents.append((rid, frames.frame(frames.INTENT, f"{pid} {rid}"), written))
        if alone:
            self._flush()
        else:
            self._soon()
        await written

    def settled(self, record: UsageRecord) -> None:
        """Note what a request cost. Never raises."""
        try:
            self._ends[record.rid] = frames.frame(frames.SETTLED, records.encode(record))
        except ValueError:
            return  # the ledger refuses it too, and the settler reports that
        self._soon()

    def voided(self, pid: str, rid: str) -> None:
        """Note that a request cost nothing. Never raises."""
        self._ends[rid] = frames.frame(frames.VOIDED, f"{pid} {rid}")
        self._soon()

    def acknowledged(self, rid: str) -> None:
        """Note that the ledger has the settlement or void."""
        self._ends.pop(rid, None)
        segment = self._owed.pop(rid, None)
        if segment is not None:
            segment.owed -= 1
            segment.touched = self._clock()

    def erased(self, pid: str, names: Collection[str]) -> None:
        """Note an erasure: the account, and its names in the identity map."""
        self._notes.append(frames.frame(frames.ERASED, " ".join((pid, *names))))
        self._soon()

    def revoked(self, name: str) -> None:
        """Note that a session or token family was revoked."""
        self._notes.append(frames.frame(frames.REVOKED, name))
        self._soon()

    async def sent(self, rids: Collection[str]) -> set[str]:
        """Which of these requests have an intent anywhere in the folder."""
        return await asyncio.to_thread(self._search, frozenset(rids))

    async def tidy(self) -> list[Path]:
        """Start a new file if it is time, remove files that are no longer needed, adopt those of dead processes.

        Call it every few seconds. Returns the paths of the adopted files, for replaying.
        """
        now = self._clock()
        if self._current.size and (self._current.size > SEGMENT_BYTES or now - self._current.created > SEGMENT_SECONDS):
            self._current = self._rotate()
        busy = self._dirty | self._in_sync | {self._current}
        for segments in (self._mine, self._adopted):
            for segment in [s for s in segments if s.may_go(now, self._keep)]:
                if segment not in busy:
                    segment.remove()
                    segments.remove(segment)
        self._size = sum(map(_size, self._files()))
        return await self._adopt(now)

    def stay(self) -> None:
        """Let no file expire for now: the store is away, so neither a reaper nor a replay can use the files."""
        for segment in (*self._mine, *self._adopted):
            segment.touched = self._clock()

    def paths(self) -> list[Path]:
        """Every file that this process owns, oldest first."""
        return [segment.path for segment in (*self._adopted, *self._mine)]

    async def close(self) -> None:
        """Write and sync everything; another process adopts what is still owed."""
        self._flush()
        if self._syncing is not None:
            await self._syncing
        for segment in (*self._mine, *self._adopted):
            if not segment.running and not segment.owed and not segment.size:
                segment.remove()
            else:
                segment.close()
        self._mine, self._adopted = [], []

    def _soon(self) -> None:
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        data = b"".join([*(data for _, data, _ in self._intents), *self._ends.values(), *self._notes])
        if not data:
            self.failing = False  # nothing waits: the next request tries to write again
            return
        try:
            (segment := self._current).write(data)
        except OSError:
            self._write_failed()
            return
        self._size += len(data)
        self.failing = False
        intents, self._intents = self._intents, []
        for rid, _, _ in intents:
            self._running[rid] = segment
            segment.running += 1
        for rid in self._ends:
            self._ended(rid)
            if rid not in self._owed:
                self._owed[rid] = segment
                segment.owed += 1
        self._ends.clear()
        self._notes.clear()
        self._dirty.add(segment)
        if self._syncing is None:
            self._syncing = asyncio.get_running_loop().create_task(self._sync(), name="spool-sync")
        for _, _, written in intents:
            if not written.done():
                written.resolve(None)

    def _write_failed(self) -> None:
        """Refuse the requests of this tick, keep the other notes, and try again."""
        self.failing = True
        for _, _, written in self._intents:
            if not written.done():
                written.set_exception(SpoolFull())
        self._intents.clear()
        self._flushing = True
        asyncio.get_running_loop().call_later(RETRY_SECONDS, self._flush)

    async def _sync(self) -> None:
        try:
            while self._dirty:
                await asyncio.sleep(SYNC_SECONDS)
                self._in_sync, self._dirty = self._dirty, set()
                for segment in self._in_sync:
                    try:
                        await asyncio.to_thread(segment.sync)
                    except OSError:
                        self.failing = True
                        asyncio.get_running_loop().call_later(RETRY_SECONDS, self._flush)
        finally:
            self._in_sync = set()
            self._syncing = None

    def _ended(self, rid: str) -> None:
        segment = self._running.pop(rid, None)
        if segment is not None:
            segment.running -= 1
            segment.touched = self._clock()

    def _rotate(self) -> Segment:
        self._number += 1
        name = f"{now_ms():013d}-{self._process}-{self._number:06d}{SUFFIX}"
        segment = Segment.create(self._folder / name, self._clock())
        self._mine.append(segment)
        return segment

    async def _adopt(self, now: float) -> list[Path]:
        known = {segment.path for segment in (*self._mine, *self._adopted)}
        strangers = [path for path in self._files() if path not in known]
        adopted = await asyncio.to_thread(adopt_dead, strangers, now)
        for segment, rids in adopted:
            self._adopted.append(segment)
            for rid in rids:
                if rid not in self._owed:
                    self._owed[rid] = segment
                    segment.owed += 1
        return [segment.path for segment, _ in adopted]

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob(f"*{SUFFIX}"))

    def _search(self, wanted: frozenset[str]) -> set[str]:
        found: set[str] = set()
        for path in self._files():
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                continue
            for kind, text in frames.frames(data):
                if kind == frames.INTENT and (rid := text.partition(" ")[2]) in wanted:
                    found.add(rid)
        return found


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # another process was done with it
        return 0


def _home(folder: Path) -> str:
    """The folder's id, drawn by the first process that uses it."""
    path = folder / "id"
    draft = folder / f"id.{secrets.token_hex(4)}"
    draft.write_text(secrets.token_hex(8))
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return path.read_text()
