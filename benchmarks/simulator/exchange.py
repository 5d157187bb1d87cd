"""The types that the parts of the simulator share: a call comes in, a reply goes out.

A reply's events are produced lazily, one at a time, when they are due: generating them is what
counts them on the bill. An item of the event iterator is the bytes of one event, or a tuple of
events that leave together.
"""

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import formatdate
from enum import Enum

from benchmarks.simulator.controls import Controls
from benchmarks.simulator.ledger import Bill


class Act(Enum):
    """What to do to the connection instead of writing bytes."""

    HANG = "hang"
    RESET = "reset"  # TCP reset
    CLOSE = "close"  # orderly
    RAGGED = "ragged"  # end of TCP without the TLS close alert


Event = bytes | tuple[bytes, ...]
"""One event, or several that leave together."""


class Last(tuple[bytes, ...]):
    """The last events of an answer: the end of the body leaves with them."""

    __slots__ = ()


Step = bytes | int | Act
"""Bytes for the wire, a pause in milliseconds, or an act."""


class Final(bytes):
    """The last bytes of an answer: with them it is complete."""

    __slots__ = ()


@dataclass(slots=True)
class Call:
    """A request that has arrived whole."""

    method: str
    path: str  # percent-decoded, without query
    query: str
    headers: list[tuple[bytes, bytes]]
    body: bytes
    keep_alive: bool
    bill: Bill
    controls: Controls
    number: int

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header, by its lower-case name."""
        for key, value in self.headers:
            if key.lower() == name:
                return value
        return None


@dataclass(slots=True)
class Reply:
    """An answer before framing: ``headers`` are complete lines, without length or framing."""

    status: int
    headers: bytes
    content: bytes | Iterator[Event | Act]
    error: bytes = b""  # the event that ``error_mid`` and ``error_early`` send

    @property
    def streamed(self) -> bool:
        return not isinstance(self.content, bytes)


REASONS = {
    200: b"OK",
    400: b"Bad Request",
    401: b"Unauthorized",
    402: b"Payment Required",
    403: b"Forbidden",
    404: b"Not Found",
    405: b"Method Not Allowed",
    413: b"Payload Too Large",
    429: b"Too Many Requests",
    500: b"Internal Server Error",
    503: b"Service Unavailable",
    529: b"Overloaded",
}

_SEED = secrets.token_hex(8)
_NUMBERS = itertools.count(1)


def next_number() -> int:
    """A number that no other request of this process has."""
    return next(_NUMBERS)


def identifier(number: int, length: int) -> str:
    """Letters and digits that name a request for good, across processes."""
    return f"{_SEED}{number:012x}".rjust(length, "0")[-length:]


class _Dates:
    """The Date header, rendered once a second."""

    __slots__ = ("second", "value")

    def __init__(self) -> None:
        self.second = 0
        self.value = b""

    def now(self) -> bytes:
        second = int(time.time())
        if second != self.second:
            self.second = second
            self.value = formatdate(second, usegmt=True).encode()
        return self.value


_DATES = _Dates()


def http_date() -> bytes:
    return _DATES.now()
