"""The strings of a JSON document by their place, each with the member it is the value of.

Rules that everything here obeys:

1. The document is known to be valid JSON: only string tokens are looked for, everything else is passed over.
2. Nothing is decoded that the caller does not decode: a token is a span of bytes, quotes included.
3. One pass, linear in the document's size.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_COLON = re.compile(rb"[ \t\n\r]*:")
_TEXT = msgspec.json.Decoder(str)


def string_values(document: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Every string value as (start, end, member name as written, without quotes).

    The elements of a list have the name of the member that holds the list.
    """
    name = b""
    for found in _STRING.finditer(document):
        if _COLON.match(document, found.end()) is not None:
            name = document[found.start() + 1 : found.end() - 1]
        else:
            yield found.start(), found.end(), name


def text_of(token: bytes) -> str:
    """The text of a string token. A lone surrogate, which no Python string holds in UTF-8, raises ValueError."""
    if b"\\" not in token:
        return token[1:-1].decode()
    return _TEXT.decode(token)


def quoted(text: str) -> bytes:
    """The text as a string token: the reverse of `text_of`."""
    return msgspec.json.encode(text)
