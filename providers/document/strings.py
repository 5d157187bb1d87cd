"""The text of a JSON string token, and the token of a text."""

from __future__ import annotations

import msgspec

_TEXT = msgspec.json.Decoder(str)


def text_of(token: bytes) -> str:
    """The text of a string token. A lone surrogate, which no Python string holds in UTF-8, raises ValueError."""
    if b"\\" not in token:
        return token[1:-1].decode()
    return _TEXT.decode(token)


def quoted(text: str) -> bytes:
    """The text as a string token: the reverse of `text_of`."""
    return msgspec.json.encode(text)
