"""Decodes single values inside a body: objects in a list, a word, a null.

A value of another form is left to the provider, which refuses it; it does not hide the values beside it. Only the
needed fields are decoded, and a long list is decoded in batches of one step (`providers.bounds`): the caller yields
between two batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

import msgspec

from providers.bounds import STEP_BYTES, STEP_ELEMENTS
from providers.dialect import Refusal
from providers.document.census import TOO_DEEP
from providers.document.members import LIST, OBJECT, decode_text, is_list
from providers.document.objects import Objects, Part

_LARGE = 1 << 20
_RAWS = msgspec.json.Decoder(list[msgspec.Raw])

_T = TypeVar("_T")


class Misfit(Exception):
    """A list that must hold values of one kind has another one, or it is not a list."""


class Look(Generic[_T]):
    """Decodes the objects in a member: only the fields of a `msgspec.Struct`; others are skipped.

    Every method raises `Refusal` if the value is nested too deeply to be decoded.
    """

    __slots__ = ("_many", "_one")

    def __init__(self, kind: type[_T]) -> None:
        self._one = msgspec.json.Decoder(kind)
        self._many = msgspec.json.Decoder(list[kind])  # type: ignore[valid-type]

    def single(self, raw: msgspec.Raw) -> _T | None:
        """The object, or None if the value has another form."""
        try:
            return self._one.decode(raw)
        except msgspec.MsgspecError:
            return None
        except RecursionError:
            raise Refusal("invalid_request", TOO_DEEP) from None

    def batches(self, raw: msgspec.Raw | None) -> Iterable[list[_T]]:
        """The objects of a list, in batches that one step can process; empty if the value is not a list."""
        if raw is None or not is_list(raw):
            return ()
        return self._batches(raw, strict=False)

    def one_or_more(self, raw: msgspec.Raw | None) -> Iterable[list[_T]]:
        """Like `batches`, for APIs that read a single object as a list of one (Google's do)."""
        if raw is None or not len(raw):
            return ()
        opening = memoryview(raw)[0]
        if opening == LIST:
            return self._batches(raw, strict=False)
        one = self.single(raw) if opening == OBJECT else None
        return () if one is None else ([one],)

    def all_fit(self, raw: msgspec.Raw) -> Iterable[list[_T]]:
        """Like `batches`. Raises `Misfit`, perhaps after some batches, if the value or an element has another form."""
        if not is_list(raw):
            raise Misfit
        return self._batches(raw, strict=True)

    def _batches(self, raw: msgspec.Raw, *, strict: bool) -> Iterable[list[_T]]:
        if len(raw) > STEP_BYTES:
            return self._each(raw, strict=strict)
        try:
            found = self._many.decode(raw)
        except msgspec.ValidationError:  # a value of another form does not hide the others
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
            if len(text) > _LARGE:  # a separate step
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


_OBJECTS: Look[Part] = Look(dict[str, msgspec.Raw])


def all_objects(objects: Objects, raw: msgspec.Raw) -> Iterable[list[Part]]:
    """The members of all objects of a list, or of a single object, in batches that one step can process.

    Raises `Misfit`, perhaps after some batches, if the value or an element has another form.
    """
    found = objects.batches(raw)
    if found is not None:
        return found
    if is_list(raw):
        return _OBJECTS.all_fit(raw)
    one = _OBJECTS.single(raw) if len(raw) and memoryview(raw)[0] == OBJECT else None
    if one is None:
        raise Misfit
    objects.keep(raw, [one])
    return ([one],)


def objects_of(objects: Objects, raw: msgspec.Raw | None) -> Iterable[list[Part]]:
    """Like `Look.batches`, but for all members of the objects."""
    if raw is None or not is_list(raw):
        return ()
    return objects.batches(raw) or _OBJECTS.batches(raw)


def values(raw: msgspec.Raw) -> list[msgspec.Raw]:
    """The undecoded values of a list. The list must be valid JSON, from a body that was read."""
    try:
        return _RAWS.decode(raw)
    except RecursionError:
        raise Refusal("invalid_request", TOO_DEEP) from None


def says(raw: msgspec.Raw, word: str) -> bool:
    """Whether a field is this word, with or without escapes."""
    if not len(word) + 2 <= len(raw) <= 6 * len(word) + 2:
        return False
    text = bytes(raw)
    return text[1:-1] == word.encode() or (b"\\" in text and decode_text(raw) == word)
