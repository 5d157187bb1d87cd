"""Keeps the objects of lists that were decoded, so that everybody who looks at them shares one reading.

The search for duplicates, the walk and the weight look at the same messages and parts. Whoever is first decodes a list;
the members of its objects stay views on the body.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias

import msgspec

from providers.bounds import STEP_BYTES, STEP_ELEMENTS
from providers.dialect import Refusal
from providers.document.census import TOO_DEEP

Part: TypeAlias = dict[str, msgspec.Raw]
"""The members of one object, as sent."""

_LIST: Final = ord("[")
_OBJECT: Final = ord("{")
_ONE: Final = msgspec.json.Decoder(Part)
_MANY: Final = msgspec.json.Decoder(list[Part])


class Objects:
    """What was decoded of one body.

    Nothing is kept of a body with many objects, since decoded ones take many times their size.

    Attributes:
        whole: A list of which it is known that its objects have no other member than the decoded ones.
    """

    __slots__ = ("_few", "_kept", "whole")

    def __init__(self, *, few: bool = True) -> None:
        """``few``: the body has few objects and members."""
        self._few = few
        self.whole: msgspec.Raw | None = None
        # By the identity of the value, which is kept too, so that no other one can have it.
        self._kept: dict[int, tuple[msgspec.Raw, list[Part]]] = {}

    def kept(self, raw: msgspec.Raw) -> list[Part] | None:
        """The objects of a value that was decoded before."""
        kept = self._kept.get(id(raw))
        return None if kept is None else kept[1]

    def keep(self, raw: msgspec.Raw, found: list[Part]) -> None:
        """Keep all objects of a value."""
        if self._few:
            self._kept[id(raw)] = raw, found

    def decoded(self, raw: msgspec.Raw) -> list[Part] | None:
        """The objects of a list, or a single object; None if the value is or has something else.

        This is one step: the value must be small, or have few objects. Raises `Refusal` if it is nested too deeply.
        """
        kept = self._kept.get(id(raw))
        if kept is not None:
            return kept[1]
        opening = memoryview(raw)[0] if len(raw) else 0
        try:
            if opening == _LIST:
                found = _MANY.decode(raw)
            elif opening == _OBJECT:
                found = [_ONE.decode(raw)]
            else:
                return None
        except msgspec.MsgspecError:
            return None
        except RecursionError:
            raise Refusal("invalid_request", TOO_DEEP) from None
        self.keep(raw, found)
        return found

    def batches(self, raw: msgspec.Raw) -> Iterable[list[Part]] | None:
        """The same in batches that one step can process; None also if the value is large and not kept."""
        kept = self._kept.get(id(raw))
        if kept is not None:
            found = kept[1]
        elif len(raw) > STEP_BYTES or (decoded := self.decoded(raw)) is None:
            return None
        else:
            found = decoded
        if len(found) <= STEP_ELEMENTS:
            return (found,)
        return [found[start : start + STEP_ELEMENTS] for start in range(0, len(found), STEP_ELEMENTS)]
