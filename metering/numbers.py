"""How a number is read from text that comes from outside: from a client, a provider or an operator.

``int`` alone takes signs, blanks, underscores and the digits of every script, and raises on very long ones;
``str.isdigit`` is true for characters that ``int`` refuses. So every module that reads such a number calls this one.
"""

from __future__ import annotations

from typing import Final

LARGEST: Final = 2**64 - 1
_MOST_DIGITS: Final = len(str(LARGEST))


def whole_number(text: str | bytes, most: int = LARGEST) -> int | None:
    """The number in ``text``, if that is only ASCII digits and the number is at most ``most``; else None."""
    if len(text) > _MOST_DIGITS or not text.isascii() or not text.isdigit():
        return None
    number = int(text)
    return number if number <= most else None
