"""The arguments of a tool call, as every dialect needs them."""

from __future__ import annotations

import msgspec


def read_object(text: str) -> msgspec.Raw | None:
    """The JSON object that the arguments of a call must be; an empty text is no argument."""
    if not text.strip():
        return msgspec.Raw(b"{}")
    try:
        found = msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    return msgspec.Raw(text.encode()) if isinstance(found, dict) else None
