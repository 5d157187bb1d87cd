"""The spool's file format: frames that can be found again after any damage.

A frame is two magic bytes, the payload's length (16 bits), its CRC-32 and the payload. The payload's
first byte is the kind, the rest is text; none of it can hold content:

- ``I pid rid``: the request is about to go to a provider.
- ``S`` and a usage record (`records.encode`): what it cost.
- ``V pid rid``: it cost nothing.
- ``E pid name...``: the account was erased, and the identity map's entries of these names.
- ``R name``: this session or token family was revoked.

Reading is a pure function over bytes. A torn tail, or damage in the middle, loses only the frames it hits:
reading continues at the next magic bytes whose frame has a correct checksum.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from zlib import crc32

MAGIC = b"\xc6\x9d"
_HEAD = struct.Struct(">2sHI")
INTENT, SETTLED, VOIDED, ERASED, REVOKED = b"I", b"S", b"V", b"E", b"R"
LONGEST = 0xFFFF


def frame(kind: bytes, text: str) -> bytes:
    """One frame. Raises ValueError above 64 KiB."""
    payload = kind + text.encode()
    if len(payload) > LONGEST:
        raise ValueError("a spool frame holds at most 64 KiB")
    return _HEAD.pack(MAGIC, len(payload), crc32(payload)) + payload


def frames(data: bytes) -> Iterator[tuple[bytes, str]]:
    """The whole frames in ``data``, as kind and text."""
    for start, end in spans(data):
        yield data[start : start + 1], data[start + 1 : end].decode()


def spans(data: bytes) -> Iterator[tuple[int, int]]:
    """The start and end of the payload of each whole frame."""
    at = 0
    while (at := data.find(MAGIC, at)) >= 0 and at + _HEAD.size <= len(data):
        _, length, checksum = _HEAD.unpack_from(data, at)
        start = at + _HEAD.size
        end = start + length
        if length and end <= len(data) and crc32(data[start:end]) == checksum:
            yield start, end
            at = end
        else:
            at += 1


def torn(data: bytes) -> int:
    """How many bytes at the end of ``data`` belong to no whole frame."""
    end = 0
    for _, end in spans(data):  # noqa: B007 - the last one counts
        pass
    return len(data) - end
