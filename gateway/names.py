"""Types for texts that may be in a log, a label or a record, distinct from other texts.

Rule: a plain ``str`` never becomes one of these by a cast where it is logged. They are created at their origin: names
where configuration and price lists are read, ids where they are generated.
"""

from __future__ import annotations

import os
import re
from typing import NewType

from metering.clock import now_ms

Closed = NewType("Closed", str)
"""A name that this process knew before any request came."""

Rid = NewType("Rid", str)
"""A request id of this gateway's own making: ``req_`` and 32 hex digits."""

NO_DATE = "1970-01-01T00:00:00Z"  # of a model whose day nobody states: Anthropic's lists must have one
DEVELOPER = "developer"  # the user of a development sign-in, and of `dev`
LOG_LEVELS = ("debug", "info", "warning", "error")  # from most to least

_RID = re.compile(r"req_[0-9a-f]{32}")
_RID_BYTES = 10
_random = b""  # drawn and not used yet; a worker is a process of its own, never a fork of a running one


def new_rid() -> Rid:
    """A request id: the time, so that ids sort, and 80 random bits, so that none is guessed."""
    global _random
    if len(_random) < _RID_BYTES:
        _random = os.urandom(4096)  # one system call for hundreds of ids
    drawn, _random = _random[:_RID_BYTES], _random[_RID_BYTES:]
    return Rid(f"req_{now_ms():012x}{drawn.hex()}")


def is_rid(text: str) -> bool:
    """Whether a text has the form of this gateway's request ids."""
    return _RID.fullmatch(text) is not None
