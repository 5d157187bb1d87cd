"""A closer look at single values inside of a body: objects in a list, a word, a null.

What does not fit is left to the provider, which refuses it. Nothing here builds what it does not look at, and a
forged list of nothing but tiny values is refused before it is split: each would cost thirty times its size.
"""

from __future__ import annotations

import re
from typing import Final, Generic, TypeVar

import msgspec

from providers.dialect import Refusal
from providers.document.members import TOO_MANY, decode_text, is_list, is_object

_MOST_VALUES: Final = 200_000  # with those inside of its values: a prompt may be lists of tokens
_RAWS = msgspec.json.Decoder(list[msgspec.Raw])
_STRINGS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"')

_T = TypeVar("_T")


class Look(Generic[_T]):
    """A closer look at objects inside of a member: `msgspec.Struct` fields alone, the rest skipped.

    What does not fit is left to the provider, which refuses it.
    """

    __slots__ = ("_many", "_one")

    def __init__(self, kind: type[_T]) -> None:
        self._one = msgspec.json.Decoder(kind)
        self._many = msgspec.json.Decoder(list[kind])  # type: ignore[valid-type]

    def single(self, raw: msgspec.Raw) -> _T | None:
        """The object, or None where the value is of another form."""
        try:
            return self._one.decode(raw)
        except (msgspec.MsgspecError, RecursionError):
            return None

    def fitting(self, raw: msgspec.Raw) -> list[_T] | None:
        """The objects of a list, or None unless the value is a list and every element fits."""
        try:
            return self._many.decode(raw)
        except (msgspec.MsgspecError, RecursionError):
            return None

    def elements(self, raw: msgspec.Raw | None) -> list[_T]:
        """The objects of a list; none where the value is no list.

        Raises `Refusal` where the list holds other values than objects, and very many.
        """
        if raw is None or not is_list(raw):
            return []
        try:
            return self._many.decode(raw)
        except msgspec.ValidationError:  # one odd element does not hide the others
            return [one for text in values(raw) if (one := self.single(text)) is not None]
        except (msgspec.MsgspecError, RecursionError):
            return []

    def one_or_more(self, raw: msgspec.Raw | None) -> list[_T]:
        """Like `elements`, for APIs that read a lone object as a list of one (Google's do)."""
        if raw is None or not is_object(raw):
            return self.elements(raw)
        one = self.single(raw)
        return [] if one is None else [one]


def values(raw: msgspec.Raw) -> list[msgspec.Raw]:
    """The values of a list, as they stand in it.

    Raises `Refusal` where they are more than any API takes. The list must be valid JSON.
    """
    text = bytes(raw)
    if text.count(b",") > _MOST_VALUES and _STRINGS.sub(b"", text).count(b",") > _MOST_VALUES:
        raise Refusal("invalid_request", TOO_MANY)
    return _RAWS.decode(raw)


def says(raw: msgspec.Raw, word: str) -> bool:
    """A field is this word, however it is escaped."""
    if not len(word) + 2 <= len(raw) <= 6 * len(word) + 2:
        return False
    text = bytes(raw)
    return text[1:-1] == word.encode() or (b"\\" in text and decode_text(raw) == word)
