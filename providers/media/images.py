"""An image's dimensions, from the header of its file: PNG, JPEG, GIF, WebP and BMP.

Other formats (HEIC, AVIF, TIFF) and broken headers give ``None``: the provider's own cap bounds the cost of such an
image. The work is bounded: a few dozen bytes, or the headers of a JPEG's segments.
"""

from __future__ import annotations

import struct
from typing import Final

from providers.media.payload import Payload

_MOST_SEGMENTS: Final = 64  # EXIF, ICC profiles and previews come before a JPEG's frame
_NO_LENGTH: Final = frozenset((0x01, *range(0xD0, 0xD9)))
_NO_FRAME: Final = frozenset((0xC4, 0xC8, 0xCC))  # within C0-CF, the frame headers: these are tables
_HEADER: Final = 64
_METADATA: Final = 256 * 1024
_MOST_BYTES_A_PIXEL: Final = 8  # four channels of 16 bits

Dimensions = tuple[int, int]


def dimensions(payload: Payload) -> Dimensions | None:
    """Width and height in pixels, or ``None``.

    ``None`` also if the file is much larger than an image of the stated dimensions can be, because the header is not
    what a decoder will use then.
    """
    head = payload.read(0, _HEADER)
    found = _stated(head, payload)
    if found is None:
        return None
    width, height = found
    if width <= 0 or height <= 0 or payload.size > width * height * _MOST_BYTES_A_PIXEL + _METADATA:
        return None
    return found


def _stated(head: bytes, payload: Payload) -> Dimensions | None:
    try:
        if head.startswith(b"\x89PNG\r\n\x1a\n") and head[12:16] == b"IHDR":
            return struct.unpack(">II", head[16:24])
        if head.startswith(b"\xff\xd8"):
            return _jpeg(payload)
        if head.startswith((b"GIF87a", b"GIF89a")):
            return struct.unpack("<HH", head[6:10])
        if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
            return _webp(head)
        if head.startswith(b"BM"):
            width, height = struct.unpack("<ii", head[18:26])
            return width, abs(height)
    except struct.error:
        pass
    return None


def _jpeg(payload: Payload) -> Dimensions | None:
    """ITU-T T.81 annex B: segments; the first one with a frame header has the dimensions."""
    position = 2
    for _ in range(_MOST_SEGMENTS):
        segment = payload.read(position, 9)
        if len(segment) < 9 or segment[0] != 0xFF:
            return None
        marker = segment[1]
        if marker == 0xFF:  # a fill byte
            position += 1
        elif marker in _NO_LENGTH:
            position += 2
        elif 0xC0 <= marker <= 0xCF and marker not in _NO_FRAME:
            height, width = struct.unpack(">HH", segment[5:9])
            return width, height
        else:
            (length,) = struct.unpack(">H", segment[2:4])
            position += 2 + max(2, length)
    return None


def _webp(head: bytes) -> Dimensions | None:
    """RFC 9649: the canvas of the extended form, else the size of the only frame."""
    if len(head) < 30:
        return None
    form = head[12:16]
    if form == b"VP8X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if form == b"VP8L" and head[20:21] == b"\x2f":
        (bits,) = struct.unpack("<I", head[21:25])
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if form == b"VP8 " and head[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack("<HH", head[26:30])
        return width & 0x3FFF, height & 0x3FFF
    return None
