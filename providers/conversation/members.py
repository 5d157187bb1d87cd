"""Members of a request that is written."""

from __future__ import annotations

from typing import Any


def stated(members: dict[str, Any]) -> dict[str, Any]:
    """The members that have a value. The hub has None for what a request does not say, so it is left out."""
    return {name: value for name, value in members.items() if value is not None}
