"""How a number is read from a text that somebody else wrote: a client, a provider, an operator.

``int`` alone takes signs, blanks, underscores and the digits of every script, and raises on very long ones;
``str.isdigit`` is true of characters that ``int`` refuses. So no other module asks a text whether it is digits.
"""

from __future__ import annotations

from typing import Final

LARGEST: Final = 2**64 - 1
_MOST_DIGITS: Final = len(str(LARGEST))


def whole_number(text: str | bytes, most: int = LARGEST) -> int | None:
    """The number that ``text`` writes in ASCII digits and nothing else, if it is ``most`` at most; else None."""
    if len(text) > _MOST_DIGITS or not text.isascii() or not text.isdigit():
        return None
    number = int(text)
    return number if number <= most else None
