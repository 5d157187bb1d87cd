"""The one wrapper of what people wrote: a request's body for the life of its exchange.

Rules:

1. Whatever describes an object (``repr``, ``str``, a format, a log, a debugger's list of locals, a
   pickle) says that it is content and nothing of it: not its length, not a digest.
2. It is read in one way, `bytes` by name, so that every reader can be found by searching for `reveal`.
3. `drop` lets go of it. Reading it afterwards is a fault.
"""

from __future__ import annotations

from typing import NoReturn

_SHOWN = "<content>"


class Content:
    """Bytes that nothing shows by accident. Equality, hashing, iteration and copies are not offered."""

    __slots__ = ("_data",)
    __hash__ = None  # type: ignore[assignment] # a set or a cache of content would be a store of it

    def __init__(self, data: bytes) -> None:
        self._data: bytes | None = data

    def reveal(self) -> bytes:
        """The bytes themselves, for whoever works on them. Raises `ValueError` after `drop`."""
        if self._data is None:
            raise ValueError("content was dropped")
        return self._data

    def drop(self) -> None:
        """Let go of the bytes, wherever else this object is still held (a traceback, a closure)."""
        self._data = None

    def __len__(self) -> int:
        """Its size in bytes; 0 once dropped."""
        return 0 if self._data is None else len(self._data)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __repr__(self) -> str:
        return _SHOWN

    def __str__(self) -> str:
        return _SHOWN

    def __format__(self, spec: str) -> str:
        return _SHOWN

    def __reduce__(self) -> NoReturn:
        raise TypeError("content is not pickled")
