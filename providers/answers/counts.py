"""Counts as providers state them, which is not always how they document them.

Rules that everything here obeys:

1. A usage object is untrusted data: a count that is absent, null, a boolean or not a number is unknown, never zero and
   never an error. An impossible number (negative, absurdly large) is unknown and makes the report suspect.
2. A whole number may be written as a float or as a string. A fraction of a token is billed as a token: it is rounded
   up (GLM states fractions once its cache is hit).
3. If one answer has several usage objects, a later one overwrites the earlier ones, except for counts that it does not
   state or states as zero. Cumulative counts never decrease, and the empty usage object with which some hosts close a
   stream is not a correction.
4. A member that is not zero and in no table here may cost something: it makes the report unpriced.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import ceil
from typing import Any, Final, NamedTuple, TypeAlias

from metering.usage import Usage

# Far more than any request has; a larger number is an error, and sums must stay exact in the ledger.
MAX_COUNT: Final = 1_000_000_000
# Bounds on what is kept of a usage object: members of each object in it, and objects inside objects.
_MOST_MEMBERS: Final = 100
_DEEPEST: Final = 6

# What a usage object may hold: None is a count that is read, a mapping is an object with further members, and IGNORED
# is not a count, repeats others, or does not affect the price.
IGNORED: Final = "ignored"
Known: TypeAlias = "Mapping[str, Known | str | None]"

_NUMBER = re.compile(r"\s{0,9}(-?\d{1,15}(?:\.\d{1,9})?)\s{0,9}")
# Prices and times, which hosts add to their usage objects under various names.
_NO_COUNT = re.compile(r"cost|time|latency|duration|_ms$|per_sec|_rate$|^is_")


class Counted(NamedTuple):
    """The counts of a usage object, and the flags ``suspect`` and ``unpriced`` of `metering.usage.Report`."""

    usage: Usage | None = None
    suspect: bool = False
    unpriced: bool = False


def count(value: object) -> int | None:
    """``value`` if it is a plausible count, rounded up, else ``None``."""
    number = _number(value)
    if number is None or not 0 <= number <= MAX_COUNT:
        return None
    return ceil(number)


def doubtful(value: object) -> bool:
    """``value`` is a number that cannot be a count."""
    number = _number(value)
    return number is not None and not 0 <= number <= MAX_COUNT


def _number(value: object) -> float | None:
    if type(value) is int or type(value) is float:
        return value
    if isinstance(value, str) and (found := _NUMBER.fullmatch(value)):
        return float(found.group(1))
    return None


def member(value: object, name: str) -> Any:
    """``value[name]`` if ``value`` is an object that has it, else ``None``."""
    return value.get(name) if isinstance(value, dict) else None


def first_count(*values: object) -> int | None:
    """The first of ``values`` that is a count above zero, else the first that is a count."""
    counts = [found for value in values if (found := count(value)) is not None]
    return next((found for found in counts if found), counts[0] if counts else None)


def take(stated: int | None, rest: int) -> tuple[int | None, int]:
    """Subtract ``stated`` from ``rest``: (the part, never more than ``rest``; the remainder)."""
    if stated is None:
        return None, rest
    part = min(stated, rest)
    return part, rest - part


def lay_over(stated: dict[str, Any], usage: object, depth: int = 0) -> None:
    """Overwrite ``stated``, the state of one answer, with a later usage object. See rule 3."""
    if not isinstance(usage, dict) or depth > _DEEPEST:
        return
    for name, value in usage.items():
        before = stated.get(name)
        if isinstance(value, dict):
            if not isinstance(before, dict):
                if len(stated) >= _MOST_MEMBERS:
                    continue
                before = stated[name] = {}
            lay_over(before, value, depth + 1)
        elif before is None:
            if len(stated) < _MOST_MEMBERS:
                stated[name] = value
        elif _replaces(value, before):
            stated[name] = value


def _replaces(value: object, before: object) -> bool:
    number = _number(value)
    if number is None:
        return _number(before) is None and value is not None and value not in ("", [])
    return number != 0


def doubts(usage: object, known: Known) -> tuple[bool, bool]:
    """Whether a count in ``usage`` is doubtful, and whether an unknown member is not zero."""
    suspect = unpriced = False
    for name, value in usage.items() if isinstance(usage, dict) else ():
        spec = known.get(name, _NO_COUNT)
        if spec is None:
            suspect = suspect or doubtful(value)
        elif isinstance(spec, Mapping):
            inner = doubts(value, spec)
            suspect, unpriced = suspect or inner[0], unpriced or inner[1]
        elif spec is _NO_COUNT and not _NO_COUNT.search(name):
            unpriced = unpriced or _counts_something(value)
    return suspect, unpriced


def _counts_something(value: object, depth: int = 0) -> bool:
    if depth > _DEEPEST:
        return True
    if isinstance(value, dict):
        return any(_counts_something(inner, depth + 1) for name, inner in value.items() if not _NO_COUNT.search(name))
    if isinstance(value, list):
        return any(_counts_something(inner, depth + 1) for inner in value)
    return bool(_number(value))
