"""Helpers for the arguments of a tool call."""

from __future__ import annotations

import msgspec


def read_object(text: str) -> msgspec.Raw | None:
    """The arguments of a call as a JSON object, or None if they are not one; an empty text is an empty object."""
    if not text.strip():
        return msgspec.Raw(b"{}")
    try:
        found = msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    return msgspec.Raw(text.encode()) if isinstance(found, dict) else None


def on_one_line(value: msgspec.Raw) -> msgspec.Raw:
    """The same JSON without line ends, as an event of a stream needs it; its bytes stay if it has none."""
    if b"\n" in bytes(value) or b"\r" in bytes(value):
        return msgspec.Raw(msgspec.json.format(bytes(value), indent=-1))
    return value
