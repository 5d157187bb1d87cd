"""How long a provider asks to wait before the next request."""

from __future__ import annotations

import re
from collections.abc import Iterable
from email.utils import parsedate_to_datetime
from typing import Final

# https://github.com/googleapis/googleapis/blob/master/google/rpc/error_details.proto: RetryInfo.retry_delay
_RETRY_INFO: Final = re.compile(rb'"retryDelay"\s*:\s*"(\d{1,7}(?:\.\d{1,9})?)s"')
_NUMBER: Final = re.compile(r"\d{1,9}(?:\.\d{1,9})?")


def retry_delay(headers: Iterable[tuple[bytes, bytes]], body: bytes, now: float) -> float | None:
    """Seconds to wait, from OpenAI's ``retry-after-ms``, ``Retry-After`` or Google's ``RetryInfo``.

    Args:
        headers: The response's headers, names in lower case.
        body: The error's body.
        now: Unix seconds: ``Retry-After`` may be a date (RFC 9110 section 10.2.3).

    Returns:
        0 or more; ``None`` if the response does not say.
    """
    found = {name: value.decode("latin-1").strip() for name, value in headers if name.startswith(b"retry-after")}
    milliseconds = found.get(b"retry-after-ms", "")
    if _NUMBER.fullmatch(milliseconds):
        return float(milliseconds) / 1000
    stated = found.get(b"retry-after", "")
    if _NUMBER.fullmatch(stated):
        return float(stated)
    if stated:
        try:
            return max(0.0, parsedate_to_datetime(stated).timestamp() - now)
        except (ValueError, OverflowError):
            return None
    info = _RETRY_INFO.search(body)
    return float(info[1]) if info is not None else None
