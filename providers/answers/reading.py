"""Reading the parts of an answer that matter, whatever else is wrong with it.

A typed decoder that skips unknown members does the work. Where it refuses (a host that writes
``NaN``, nesting deeper than its stack), a projection of the same document is read instead: a fault
in content must not cost the counts.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from metering.usage import Geography, Report, ServiceTier, Speed, Variant
from providers.dialect import Head, ProviderError
from providers.document.projection import JsonProjection, Wanted

_T = TypeVar("_T")
_ANY: msgspec.json.Decoder[Any] = msgspec.json.Decoder()


class Body(msgspec.Struct, frozen=True):
    """What one JSON body says.

    Attributes:
        report: Counts.
        shaped: It has the form of its operation's answer.
        error: It is an error, or says that the answer failed.
    """

    report: Report = Report()
    shaped: bool = False
    error: ProviderError | None = None


def read(decoder: msgspec.json.Decoder[_T], data: bytes, wanted: Wanted) -> _T | None:
    """``data`` as the decoder's type; ``None`` if it is no whole JSON value of that shape."""
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        projection = JsonProjection(wanted)
        projection.feed(data)
    whole = projection.closed and not projection.invalid
    return read_strictly(decoder, projection.result()) if whole else None


def read_strictly(decoder: msgspec.json.Decoder[_T], data: bytes | msgspec.Raw) -> _T | None:
    """``data`` as the decoder's type, or ``None``."""
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def value(raw: msgspec.Raw) -> Any:
    """A member's value; ``None`` where it is absent, null or unreadable."""
    return read_strictly(_ANY, raw) if memoryview(raw) else None


def filled(raw: msgspec.Raw) -> bool:
    """The member is there, not null, and no empty string."""
    return bytes(raw) not in {b"", b"null", b'""'}


def stated_variant(
    head: Head,
    tier: ServiceTier | None = None,
    speed: Speed | None = None,
    geography: Geography | None = None,
) -> Variant | None:
    """The request's variant overlaid with what the answer states; ``None`` if it states nothing."""
    if tier is None and speed is None and geography is None:
        return None
    asked = head.variant
    return Variant(tier or asked.tier, speed or asked.speed, geography or asked.geography)
