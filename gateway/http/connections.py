"""The client connections of one worker: how many there may be, and which one is closed if there are too many.

All clients share a descriptor table, and a connection costs its client nothing. Rules:

1. There are at most ``most`` connections, which leaves as many descriptors for providers, and some for the store and
   the internal listener. One address may have at most ``most_of_one``; an IPv6 address is its first 64 bits.
2. At a limit, a new connection displaces the one that has waited longest: first one that has not sent a complete head
   (a stranger), then one between two requests. A connection whose request has a valid token stays until it is answered;
   if all connections are such, the new one is refused. So a client that does not use its connections excludes nobody.
3. A head must be complete within ``head_seconds`` of its first byte; the first head of a connection within that time of
   the connection's start (unless a proxy opens connections in advance). If a client reads nothing of its answer for
   `UNREAD_SECONDS`, its connection is closed; for a stream, the provider's idle timeout applies instead.
4. Every step is a few operations on dictionaries in the order of time. Nothing is kept about a closed connection.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from enum import Enum
from typing import Protocol

UNREAD_SECONDS = 60.0
RESERVED = 64  # descriptors for the store, the spool, logs and the internal listener
FEWEST = 16  # connections, however small the table is
_MAPPED = b"\0" * 10 + b"\xff\xff"  # what IPv4 addresses begin with as IPv6 ones (RFC 4291 section 2.5.5.2)


def room_for(descriptors: int, most: int) -> int:
    """How many client connections, at most ``most``, fit into the descriptor table.

    It is half of what is not reserved, since each may need a connection to a provider.
    """
    return max(FEWEST, min(most, (descriptors - RESERVED) // 2))


def source_of(address: str) -> bytes:
    """What counts as one address: of IPv4 all of it, of IPv6 the 64 bits that one host can have as many of as it likes.

    A value that is not an address (a socket of the file system) is one source.
    """
    try:
        if ":" not in address:
            return socket.inet_pton(socket.AF_INET, address)
        packed = socket.inet_pton(socket.AF_INET6, address.partition("%")[0])
    except (OSError, ValueError):
        return b""
    return packed[12:] if packed.startswith(_MAPPED) else packed[:8]


class Ended(Enum):
    """Why a connection was ended or refused by its worker."""

    HEAD = "head_timeout"
    UNREAD = "unread"
    DISPLACED = "displaced"
    REFUSED = "refused"


class Held(Protocol):
    """A connection that may be ended.

    Attributes:
        streams: A provider's answer is being passed on.
    """

    @property
    def streams(self) -> bool: ...

    def end(self) -> None:
        """Close it at once; harmless if it is closed."""
        ...


class _Waiting:
    """Connections that wait for their clients, each kind oldest first."""

    __slots__ = ("heads", "idle")

    def __init__(self) -> None:
        self.heads: dict[Held, float] = {}  # without a whole head, since when
        self.idle: dict[Held, None] = {}  # between two requests

    def oldest(self) -> Held | None:
        for waiting in (self.heads, self.idle):
            for held in waiting:
                return held
        return None

    def remove(self, held: Held) -> None:
        if self.heads.pop(held, None) is None:
            self.idle.pop(held, None)


class _Source(_Waiting):
    """One address."""

    __slots__ = ("count", "name")

    def __init__(self, name: bytes) -> None:
        super().__init__()
        self.name = name
        self.count = 0


class Connections:
    """The table. For each connection, `admit` is called first and `gone` last; the calls in between report its state.

    Attributes:
        most: Connections at a time.
        most_of_one: Of one address.
        short: How many were refused or displaced; the caller that reports it resets it.
    """

    def __init__(
        self,
        most: int,
        most_of_one: int,
        head_seconds: float,
        *,
        patient: bool = False,
        clock: Callable[[], float],
        on_ended: Callable[[Ended], None] = lambda _why: None,
    ) -> None:
        """Build an empty table.

        Args:
            most: Connections at a time.
            most_of_one: Of one address.
            head_seconds: For a head.
            patient: A new connection may be quiet as one between two requests may: proxies open them beforehand.
            clock: Seconds, never going back.
            on_ended: Called for each connection that is ended or refused here.
        """
        self.most = most
        self.most_of_one = most_of_one
        self._head_seconds = head_seconds
        self._patient = patient
        self._clock = clock
        self._on_ended = on_ended
        self._all: dict[Held, _Source] = {}
        self._sources: dict[bytes, _Source] = {}
        self._waiting = _Waiting()
        self._unread: dict[Held, float] = {}  # clients that take nothing, since when
        self.short = 0

    def __len__(self) -> int:
        return len(self._all)

    @property
    def sources(self) -> int:
        """Addresses that have a connection."""
        return len(self._sources)

    def admit(self, held: Held, source: bytes) -> bool:
        """Take a connection in, which owes a head from now on; false if there is no room, and none can be made."""
        found = self._sources.get(source)
        if (found is not None and found.count >= self.most_of_one and not self._displace(found)) or (
            len(self._all) >= self.most and not self._displace(self._waiting)
        ):
            self.refused()
            return False
        place = self._sources.get(source)  # displacing its last connection may have removed it
        if place is None:
            place = self._sources[source] = _Source(source)
        place.count += 1
        self._all[held] = place
        if self._patient:
            self.answered(held)
        else:
            self._owes_head(held, place)
        return True

    def refused(self) -> None:
        """A connection was turned away."""
        self.short += 1
        self._on_ended(Ended.REFUSED)

    def asked(self, held: Held) -> None:
        """The request has a valid token: the connection is being answered."""
        place = self._all.get(held)
        if place is not None:
            self._waiting.remove(held)
            place.remove(held)

    def answered(self, held: Held) -> None:
        """Its answer has ended, and no other request has arrived."""
        place = self._all.get(held)
        if place is not None:
            self._waiting.remove(held)
            place.remove(held)
            self._waiting.idle[held] = place.idle[held] = None

    def asks(self, held: Held) -> None:
        """Bytes arrived that are not a complete head."""
        if held in self._waiting.idle:
            place = self._all[held]
            self._waiting.remove(held)
            place.remove(held)
            self._owes_head(held, place)

    def stands(self, held: Held) -> None:
        """Its client takes nothing for now."""
        if held in self._all:
            self._unread.setdefault(held, self._clock())

    def flows(self, held: Held) -> None:
        """Its client takes what it gets again."""
        self._unread.pop(held, None)

    def gone(self, held: Held) -> None:
        """It has ended. May be called twice."""
        place = self._all.pop(held, None)
        if place is None:
            return
        self._unread.pop(held, None)
        self._waiting.remove(held)
        place.remove(held)
        place.count -= 1
        if not place.count:
            del self._sources[place.name]

    def sweep(self) -> None:
        """End what has been waited for long enough. To be called about each second."""
        now = self._clock()
        while (late := next(iter(self._waiting.heads.items()), None)) and now - late[1] >= self._head_seconds:
            self._end(late[0], Ended.HEAD)
        for held, since in list(self._unread.items()):
            if now - since < UNREAD_SECONDS:
                break
            if held.streams:
                del self._unread[held]
                self._unread[held] = now
            else:
                self._end(held, Ended.UNREAD)

    def _owes_head(self, held: Held, place: _Source) -> None:
        self._waiting.heads[held] = place.heads[held] = self._clock()

    def _displace(self, waiting: _Waiting) -> bool:
        oldest = waiting.oldest()
        if oldest is None:
            return False
        self.short += 1
        self._end(oldest, Ended.DISPLACED)
        return True

    def _end(self, held: Held, why: Ended) -> None:
        self.gone(held)
        self._on_ended(why)
        held.end()
