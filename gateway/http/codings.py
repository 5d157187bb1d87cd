"""Content codings (RFC 9110 section 8.4.1), decoded a piece at a time and within a bound.

Rules:

1. A body is decoded completely: several gzip members (RFC 1952 section 2.2) and several zstd frames (RFC 8878
   section 3.1) follow each other, and the last one ends at the body's end. A body that ends earlier is not
   `whole`.
2. ``deflate`` is zlib's format, and without its header as many servers send it (RFC 9110 section 8.4.1.2, note).
3. An unknown coding is not guessed: `codings_of` reports it, and the caller decides.
4. Work is bounded: no more than ``limit`` bytes come out, no more than ``members`` members are begun, and a zstd window
   is at most 8 MiB (RFC 9659).
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

CODINGS: Final = frozenset({"gzip", "deflate", "zstd"})
SLICE: Final = 65_536  # decoded bytes at a time
_ALIASES: Final = {"x-gzip": "gzip"}
_WINDOW_LOG: Final = 23
_GZIP, _ZLIB, _RAW = 31, 15, -15


class Corrupt(Exception):
    """The data is not what its coding says."""


class TooMuch(Exception):
    """The decoded data is larger than the caller's limit."""


def codings_of(values: Sequence[str]) -> tuple[str, ...] | None:
    """The codings in the order in which they were applied, without ``identity``; ``None`` if one of them is not known.

    Args:
        values: The values of every ``Content-Encoding`` line.
    """
    names = [name.strip().lower() for value in values for name in value.split(",")]
    applied = tuple(_ALIASES.get(name, name) for name in names if name not in {"", "identity"})
    return applied if CODINGS.issuperset(applied) else None


class Decoder(Protocol):
    """Undoes codings. `whole` says whether the data that was fed so far may end here."""

    @property
    def whole(self) -> bool: ...

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The decoded ``data``, in pieces of at most `SLICE` bytes. Raises `Corrupt`, `TooMuch`."""
        ...


def decoder(codings: Sequence[str], *, limit: int, members: int = sys.maxsize) -> Decoder:
    """A decoder for codings of `codings_of`; each stage obeys the bounds."""
    stages: list[Decoder] = [_Stage(coding, limit, members) for coding in reversed(codings)]
    return stages[0] if len(stages) == 1 else _Chain(stages)


class _Chain:
    def __init__(self, stages: Sequence[Decoder]) -> None:
        self._stages = stages

    @property
    def whole(self) -> bool:
        return all(stage.whole for stage in self._stages)

    def feed(self, data: bytes) -> Iterator[bytes]:
        return self._pass(data, 0)

    def _pass(self, data: bytes, stage: int) -> Iterator[bytes]:
        for piece in self._stages[stage].feed(data):
            if stage + 1 == len(self._stages):
                yield piece
            else:
                yield from self._pass(piece, stage + 1)


class _Stage:
    """One coding: its members one after the other."""

    def __init__(self, coding: str, limit: int, members: int) -> None:
        self._coding = coding
        self._left = limit
        self._members = members
        self._member: Any = None  # of zlib or of zstd; None between two members
        self._start = b""  # of a member whose format two bytes tell
        self._begun = False

    @property
    def whole(self) -> bool:
        return self._begun and self._member is None and not self._start

    def feed(self, data: bytes) -> Iterator[bytes]:
        # In slices: what follows a member's end is copied, once for each of the members in a slice.
        for start in range(0, len(data), SLICE):
            yield from self._feed(data[start : start + SLICE])

    def _feed(self, data: bytes) -> Iterator[bytes]:
        while self._member is not None or data:
            if self._member is None and not (data := self._begin(data)):
                return
            member = self._member
            try:
                piece = member.decompress(data, SLICE)
            except (zlib.error, zstd.ZstdError, EOFError):
                raise Corrupt from None
            self._left -= len(piece)
            if self._left < 0:
                raise TooMuch
            if piece:
                yield piece
            if member.eof:
                self._member, data = None, member.unused_data
            elif self._coding == "zstd":
                if member.needs_input:
                    return
                data = b""
            else:
                data = member.unconsumed_tail
                if not data and len(piece) < SLICE:
                    return

    def _begin(self, data: bytes) -> bytes:
        """Begin a member; returns what it is to be fed, nothing if it cannot begin yet."""
        if self._coding == "gzip" and self._begun:
            data = data.lstrip(b"\0")  # padding after a member, which gzip itself passes over
            if not data:
                return b""
        if self._coding == "deflate":
            if self._begun:
                raise Corrupt  # one stream: nothing follows it
            data, self._start = self._start + data, b""
            if len(data) < 2:
                self._start = data
                return b""
        self._members -= 1
        if self._members < 0:
            raise TooMuch
        self._begun = True
        if self._coding == "zstd":
            self._member = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _WINDOW_LOG})
        elif self._coding == "gzip":
            self._member = zlib.decompressobj(_GZIP)
        else:
            zlib_header = data[0] & 0x0F == 8 and int.from_bytes(data[:2], "big") % 31 == 0  # RFC 1950 section 2.2
            self._member = zlib.decompressobj(_ZLIB if zlib_header else _RAW)
        return data
