"""The names and values of a query or of a form: the one reader of both.

Rules:

1. What comes back is text that can be encoded again: no lone surrogates, whatever bytes came.
2. There are at most so many fields; more are refused with a sentence, not with an error of the library.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

from gateway.errors import InvalidRequest

MOST_FIELDS: Final = 64


def fields_of(text: str, most: int = MOST_FIELDS, *, strict: bool = False) -> list[tuple[str, str]]:
    """The fields in their order, decoded; empty values too.

    Args:
        text: As it came; bytes that are no UTF-8 as aiohttp shows them (``surrogateescape``).
        most: More fields than this are refused.
        strict: Each part must be ``name=value``.

    Raises:
        InvalidRequest: There are more than ``most``, or a part is of no such form.
    """
    if not text:
        return []
    if text.count("&") >= most:
        raise InvalidRequest("There are too many fields. Leave out those that are not needed.")
    if not text.isascii():
        text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    try:
        return parse_qsl(text, keep_blank_values=True, strict_parsing=strict)
    except ValueError:
        raise InvalidRequest("The fields are not written as name=value, with & between them.") from None


def first_of(text: str, most: int = MOST_FIELDS) -> dict[str, str]:
    """As `fields_of`, by name; of several values of one name the first."""
    return dict(reversed(fields_of(text, most)))
