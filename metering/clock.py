"""The time of day, and the length of a day."""

from __future__ import annotations

import time

DAY_SECONDS = 86_400
DAY_MS = 86_400_000


def now_ms() -> int:
    """Milliseconds since 1970, in UTC, by this machine's clock."""
    return time.time_ns() // 1_000_000
