"""Reads the length of audio and video from the header of the file: WAV, MP3 and MP4.

Other formats and implausible headers give 0; then the length is estimated from the size
(`providers.media.rules`). The work is bounded.
"""

from __future__ import annotations

import struct
from typing import Final

from providers.media.payload import Payload

_MOST_CHUNKS: Final = 32
_PCM: Final = frozenset((1, 3, 0xFFFE))
_SLOWEST_PCM: Final = 4_000  # bytes a second: a recording of speech has more
_FASTEST_PCM: Final = 192_000 * 4 * 8

_MPEG1_LAYER3: Final = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0)  # kbit/s
_MPEG2_LAYER3: Final = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0)
_RATES: Final = (44_100, 48_000, 32_000)
_SEARCH: Final = 4_096


def audio_milliseconds(payload: Payload) -> int:
    """The length of a WAV (RIFF) or MP3 file; 0 if it is not known."""
    head = payload.read(0, 16)
    if head.startswith(b"RIFF") and head[8:12] == b"WAVE":
        return _wav(payload)
    if head.startswith((b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2", b"\xff\xfa")):
        return _mp3(payload, head)
    return 0


def _wav(payload: Payload) -> int:
    position = 12
    for _ in range(_MOST_CHUNKS):
        chunk = payload.read(position, 24)
        if len(chunk) < 24:
            return 0
        size = int.from_bytes(chunk[4:8], "little")
        if chunk[:4] == b"fmt ":
            form, channels, rate, _, _, bits = struct.unpack("<HHIIHH", chunk[8:24])
            speed: int = channels * rate * bits // 8
            if form not in _PCM or not _SLOWEST_PCM <= speed <= _FASTEST_PCM:
                return 0
            return payload.size * 1_000 // speed
        position += 8 + size + (size & 1)
    return 0


def _mp3(payload: Payload, head: bytes) -> int:
    """By the bit rate of the first frame, or by the number of frames in a Xing header (variable bit rate)."""
    start = 0
    if head.startswith(b"ID3"):  # its length is four bytes of seven bits
        if len(head) < 10:
            return 0
        start = 10 + sum((seven & 127) << shift for seven, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
    text = payload.read(start, _SEARCH)
    at = text.find(b"\xff")
    while 0 <= at < len(text) - 4:
        version, layer = text[at + 1] >> 3 & 3, text[at + 1] >> 1 & 3
        kilobits = (_MPEG1_LAYER3 if version == 3 else _MPEG2_LAYER3)[text[at + 2] >> 4]
        slot = text[at + 2] >> 2 & 3
        if text[at + 1] & 0xE0 == 0xE0 and version != 1 and layer == 1 and kilobits and slot < 3:
            by_rate = (payload.size - start) * 8 // kilobits
            xing = max(text.find(b"Xing", at, at + 200), text.find(b"Info", at, at + 200))
            if xing > 0 and len(text) >= xing + 12 and text[xing + 7] & 1:
                frames = int.from_bytes(text[xing + 8 : xing + 12], "big")
                rate = _RATES[slot] >> {3: 0, 2: 1, 0: 2}[version]
                return min(frames * (1_152 if version == 3 else 576) * 1_000 // rate, 40 * by_rate)
            return by_rate
        at = text.find(b"\xff", at + 1)
    return 0


def video_milliseconds(payload: Payload) -> int:
    """The length of an MP4 or QuickTime file, from the movie header (ISO/IEC 14496-12, 8.2.2); 0 if it is not known."""
    if payload.read(4, 4) != b"ftyp":
        return 0
    position = 0
    for _ in range(_MOST_CHUNKS):
        box = payload.read(position, 16)
        if len(box) < 16:
            return 0
        (size,) = struct.unpack(">I", box[:4])
        if box[4:8] == b"moov":
            return _movie_header(payload.read(position + 8, 256))
        if size == 1:
            (size,) = struct.unpack(">Q", box[8:16])
        if size < 8:
            return 0
        position += size
    return 0


def _movie_header(text: bytes) -> int:
    at = text.find(b"mvhd")
    header = text[at + 4 :]
    if at < 0 or len(header) < 32:
        return 0
    if header[0] == 1:
        scale, duration = struct.unpack(">IQ", header[20:32])
    else:
        scale, duration = struct.unpack(">II", header[12:20])
    return duration * 1_000 // scale if scale and duration < 1 << 48 else 0
