"""Texts that may stand in a log, a label or a record, told apart by type from texts that may not.

Rule: a plain ``str`` never becomes one of these by a cast at the place where it is logged. They are
made where they come into being: names where configuration and price lists are read, ids where they
are drawn.
"""

from __future__ import annotations

from typing import NewType

Closed = NewType("Closed", str)
"""A name that this process knew before any request came."""

Rid = NewType("Rid", str)
"""A request id of this gateway's own making: ``req_`` and 32 hex digits."""
