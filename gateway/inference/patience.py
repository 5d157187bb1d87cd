"""For how long a caller waits for the first byte of an answer, as its SDK says.

OpenAI's and Anthropic's SDKs state the time-out of a request in seconds (``x-stainless-timeout``; the Python ones also
the time between two reads, ``x-stainless-read-timeout``, which is the same until the first byte), Google's the server's
deadline (``x-server-timeout``). A value that is no number means nothing: Python's writes ``NOT_GIVEN`` for its default.

Rules:

1. The caller gets an error while it still waits: `MARGIN` of its time, at most `LONGEST_MARGIN`, before it gives up.
   The error says what to do; a connection that the caller ends says nothing.
2. A sign of life is a first byte: once the response has begun, the caller's time-out has no meaning here.
3. To send a request with a short time-out is to leave it: what it costs, and its provider's health, are judged as if
   the caller had ended the connection.
"""

from __future__ import annotations

import re
from typing import Final

from multidict import CIMultiDictProxy

HEADERS: Final = ("x-stainless-timeout", "x-stainless-read-timeout", "x-server-timeout")
MARGIN: Final = 0.1
LONGEST_MARGIN: Final = 1.0

_SECONDS: Final = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,20})?")


def patience(headers: CIMultiDictProxy[str]) -> float | None:
    """Seconds from the request within which an error still reaches its caller; ``None`` if it states no time-out."""
    found = [
        seconds
        for name in HEADERS
        for value in headers.getall(name, ())
        if _SECONDS.fullmatch(value) and (seconds := float(value))
    ]
    if not found:
        return None
    least = min(found)
    return least - min(least * MARGIN, LONGEST_MARGIN)
