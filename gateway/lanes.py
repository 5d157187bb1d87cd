"""Autocomplete lanes: of one session and one ``x-supersede-key`` only the newest request lives.

Rules:

1. Within a worker a newer request ends the older at once, before it reserves. Which of two workers' requests is newer
   the store decides, by the time in their ids, in the same call as the reserve (`metering.ledger`): an older one that
   comes late is refused there, and never ends a newer one.
2. The store names the request that lost the lane. It is announced only where it was not this worker's own, and the
   worker that serves it ends that one and no other.
3. Without announcements a lane's older request on another worker runs on to its end: it costs more, and is right.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Protocol

from gateway.auth.announcements import Announcement, Kind, publish
from gateway.auth.principal import Client
from gateway.errors import InvalidRequest, Superseded
from gateway.running import Stoppable
from metering.usage import Outcome

HEADER = "x-supersede-key"
HIGHEST_SLOT = 65_535
REMEMBERED = 4_096  # lanes whose last request is known although it has ended: it needs no announcement

_SLOT = re.compile(r"[0-9]{1,5}")


class Headers(Protocol):
    """Of a request; names in any case."""

    def getall(self, key: str, default: Sequence[str], /) -> Sequence[str]: ...


def slot_of(headers: Headers) -> int | None:
    """The lane that a request asks for.

    Raises:
        InvalidRequest: It is no integer from 0 to 65535, or there are several.
    """
    values = headers.getall(HEADER, ())
    if not values:
        return None
    if len(values) > 1 or not _SLOT.fullmatch(values[0]) or (slot := int(values[0])) > HIGHEST_SLOT:
        raise InvalidRequest("x-supersede-key is one integer from 0 to 65535.", param=HEADER)
    return slot


def name(sid: str, slot: int) -> str:
    """A lane as `metering.reservation.Reservation` has it."""
    return f"{sid}:{slot}"


class Lanes:
    """One worker's lanes."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._running: dict[tuple[str, int], tuple[str, Stoppable]] = {}
        self._ended: dict[tuple[str, int], str] = {}
        self._publishing: set[asyncio.Task[bool]] = set()

    @property
    def running(self) -> Mapping[tuple[str, int], tuple[str, Stoppable]]:
        """Session and slot to the request that has the lane."""
        return self._running

    def take(self, sid: str, slot: int, rid: str, request: Stoppable) -> str:
        """A request takes its lane, and this worker's older one ends. The caller must call `leave` for it.

        Gives the rid of the last request that this worker had in the lane, or empty; hand it to `took`.
        """
        lane = sid, slot
        older = self._running.get(lane)
        self._running[lane] = rid, request
        if older is None:
            return self._ended.pop(lane, "")
        older[1].stop(Superseded(), Outcome.SUPERSEDED)
        return older[0]

    def took(self, sid: str, slot: int, *, replaced: str, here: str) -> None:
        """The store gave it the lane of ``replaced``: tell the other workers, unless that one was here."""
        if not replaced or replaced == here:
            return
        announcement = Announcement(Kind.SUPERSEDED, sid=sid, slot=slot, rid=replaced)
        task = asyncio.get_running_loop().create_task(publish(self._client, announcement))
        self._publishing.add(task)
        task.add_done_callback(self._publishing.discard)

    def leave(self, sid: str, slot: int, rid: str) -> None:
        """The request ended."""
        lane = sid, slot
        held = self._running.get(lane)
        if held is None or held[0] != rid:
            return
        del self._running[lane]
        self._ended[lane] = rid
        if len(self._ended) > REMEMBERED:
            del self._ended[next(iter(self._ended))]

    def end(self, announcement: Announcement) -> None:
        """Another worker's newer request took a lane: the one that had it ends, where it is here."""
        held = self._running.get((announcement.sid, announcement.slot))
        if held is not None and held[0] == announcement.rid:
            held[1].stop(Superseded(), Outcome.SUPERSEDED)
