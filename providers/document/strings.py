"""The text of a JSON string token, and the token of a text."""

from __future__ import annotations

import re

import msgspec

_TEXT = msgspec.json.Decoder(str)
_CAPITAL = re.compile(r"(?<=[a-z0-9])[A-Z]")


def text_of(token: bytes) -> str:
    """The text of a string token. A lone surrogate, which no Python string holds in UTF-8, raises ValueError."""
    if b"\\" not in token:
        return token[1:-1].decode()
    return _TEXT.decode(token)


def quoted(text: str) -> bytes:
    """The text as a string token: the reverse of `text_of`."""
    return msgspec.json.encode(text)


def snake(name: str) -> str:
    """A camelCase name in snake_case: protobuf's JSON takes both (https://protobuf.dev/programming-guides/json/)."""
    return _CAPITAL.sub(lambda found: "_" + found[0].lower(), name)
