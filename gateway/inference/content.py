"""The wrapper of content: a request's body while the request runs.

Rules:

1. Every description of it (``repr``, ``str``, a format, a log, a debugger's list of locals, a pickle) says only that it
   is content: no text, no length, no digest.
2. There is one way to read it, so that every reader can be found by searching for `reveal`.
3. `drop` releases it. Reading it afterwards is an error.
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
        """The bytes. Raises `ValueError` after `drop`."""
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
