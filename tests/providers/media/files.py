"""The smallest files that a header parser must know, and some that lie."""

from __future__ import annotations

import base64
import struct
import zlib


def png(width: int, height: int, more: bytes = b"") -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    chunk = b"IHDR" + header
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk)) + more


def jpeg(width: int, height: int, *, frame: int = 0xC0, segments: tuple[int, ...] = (), more: bytes = b"") -> bytes:
    """With segments of these lengths (EXIF, profiles) before the frame."""
    text = b"\xff\xd8\xff\xe0" + struct.pack(">H", 16) + b"JFIF\0" + bytes(9)
    for length in segments:
        text += b"\xff\xe1" + struct.pack(">H", length) + b"\xff\xc0" * (length // 2 - 1)  # an inner picture's marks
    text += b"\xff\xdb" + struct.pack(">H", 4) + bytes(2) + b"\xff\xc4" + struct.pack(">H", 4) + bytes(2)
    return text + bytes((0xFF, frame)) + struct.pack(">HBHH", 17, 8, height, width) + bytes(10) + more


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + bytes(20)


def webp(width: int, height: int, form: bytes) -> bytes:
    if form == b"VP8X":
        body = bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    elif form == b"VP8L":
        body = b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14) + bytes(8)
    else:
        body = b"\x30\x01\x00\x9d\x01\x2a" + struct.pack("<HH", width, height) + bytes(8)
    return b"RIFF" + struct.pack("<I", len(body) + 12) + b"WEBP" + form + struct.pack("<I", len(body)) + body


def bmp(width: int, height: int) -> bytes:
    return b"BM" + bytes(12) + struct.pack("<Iii", 40, width, -height) + bytes(20)


def wav(seconds: float, rate: int = 16_000, channels: int = 1, bits: int = 16, before: bytes = b"") -> bytes:
    speed = rate * channels * bits // 8
    fmt = struct.pack("<HHIIHH", 1, channels, rate, speed, channels * bits // 8, bits)
    data = bytes(int(seconds * speed))
    return b"RIFF" + bytes(4) + b"WAVE" + before + b"fmt " + struct.pack("<I", 16) + fmt + b"data" + bytes(4) + data


def mp3(seconds: float, tag: int = 0) -> bytes:
    """128 kbit/s, after an ID3 tag of so many bytes."""
    frames = b"\xff\xfb\x90\x00" + bytes(int(seconds * 16_000) - 4)
    if not tag:
        return frames
    size = bytes((tag >> 21 & 127, tag >> 14 & 127, tag >> 7 & 127, tag & 127))
    return b"ID3\x04\x00\x00" + size + bytes(tag) + frames


def mp4(seconds: int, *, movie_last: bool = False) -> bytes:
    header = bytes(12) + struct.pack(">II", 1_000, seconds * 1_000) + bytes(80)
    movie_header = struct.pack(">I", len(header) + 8) + b"mvhd" + header
    movie = struct.pack(">I", len(movie_header) + 8) + b"moov" + movie_header
    media = struct.pack(">I", 50_008) + b"mdat" + bytes(50_000)
    start = struct.pack(">I", 24) + b"ftypisom" + bytes(12)
    return start + (media + movie if movie_last else movie + media)


def pdf(pages: int, *, packed: bool = False, bytes_a_page: int = 400) -> bytes:
    objects = b"".join(b"<< /Type /Page /Parent 2 0 R >> " for _ in range(pages))
    content = b"".join(b"%d 0 obj << >> stream %b endstream endobj\n" % (n, b"x" * bytes_a_page) for n in range(pages))
    tree = b"<< /Type /Pages /Count %d >> " % pages
    if packed:
        inside = zlib.compress(tree + objects)
        held = b"9 0 obj << /Type /ObjStm /N 3 /Filter /FlateDecode >>\nstream\n%b\nendstream endobj\n" % inside
    else:
        held = b"2 0 obj " + tree + b"endobj\n" + objects
    return b"%PDF-1.7\n" + content + held + b"trailer << /Root 1 0 R >>\n%%EOF\n"


def page_of(content: bytes, *, filtered: bool = False, members: bytes = b"", more: bytes = b"") -> bytes:
    """A document of one page with this content stream; ``members`` are of its dictionary, ``more`` are objects."""
    if filtered:
        content, members = zlib.compress(content), members + b" /Filter /FlateDecode"
    stream = b"4 0 obj\n<< /Length %d %b >>\nstream\n%b\nendstream\nendobj\n" % (len(content), members, content)
    tree = b"2 0 obj << /Type /Pages /Count 1 >> endobj\n3 0 obj << /Type /Page /Contents 4 0 R >> endobj\n"
    return b"%PDF-1.7\n" + tree + stream + more + b"trailer << /Root 1 0 R >>\n%%EOF\n"


def text_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def url_of(data: bytes, mime: str = "image/png") -> str:
    return f"data:{mime};base64,{text_of(data)}"
