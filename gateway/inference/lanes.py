"""Autocomplete lanes: for one session and one ``x-supersede-key``, only the newest request runs.

Rules:

1. Within a worker, a newer request ends the older one at once, before it reserves. The newer one has the later time in
   its id; within a millisecond, it is the one that arrived later. Between workers, the store compares the times in the
   ids, in the same call as the reserve (`metering.ledger.ledger`): it refuses an older request that arrives late.
2. The store names the request that was replaced. If that runs on another worker, it is announced, and the worker that
   serves it ends exactly that request.
3. If an announcement is lost, the older request on another worker runs to its end: this costs more, but is correct.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from gateway.auth.announcements import Announcement, Topic, publish
from gateway.auth.principal import Client
from gateway.errors import InvalidRequest, Superseded
from gateway.inference.running import Cancellation
from metering.ledger.ledger import Refused, Reserved
from metering.usage import Outcome

HEADER = "x-supersede-key"
HIGHEST_SLOT = 65_535
STAMP = 16  # characters of a rid that are its time, and compare as text; the store compares the same ones
REMEMBERED = 4_096  # lanes whose last request is known although it has ended: it needs no announcement

T = TypeVar("T")

_SLOT = re.compile(r"[0-9]{1,5}")


class Headers(Protocol):
    """Of a request; names in any case."""

    def getall(self, key: str, default: Sequence[str], /) -> Sequence[str]: ...


def slot_of(headers: Headers) -> int | None:
    """The lane that a request asks for.

    Raises:
        InvalidRequest: It is not an integer from 0 to 65535, or there are several.
    """
    values = headers.getall(HEADER, ())
    if not values:
        return None
    if len(values) > 1 or not _SLOT.fullmatch(values[0]) or (slot := int(values[0])) > HIGHEST_SLOT:
        raise InvalidRequest("x-supersede-key is one integer from 0 to 65535.", param=HEADER)
    return slot


class Taken:
    """A lane that a request took in this worker; the store has the last word when it reserves.

    Attributes:
        name: The lane as `metering.ledger.types.Reservation` has it.
        here: The last request that this worker had in the lane: its end need not be announced.
    """

    __slots__ = ("_lanes", "_sid", "_slot", "here", "name")

    def __init__(self, lanes: Lanes, sid: str, slot: int, here: str) -> None:
        self._lanes = lanes
        self._sid = sid
        self._slot = slot
        self.here = here
        self.name = f"{sid}:{slot}"

    async def reserve(self, call: Coroutine[Any, Any, Reserved | Refused]) -> Reserved | Refused:
        """Make the ledger's call, and announce whose lane the store gave it.

        A still newer request may cancel the caller while the call is on its way: what the call replaced must still be
        announced, since the newer request replaces this one and does not know of the other.
        """
        task = self._lanes.start(call)
        task.add_done_callback(self._heard)
        return await asyncio.shield(task)

    def _heard(self, task: asyncio.Task[Reserved | Refused]) -> None:
        if task.cancelled() or task.exception() is not None:
            return
        decision = task.result()
        if isinstance(decision, Reserved) and decision.replaced and decision.replaced != self.here:
            self._lanes.announce(self._sid, self._slot, decision.replaced)


class Lanes:
    """One worker's lanes."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._running: dict[tuple[str, int], tuple[str, Cancellation]] = {}
        self._ended: dict[tuple[str, int], str] = {}
        self._calls: set[asyncio.Task[Any]] = set()

    @property
    def running(self) -> Mapping[tuple[str, int], tuple[str, Cancellation]]:
        """Session and slot to the request that has the lane."""
        return self._running

    def take(self, sid: str, slot: int, rid: str, request: Cancellation) -> Taken:
        """A request takes its lane, and this worker's older one ends. The caller must call `leave` for it, and make
        its reserve through what it gets.

        Raises:
            Superseded: The lane's request is newer: this one took longer to arrive (its body, its session).
        """
        lane = sid, slot
        older = self._running.get(lane)
        if older is not None and older[0][:STAMP] > rid[:STAMP]:
            raise Superseded
        self._running[lane] = rid, request
        if older is None:
            return Taken(self, sid, slot, self._ended.pop(lane, ""))
        older[1].stop(Superseded(), Outcome.SUPERSEDED)
        return Taken(self, sid, slot, older[0])

    def announce(self, sid: str, slot: int, rid: str) -> None:
        """Tell the other workers that this request lost its lane."""
        self.start(publish(self._client, Announcement(Topic.SUPERSEDED, sid=sid, slot=slot, rid=rid)))

    def start(self, call: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run a call whose outcome must be read even if the caller is cancelled."""
        task = asyncio.get_running_loop().create_task(call)
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)
        return task

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
        """Another worker's newer request took a lane: end the replaced request if it runs here."""
        held = self._running.get((announcement.sid, announcement.slot))
        if held is not None and held[0] == announcement.rid:
            held[1].stop(Superseded(), Outcome.SUPERSEDED)
