"""Changing members of a JSON object by their place, so that every other byte stays as it was sent.

Rules that everything here obeys:

1. Edits are spans on the original bytes; the result is built with one join. The original is never
   changed, so that a retry on another target starts from what the client sent.
2. No edit, no copy: the very same object comes back.
3. A removed member takes the separator before it along; at the front, the one after it. Whitespace
   around what stays is not touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from io import BytesIO

import msgspec

from providers.document.members import count_of, read_object
from providers.steps import Steps

_AT_ONCE = 1 << 20  # bytes that are copied in one step
_VALUES = msgspec.json.Decoder(list[msgspec.Raw])
_COUNTED = 64  # bytes: more than any number has that is a count


class Edits:
    """The changes to one object, given its bytes and the spans of its members' values."""

    __slots__ = ("_inserted", "_removed", "_replaced", "_spans", "_text")

    def __init__(self, text: bytes, spans: Mapping[str, tuple[int, int]]) -> None:
        self._text = text
        self._spans = spans
        self._replaced: dict[str, bytes] = {}
        self._removed: set[str] = set()
        self._inserted: list[bytes] = []

    def __contains__(self, name: str) -> bool:
        """The member is there, null or not."""
        return name in self._spans

    def value(self, name: str) -> bytes | None:
        """The member's bytes as sent, or None where it is absent."""
        span = self._spans.get(name)
        return None if span is None else self._text[span[0] : span[1]]

    def current(self, name: str) -> bytes | None:
        """The member's bytes as edited so far, or None where it is absent."""
        return self._replaced.get(name) or self.value(name)

    def names(self) -> Iterable[str]:
        """The members as sent, in order."""
        return self._spans

    def is_null(self, name: str) -> bool:
        """The member is there, and null."""
        return self.holds(name, b"null")

    def holds(self, name: str, value: bytes) -> bool:
        """The member is there, with exactly this value. Copies nothing larger than that."""
        start, end = self._spans.get(name, (0, 0))
        return end - start == len(value) and self._text[start:end] == value

    def count(self, name: str) -> int | None:
        """The member as a whole number, if it is one; see `providers.document.members.count_of`."""
        start, end = self._spans.get(name, (0, 0))
        return count_of(self._text[start : min(end, start + _COUNTED)])

    def replace(self, name: str, value: bytes) -> None:
        """Put another JSON value in the place of a member's. The member must be there."""
        if self.holds(name, value):
            self._replaced.pop(name, None)
        else:
            self._replaced[name] = value

    def remove(self, name: str) -> None:
        """Take a member out, where it is there."""
        if name in self._spans:
            self._removed.add(name)

    def insert(self, name: str, value: bytes) -> None:
        """Add a member right after the opening brace. The member must not be there."""
        self._inserted.append(b'"%b":%b' % (name.encode(), value))

    def put(self, name: str, value: bytes) -> None:
        """Replace or insert."""
        if name in self._spans:
            self.replace(name, value)
        else:
            self.insert(name, value)

    def edit_object(self, name: str, change: Callable[[Edits], None]) -> None:
        """Apply ``change`` inside a member that is an object, as edited so far; one that is none is left alone."""
        value = self.current(name)
        inner = None if value is None else read_object(value)
        if value is not None and inner is not None:
            edits = Edits(value, inner.spans)
            change(edits)
            self.replace(name, edits.build())

    def edit_each(self, name: str, change: Callable[[Edits], None]) -> None:
        """Apply ``change`` inside each object of a member that is a short list of nothing else, as edited so far; any
        other member is left alone.
        """
        value = self.current(name)
        try:
            entries = [bytes(entry) for entry in _VALUES.decode(value or b"")]
        except (msgspec.MsgspecError, RecursionError):
            return
        edited: list[bytes] = []
        for entry in entries:
            inner = read_object(entry)
            if inner is None:
                return
            edits = Edits(entry, inner.spans)
            change(edits)
            edited.append(edits.build())
        if edited != entries:
            self.replace(name, b"[" + b",".join(edited) + b"]")

    def build(self) -> bytes:
        """The edited bytes: the original object itself where there is nothing to change."""
        pieces = self._pieces()
        return self._text if pieces is None else b"".join(pieces)

    def built(self) -> Steps[bytes]:
        """The same as `build`, in steps: to copy tens of megabytes takes as many milliseconds."""
        pieces = self._pieces()
        if pieces is None:
            return self._text
        if len(self._text) <= _AT_ONCE:
            return b"".join(pieces)
        whole = BytesIO()
        for piece in pieces:
            for start in range(0, len(piece), _AT_ONCE):
                whole.write(piece[start : start + _AT_ONCE])
                yield
        return whole.getvalue()

    def _pieces(self) -> list[bytes | memoryview] | None:
        """What the edited bytes consist of; ``None`` where there is nothing to change."""
        if not (self._replaced or self._removed or self._inserted):
            return None
        view = memoryview(self._text)
        opening = self._text.index(b"{") + 1
        pieces: list[bytes | memoryview] = [view[:opening], b",".join(self._inserted)]
        position = opening  # everything before it is in the pieces or removed
        previous = opening  # where the member before ended
        leading = True  # no member was kept so far
        for name, (start, end) in self._spans.items():
            if name in self._removed:
                if not leading:
                    pieces.append(view[position:previous])
                    position = end
                previous = end
                continue
            if leading:
                leading = False
                if previous != opening:  # members before this one are removed, with their last comma
                    position = self._text.index(b",", previous) + 1
                if self._inserted:
                    pieces.append(b",")
            if name in self._replaced:
                pieces.append(view[position:start])
                pieces.append(self._replaced[name])
                position = end
            previous = end
        if leading:
            position = previous
        pieces.append(view[position:])
        return pieces
