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
_LINE_FEEDS = 2 * (len(FIELDS) - len(_OPTIONAL))
_tokens_of = attrgetter(*TOKEN_COUNTS)


def encode(record: UsageRecord) -> str:
    """The record as lines ``name``, ``value``, each ended by a line feed (the ledger's argument).

    Raises:
        ValueError: A text contains a line feed, which the catalog does not allow.
    """
    # Each field by its name: over a list of names it takes two to three times as long, and a request encodes three.
    lines = (
        f"v\n{record.v}\nrid\n{record.rid}\nrev\n{record.rev}\npid\n{record.pid}\nprovider\n{record.provider}\n"
        f"model\n{record.model}\nvariant\n{record.variant}\nstarted_ms\n{record.started_ms}\n"
        f"settled_ms\n{record.settled_ms}\nbasis\n{record.basis}\noutcome\n{record.outcome}\n"
        f"price_version\n{record.price_version}\n"
    )
    if lines.count("\n") != _LINE_FEEDS:
        raise ValueError("a field of a usage record holds a line feed")
    if record.in_uncached:
        lines += f"in_uncached\n{record.in_uncached}\n"
    if record.cache_read:
        lines += f"cache_read\n{record.cache_read}\n"
    if record.cache_write_5m:
        lines += f"cache_write_5m\n{record.cache_write_5m}\n"
    if record.cache_write_1h:
        lines += f"cache_write_1h\n{record.cache_write_1h}\n"
    if record.cache_write_other:
        lines += f"cache_write_other\n{record.cache_write_other}\n"
    if record.tool_in:
        lines += f"tool_in\n{record.tool_in}\n"
    if record.audio_in:
        lines += f"audio_in\n{record.audio_in}\n"
    if record.image_in:
        lines += f"image_in\n{record.image_in}\n"
    if record.out_visible:
        lines += f"out_visible\n{record.out_visible}\n"
    if record.out_reasoning:
        lines += f"out_reasoning\n{record.out_reasoning}\n"
    if record.audio_out:
        lines += f"audio_out\n{record.audio_out}\n"
    if record.image_out:
        lines += f"image_out\n{record.image_out}\n"
    if record.searches:
        lines += f"searches\n{record.searches}\n"
    if record.fetches:
        lines += f"fetches\n{record.fetches}\n"
    if record.code_runs:
        lines += f"code_runs\n{record.code_runs}\n"
    if record.cost:
        lines += f"cost\n{record.cost}\n"
    if record.charge:
        lines += f"charge\n{record.charge}\n"
    if record.unpriced:
        lines += f"unpriced\n{record.unpriced}\n"
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
    return sum(_tokens_of(record))


def pairs(flat: Iterable[bytes]) -> dict[bytes, bytes]:
    """A flat list of names and values, as a mapping."""
    items = iter(flat)
    return dict(zip(items, items, strict=True))
