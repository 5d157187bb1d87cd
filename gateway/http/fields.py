"""The names and values of a query or a form: one reader for both.

Rules:

1. The result is text that can be encoded again: it never contains lone surrogates.
2. The number of fields is limited; more are refused with a clear message, not with an error of the library.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

from gateway.errors import InvalidRequest

MOST_FIELDS: Final = 64
FORM_TYPE: Final = "application/x-www-form-urlencoded"


def fields_of(text: str, most: int = MOST_FIELDS, *, strict: bool = False) -> list[tuple[str, str]]:
    """The fields in their order, decoded; empty values too.

    Args:
        text: As received; bytes that are not UTF-8 as aiohttp returns them (``surrogateescape``).
        most: More fields than this are refused.
        strict: Each part must be ``name=value``.

    Raises:
        InvalidRequest: There are more than ``most``, or a part is of no such form.
    """
    if not text:
        return []
    if text.count("&") >= most:
        raise InvalidRequest("The form has too many fields. Remove the ones that are not needed.")
    if not text.isascii():
        text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    try:
        return parse_qsl(text, keep_blank_values=True, strict_parsing=strict)
    except ValueError:
        raise InvalidRequest("The form is not valid. Write its fields as name=value, separated by &.") from None


def first_of(text: str, most: int = MOST_FIELDS) -> dict[str, str]:
    """As `fields_of`, by name; of several values of one name the first."""
    return dict(reversed(fields_of(text, most)))
