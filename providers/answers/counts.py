"""Counts as providers state them, which is not always how they document them.

A provider's usage object is foreign data: what is absent, null, negative, fractional, a string, a
boolean or absurdly large is unknown, never zero and never an error.
"""

from __future__ import annotations

from typing import Any

# No request comes near it; beyond it a number is a fault, and sums must stay exact in the ledger.
MAX_COUNT = 1_000_000_000


def count(value: object) -> int | None:
    """``value`` if it is a plausible count, else ``None``."""
    if type(value) is int and 0 <= value <= MAX_COUNT:
        return value
    return None


def member(value: object, name: str) -> Any:
    """``value[name]`` if ``value`` is an object that has it, else ``None``."""
    return value.get(name) if isinstance(value, dict) else None


def first_count(*values: object) -> int | None:
    """The first of ``values`` that is a count."""
    for value in values:
        stated = count(value)
        if stated is not None:
            return stated
    return None


def take(stated: int | None, rest: int) -> tuple[int | None, int]:
    """Carve ``stated`` out of ``rest``: (the part, never more than ``rest``; what is left)."""
    if stated is None:
        return None, rest
    part = min(stated, rest)
    return part, rest - part
