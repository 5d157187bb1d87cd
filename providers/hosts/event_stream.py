"""The framing of Amazon's event streams (``application/vnd.amazon.eventstream``) around the events of a dialect.

https://smithy.io/2.0/aws/amazon-eventstream.html, and the shape ``ResponseStream`` of Amazon Bedrock
(https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ResponseStream.html):

1. A message is: total length, length of the headers, CRC-32 of these eight bytes, headers, payload, CRC-32 of
   everything before it; all numbers are big-endian.
2. A message ``chunk`` has one event of the dialect, as JSON in base64. An exception or an error is a message too.
3. Nothing of a message is shown before its checksum was right. After one that is wrong, nothing more is shown: the
   stream was cut there.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple
from zlib import crc32

import msgspec

from providers.answers.around import Thorough
from providers.anthropic.failure import error_body
from providers.dialect import Scanner
from providers.hosts.bedrock_errors import status_of

CONTENT_TYPE: Final = b"application/vnd.amazon.eventstream"
LARGEST_HEADERS: Final = 128 << 10  # bytes; both are the protocol's bounds
LARGEST_PAYLOAD: Final = 24 << 20
_PRELUDE: Final = struct.Struct(">III")
_CHECKSUM: Final = struct.Struct(">I")
_LENGTH: Final = struct.Struct(">H")
_STRING: Final = 7
_SIZED: Final = frozenset((6, _STRING))
_FIXED: Final = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}  # bytes of the other types of a header's value
_TYPE: Final = re.compile(rb'\A\{"type":"([a-z_]{1,64})"')


class CorruptFrame(Exception):
    """What came is no event stream: a length or a checksum is wrong."""


class Frame(NamedTuple):
    """One message: its headers that are texts, and its payload."""

    headers: dict[str, str]
    payload: bytes


class Frames:
    """Reads the messages of a stream that comes in pieces."""

    __slots__ = ("_block", "_headers", "_held")

    def __init__(self) -> None:
        self._held = bytearray()
        self._block = b""  # the headers of the last message: most messages of a stream have the same
        self._headers: dict[str, str] = {}

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The messages that are complete now.

        Raises:
            CorruptFrame: The messages before it were returned; nothing may be fed after it.
        """
        held = self._held
        held += data
        while len(held) >= _PRELUDE.size:
            total, headers, checksum = _PRELUDE.unpack_from(held)
            if crc32(held[:8]) != checksum or headers > LARGEST_HEADERS or total - headers - 16 > LARGEST_PAYLOAD:
                raise CorruptFrame
            if total < headers + 16:
                raise CorruptFrame
            if len(held) < total:
                return
            message = bytes(held[:total])
            del held[:total]
            if crc32(message[:-4]) != _CHECKSUM.unpack_from(message, total - 4)[0]:
                raise CorruptFrame
            start = _PRELUDE.size + headers
            block = message[_PRELUDE.size : start]
            if block != self._block:
                self._headers, self._block = _headers(block), block
            yield Frame(self._headers, message[start:-4])


def _headers(data: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    names: set[str] = set()
    at = 0
    try:
        while at < len(data):
            name = data[at + 1 : at + 1 + data[at]].decode()
            at += 1 + data[at]
            if name in names:
                raise CorruptFrame
            names.add(name)
            kind = data[at]
            at += 1
            size = _FIXED.get(kind)
            if size is None:
                if kind not in _SIZED:
                    raise CorruptFrame
                (size,) = _LENGTH.unpack_from(data, at)
                at += 2
            value = data[at : at + size]
            if len(value) != size:
                raise CorruptFrame
            at += size
            if kind == _STRING:
                found[name] = value.decode()
    except (IndexError, struct.error, UnicodeDecodeError):
        raise CorruptFrame from None
    return found


class _Chunk(msgspec.Struct):
    event: bytes = msgspec.field(name="bytes", default=b"")


class _Typed(msgspec.Struct):
    type: str = ""


class _Message(msgspec.Struct):
    message: str = ""


_CHUNK: Final = msgspec.json.Decoder(_Chunk)
_TYPED: Final = msgspec.json.Decoder(_Typed)
_MESSAGE: Final = msgspec.json.Decoder(_Message)


def event_of(frame: Frame) -> bytes:
    """A message as a server-sent event of the Messages API; empty if it is none (a message of an unknown kind).

    Raises:
        CorruptFrame: Its payload is not what its headers say.
    """
    kind, headers = frame.headers.get(":message-type", "event"), frame.headers
    try:
        if kind == "event":
            if headers.get(":event-type") != "chunk":
                return b""
            event = _CHUNK.decode(frame.payload).event
            found = _TYPE.match(event)
            name = found[1] if found else _TYPED.decode(event).type.encode()
        elif kind == "exception":
            event = error_body(
                status_of(headers.get(":exception-type", ""), 500), _MESSAGE.decode(frame.payload).message
            )
            name = b"error"
        else:
            event = error_body(status_of(headers.get(":error-code", ""), 500), headers.get(":error-message", ""))
            name = b"error"
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise CorruptFrame from None
    if b"\n" in event or b"\r" in event:
        event = b"\ndata: ".join(event.splitlines())
    return b"event: %b\ndata: %b\n\n" % (name, event)


class Unframed(Thorough):
    """Shows the events in an event stream as server-sent events, to a scanner of these and to the client.

    A stream that is cut, or that has a wrong checksum, has not ended: the dialect's own end was not seen.
    """

    __slots__ = ("_corrupt", "_frames")

    def __init__(self, inner: Scanner) -> None:
        super().__init__(inner)
        self._frames = Frames()
        self._corrupt = False

    def feed(self, data: bytes) -> bytes:
        shown: list[bytes] = []
        if not self._corrupt:
            try:
                for frame in self._frames.feed(data):
                    event = event_of(frame)
                    if event:
                        shown.append(self.inner.feed(event))
            except CorruptFrame:
                self._corrupt = True
        return b"".join(shown)

    def finish(self) -> bytes:
        return self.inner.finish()
