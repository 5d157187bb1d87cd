"""A closer look at single values inside of a body: objects in a list, a word, a null.

What does not fit is left to the provider, which refuses it; an odd value does not hide those beside it. Nothing here
builds what it does not look at, and of a long list no more at a time than a step may (`providers.bounds`): the caller
gets it in batches, and yields between two.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

import msgspec

from providers.bounds import STEP_BYTES, STEP_ELEMENTS
from providers.dialect import Refusal
from providers.document.census import TOO_DEEP
from providers.document.members import LIST, OBJECT, decode_text, is_list

_LARGE = 1 << 20
_RAWS = msgspec.json.Decoder(list[msgspec.Raw])

_T = TypeVar("_T")


class Misfit(Exception):
    """A list that must hold one kind of value only holds another, or is none."""


class Look(Generic[_T]):
    """A closer look at objects inside of a member: `msgspec.Struct` fields alone, the rest skipped.

    Every method raises `Refusal` for what is nested too deeply to be looked at.
    """

    __slots__ = ("_many", "_one")

    def __init__(self, kind: type[_T]) -> None:
        self._one = msgspec.json.Decoder(kind)
        self._many = msgspec.json.Decoder(list[kind])  # type: ignore[valid-type]

    def single(self, raw: msgspec.Raw) -> _T | None:
        """The object, or None where the value is of another form."""
        try:
            return self._one.decode(raw)
        except msgspec.MsgspecError:
            return None
        except RecursionError:
            raise Refusal("invalid_request", TOO_DEEP) from None

    def batches(self, raw: msgspec.Raw | None) -> Iterable[list[_T]]:
        """The objects of a list, in batches that one step can work on; none where the value is no list."""
        if raw is None or not is_list(raw):
            return ()
        return self._batches(raw, strict=False)

    def one_or_more(self, raw: msgspec.Raw | None) -> Iterable[list[_T]]:
        """Like `batches`, for APIs that read a lone object as a list of one (Google's do)."""
        if raw is None or not len(raw):
            return ()
        opening = memoryview(raw)[0]
        if opening == LIST:
            return self._batches(raw, strict=False)
        one = self.single(raw) if opening == OBJECT else None
        return () if one is None else ([one],)

    def all_fit(self, raw: msgspec.Raw) -> Iterable[list[_T]]:
        """Like `batches`. Raises `Misfit`, at once or later, if the value is no list or one in it does not fit."""
        if not is_list(raw):
            raise Misfit
        return self._batches(raw, strict=True)

    def _batches(self, raw: msgspec.Raw, *, strict: bool) -> Iterable[list[_T]]:
        if len(raw) > STEP_BYTES:
            return self._each(raw, strict=strict)
        try:
            found = self._many.decode(raw)
        except msgspec.ValidationError:  # one odd value does not hide the others
            return self._each(raw, strict=strict)
        except msgspec.MsgspecError:
            return ()
        except RecursionError:
            raise Refusal("invalid_request", TOO_DEEP) from None
        if len(found) <= STEP_ELEMENTS:
            return (found,)
        return [found[start : start + STEP_ELEMENTS] for start in range(0, len(found), STEP_ELEMENTS)]

    def _each(self, raw: msgspec.Raw, *, strict: bool) -> Iterator[list[_T]]:
        batch: list[_T] = []
        size = elements = 0
        for text in values(raw):
            if len(text) > _LARGE:  # a step of its own
                yield batch
                batch, size, elements = [], 0, 0
            one = self.single(text)
            if one is not None:
                batch.append(one)
            elif strict:
                raise Misfit
            size += len(text)
            elements += 1
            if size >= STEP_BYTES or elements >= STEP_ELEMENTS:
                yield batch
                batch, size, elements = [], 0, 0
        yield batch


def values(raw: msgspec.Raw) -> list[msgspec.Raw]:
    """The values of a list, as they stand in it. The list must be valid JSON, of a body that was read."""
    try:
        return _RAWS.decode(raw)
    except RecursionError:
        raise Refusal("invalid_request", TOO_DEEP) from None


def says(raw: msgspec.Raw, word: str) -> bool:
    """A field is this word, however it is escaped."""
    if not len(word) + 2 <= len(raw) <= 6 * len(word) + 2:
        return False
    text = bytes(raw)
    return text[1:-1] == word.encode() or (b"\\" in text and decode_text(raw) == word)
