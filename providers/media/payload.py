"""Reads bytes at any position of a base64 file inside JSON, without decoding the rest.

A few hundred bytes at the start of a picture of 20 MB are enough. Three bytes are four characters, so a position in the
file gives a position in the text, unless the text has line breaks or escapes: then only its start can be read.
"""

from __future__ import annotations

import binascii
import re
from typing import Final

import msgspec

PREFIX_LIMIT: Final = 16 * 1024
"""Characters that are read if the text has line breaks."""

_MIME_LIMIT: Final = 200
_DATA_URL: Final = re.compile(rb"data:([a-zA-Z0-9.+/_-]*)[^,]{0,200},", re.IGNORECASE)
_BROKEN: Final = re.compile(rb"[\s\\]")
_ESCAPED_BREAKS: Final = (b"\\n", b"\\r", b"\\t")
_NO_BASE64: Final = b" \t\r\n\\="
_STANDARD: Final = bytes.maketrans(b"-_", b"+/")


class Payload:
    """The file that a JSON string holds in base64 (RFC 4648, either alphabet), or in a ``data:`` URL (RFC 2397).

    Attributes:
        mime: The type that the URL states, in lower case, or empty.
        size: Bytes of the file, from the length of its text.
    """

    __slots__ = ("_prefix", "_start", "_text", "mime", "size")

    def __init__(self, raw: msgspec.Raw) -> None:
        """Args: raw: The JSON string, with its quotes."""
        text = memoryview(raw)[1:-1]
        head = bytes(text[: _MIME_LIMIT + 16]).replace(b"\\/", b"/")
        self.mime = ""
        self._start = 0
        found = _DATA_URL.match(head)
        if found is not None:
            self.mime = found[1].decode("ascii").lower()
            # If the slash of the type is escaped, the text starts later than in `head`.
            self._start = bytes(text[: _MIME_LIMIT + 16]).find(b",") + 1
        self._text = text[self._start :]
        self._prefix: bytes | None = None
        self.size = len(self._text) * 3 // 4
        if len(self._text) > 256 and _BROKEN.search(bytes(self._text[:256])) is not None:
            self._prefix = self._cleaned()
            self.size = self.size * len(self._prefix) * 4 // (3 * min(len(self._text), PREFIX_LIMIT) or 1)

    def _cleaned(self) -> bytes:
        text = bytes(self._text[:PREFIX_LIMIT])
        for escaped in _ESCAPED_BREAKS:
            text = text.replace(escaped, b"")
        return _decoded(text.replace(b"\\/", b"/").translate(_STANDARD, _NO_BASE64))

    def read(self, position: int, size: int) -> bytes:
        """Up to ``size`` bytes of the file from ``position``; fewer or none if it ends or is not base64."""
        if position < 0 or size <= 0:
            return b""
        if self._prefix is not None:
            return self._prefix[position : position + size]
        skip = position % 3
        start = position // 3 * 4
        text = bytes(self._text[start : start + -(-(size + skip) // 3) * 4])
        return _decoded(text.translate(_STANDARD))[skip : skip + size]


def _decoded(text: bytes) -> bytes:
    text = text.rstrip(b"=")
    usable = len(text) - (len(text) % 4 == 1)
    try:
        return binascii.a2b_base64(text[:usable] + b"=" * (-usable % 4), strict_mode=True)
    except binascii.Error:
        return b""
