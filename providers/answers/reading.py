"""Reads the needed parts of an answer, even if other parts of it are malformed.

A typed decoder that skips unknown members does the work. If it fails (a host writes
``NaN``, or the nesting is deeper than its stack), a projection of the same document is read instead: an error
in the content must not lose the counts.
"""

from __future__ import annotations

import json
from typing import Any, TypeVar

import msgspec

from metering.usage import FinishReason, Geography, Report, ServiceTier, Speed, Variant
from providers.bounds import ANSWER_BRACKETS, DENSE_BYTES
from providers.dialect import Head, ProviderError
from providers.document.projection import JsonProjection, Wanted

_T = TypeVar("_T")
_ANY: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
_LIST: msgspec.json.Decoder[list[msgspec.Raw]] = msgspec.json.Decoder(list[msgspec.Raw])
_FALSY = frozenset((b"", b"null", b'""', b"{}", b"[]", b"false", b"0"))
_DEEPEST = 6
_MODEL_NAME_LIMIT = 128  # bytes
_NAN_LIMIT = 16_384  # bytes of a document with `NaN`; its usage is far smaller


class Body(msgspec.Struct, frozen=True):
    """What was read from one JSON body.

    Attributes:
        report: Its counts.
        shaped: It has the form of its operation's answer.
        error: The error that it is, or in which the answer failed.
    """

    report: Report = Report()
    shaped: bool = False
    error: ProviderError | None = None


def read(decoder: msgspec.json.Decoder[_T], data: bytes, wanted: Wanted) -> _T | None:
    """``data`` as the decoder's type; ``None`` if it is not a whole JSON value of that shape.

    Of an array, the first element is read: some hosts wrap an error in one.
    """
    try:
        if not _is_crowded(data):
            return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    projection = JsonProjection(wanted)
    projection.feed(data)
    whole = projection.closed and not projection.invalid
    return read_strictly(decoder, unwrapped(projection.result())) if whole else None


def read_strictly(decoder: msgspec.json.Decoder[_T], data: bytes | msgspec.Raw) -> _T | None:
    """``data`` as the decoder's type, or ``None``. A count beside a ``NaN`` can be read, as it can in a projection.

    ``None`` also if it has more brackets than are decoded at once (`ANSWER_BRACKETS`).
    """
    if len(data) > DENSE_BYTES and _is_crowded(bytes(data)):
        return None
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _beside_nan(decoder, bytes(data)) if len(data) <= _NAN_LIMIT else None


def _is_crowded(data: bytes) -> bool:
    return len(data) > DENSE_BYTES and data.count(b"{") + data.count(b"[") > ANSWER_BRACKETS


def _beside_nan(decoder: msgspec.json.Decoder[_T], data: bytes) -> _T | None:
    if b"NaN" not in data and b"Infinity" not in data:
        return None
    try:
        return decoder.decode(msgspec.json.encode(json.loads(data, parse_constant=_no_number)))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _no_number(_constant: str) -> None:
    """The value of a number that JSON does not have: none."""


def is_array(data: bytes) -> bool:
    """``data`` is a JSON array, which no answer of these APIs is."""
    return data.lstrip().startswith(b"[")


def unwrapped(data: bytes) -> bytes | msgspec.Raw:
    """The first element of an array; anything else as it is."""
    if not is_array(data):
        return data
    elements = read_strictly(_LIST, data)
    return elements[0] if elements else data


def value(raw: msgspec.Raw) -> Any:
    """A member's value; ``None`` if it is absent, null or unreadable."""
    return read_strictly(_ANY, raw) if memoryview(raw) else None


def truthy(raw: msgspec.Raw) -> bool:
    """The member is present and is not null, empty, false or zero."""
    return len(raw) > 5 or bytes(raw) not in _FALSY


def filled(value: object, *, beside: frozenset[str] = frozenset(), depth: int = 0) -> bool:
    """Whether ``value`` is not empty; an object or list whose values are all empty is empty too.

    Args:
        value: A decoded JSON value.
        beside: Members of the outermost object that do not count.
        depth: Its depth, for the recursion.
    """
    if depth > _DEEPEST:
        return True
    if isinstance(value, dict):
        return any(name not in beside and filled(inner, depth=depth + 1) for name, inner in value.items())
    if isinstance(value, list):
        return any(filled(inner, depth=depth + 1) for inner in value)
    return bool(value)


class Choices:
    """Which choices of an answer have ended, and why.

    A choice has ended once it has a reason to stop. Later output revokes that; an empty delta does not
    (hosts add one for the usage or for the result of a filter).
    """

    __slots__ = ("_ended", "_wanted")

    def __init__(self, wanted: int) -> None:
        self._wanted = max(wanted, 1)
        self._ended: dict[int, FinishReason] = {}

    def note(self, index: object, reason: FinishReason | None, *, says: bool) -> None:
        """Take one choice of one event."""
        position = index if type(index) is int else 0
        if reason is not None and (position in self._ended or len(self._ended) < self._wanted):
            self._ended[position] = reason
        elif says and reason is None:
            self._ended.pop(position, None)

    @property
    def reasons(self) -> tuple[FinishReason, ...]:
        """Why the choices that have ended did, in their order."""
        return tuple(self._ended[position] for position in sorted(self._ended))

    @property
    def any_ended(self) -> bool:
        return bool(self._ended)

    @property
    def ended(self) -> bool:
        """All choices have ended."""
        return len(self._ended) >= self._wanted


def name_of_model(raw: msgspec.Raw) -> str | None:
    """The model that an answer names, used only for a look-up; ``None`` if it is not a name."""
    name = value(raw) if len(raw) <= _MODEL_NAME_LIMIT else None
    return name if isinstance(name, str) and name else None


def stated_variant(
    head: Head,
    tier: ServiceTier | None = None,
    speed: Speed | None = None,
    geography: Geography | None = None,
) -> Variant | None:
    """The request's variant, overwritten with what the answer states; ``None`` if it states nothing."""
    if tier is None and speed is None and geography is None:
        return None
    asked = head.variant
    return Variant(tier or asked.tier, speed or asked.speed, geography or asked.geography)
