"""How a usage record is written in the store, for readers in any language.

An entry of ``m:{p}:usage`` is a flat list of field and value, named as in `UsageRecord`. Numbers are
decimal. A count or ``unpriced`` of zero is left out: a reader reads an absent number as 0 (nothing is
unknown after settlement). ``v`` comes first: the version of this contract.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from operator import attrgetter

import msgspec

from metering.usage import COUNTS, TOKEN_COUNTS, UsageRecord

FIELDS: tuple[str, ...] = UsageRecord.__struct_fields__
_TEXT = frozenset(field.name for field in msgspec.structs.fields(UsageRecord) if field.type is str)
_OPTIONAL = frozenset((*COUNTS, "cost", "charge", "unpriced"))
_KEPT = tuple(name for name in FIELDS if name not in _OPTIONAL)
_LEFT_OUT_AT_ZERO = tuple(name for name in FIELDS if name in _OPTIONAL)
_KEPT_LINES = "".join(f"{name}\n%s\n" for name in _KEPT)
_kept_of = attrgetter(*_KEPT)
_others_of = attrgetter(*_LEFT_OUT_AT_ZERO)


def encode(record: UsageRecord) -> str:
    """The record as lines ``name``, ``value``, each ended by a line feed (the ledger's argument).

    Raises:
        ValueError: A text contains a line feed, which the catalog does not allow.
    """
    others = [f"{name}\n{value}\n" for name, value in zip(_LEFT_OUT_AT_ZERO, _others_of(record), strict=True) if value]
    lines = _KEPT_LINES % _kept_of(record) + "".join(others)
    if lines.count("\n") != 2 * (len(_KEPT) + len(others)):
        raise ValueError("a field of a usage record holds a line feed")
    return lines


def decode(entry: Mapping[bytes, bytes]) -> UsageRecord:
    """The record of a stream entry. Unknown fields (of a newer version) are ignored."""
    values: dict[str, str | int] = dict.fromkeys(_OPTIONAL, 0)
    for raw, value in entry.items():
        name = raw.decode()
        if name in _TEXT:
            values[name] = value.decode()
        elif name in FIELDS:
            values[name] = int(value)
    return UsageRecord(**values)  # type: ignore[arg-type] # each name has its own field's type


def parse(lines: str) -> UsageRecord:
    """The record of what `encode` gave."""
    return decode(pairs(line.encode() for line in lines.split("\n")[:-1]))


def tokens(record: UsageRecord) -> int:
    """All tokens that the request used: what the token rate counts."""
    return sum(getattr(record, name) for name in TOKEN_COUNTS)


def pairs(flat: Iterable[bytes]) -> dict[bytes, bytes]:
    """A flat list of names and values, as a mapping."""
    items = iter(flat)
    return dict(zip(items, items, strict=True))
