"""Converts JSON string tokens to text and back."""

from __future__ import annotations

import re
import unicodedata

import msgspec

_TEXT = msgspec.json.Decoder(str)
_CAPITAL = re.compile(r"(?<=[a-z0-9])[A-Z]")


def text_of(token: bytes) -> str:
    """The text of a string token. Raises ValueError for a lone surrogate, which UTF-8 cannot encode."""
    if b"\\" not in token:
        return token[1:-1].decode()
    return _TEXT.decode(token)


def quoted(text: str) -> bytes:
    """The text as a string token: the reverse of `text_of`."""
    return msgspec.json.encode(text)


def snake(name: str) -> str:
    """A camelCase name in snake_case: protobuf's JSON accepts both (https://protobuf.dev/programming-guides/json/)."""
    return _CAPITAL.sub(lambda found: "_" + found[0].lower(), name)


def folded(name: str) -> str:
    """A name after case folding, as the parsers of protobuf and of Go apply it, also beyond ASCII."""
    return unicodedata.normalize("NFKC", name).casefold()
