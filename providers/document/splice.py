"""Changes members of a JSON object by their position, so that every other byte stays as it was sent.

Rules that everything here obeys:

1. Edits are spans on the original bytes; the result is the parts between them, or one join of them. The original is
   never changed, so that a retry on another target starts from what the client sent.
2. Without an edit nothing is copied: the same object is returned.
3. A member is removed together with the separator before it; the first member, with the one after it. Whitespace
   around the other members is not touched.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from io import BytesIO

import msgspec

from providers.dialect import Head, Target
from providers.document.members import count_of, read_object
from providers.steps import Steps

_AT_ONCE = 1 << 20  # bytes that are copied in one step
_VALUES = msgspec.json.Decoder(list[msgspec.Raw])
_COUNTED = 64  # bytes: longer than any count


class Edits:
    """The edits of one object, given its bytes and the spans of its members' values."""

    __slots__ = ("_inserted", "_removed", "_replaced", "_spans", "_text")

    def __init__(self, text: bytes, spans: Mapping[str, tuple[int, int]]) -> None:
        self._text = text
        self._spans = spans
        self._replaced: dict[str, bytes] = {}
        self._removed: set[str] = set()
        self._inserted: list[bytes] = []

    @property
    def text(self) -> bytes:
        """The object as sent."""
        return self._text

    def __contains__(self, name: str) -> bool:
        """The member is present, null or not."""
        return name in self._spans

    def value(self, name: str) -> bytes | None:
        """The member's bytes as sent, or None if it is absent."""
        span = self._spans.get(name)
        return None if span is None else self._text[span[0] : span[1]]

    def current(self, name: str) -> bytes | None:
        """The member's bytes as edited so far, or None if it is absent."""
        return self._replaced.get(name) or self.value(name)

    def names(self) -> Iterable[str]:
        """The members as sent, in order."""
        return self._spans

    def is_null(self, name: str) -> bool:
        """The member is present, and null."""
        return self.holds(name, b"null")

    def holds(self, name: str, value: bytes) -> bool:
        """The member has exactly this value. Copies nothing larger than ``value``."""
        start, end = self._spans.get(name, (0, 0))
        return end - start == len(value) and self._text[start:end] == value

    def count(self, name: str) -> int | None:
        """The member as a whole number, if it is one; see `providers.document.members.count_of`."""
        start, end = self._spans.get(name, (0, 0))
        return count_of(self._text[start : min(end, start + _COUNTED)])

    def replace(self, name: str, value: bytes) -> None:
        """Replace a member's value with another JSON value. The member must be present."""
        if self.holds(name, value):
            self._replaced.pop(name, None)
        else:
            self._replaced[name] = value

    def remove(self, name: str) -> None:
        """Remove a member, if it is present."""
        if name in self._spans:
            self._removed.add(name)

    def insert(self, name: str, value: bytes) -> None:
        """Add a member after the opening brace. The member must be absent."""
        self._inserted.append(b'"%b":%b' % (name.encode(), value))

    def put(self, name: str, value: bytes) -> None:
        """Replace or insert."""
        if name in self._spans:
            self.replace(name, value)
        else:
            self.insert(name, value)

    def edit_object(self, name: str, change: Callable[[Edits], None]) -> None:
        """Apply ``change`` inside a member that is an object, as edited so far; any other value is left unchanged."""
        value = self.current(name)
        inner = None if value is None else read_object(value)
        if value is not None and inner is not None:
            edits = Edits(value, inner.spans)
            change(edits)
            self.replace(name, edits.build())

    def edit_each(self, name: str, change: Callable[[Edits], None]) -> None:
        """Apply ``change`` inside each object of a member that is a short list of only objects, as edited so far; any
        other value is left unchanged.
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
        """The edited bytes: the original object itself if there are no edits."""
        pieces = self._pieces()
        return self._text if pieces is None else b"".join(pieces)

    def parts(self) -> Sequence[bytes | memoryview]:
        """The edited bytes as parts in order, of which the unchanged ones are views on the original."""
        return self._pieces() or (self._text,)

    def built(self) -> Steps[bytes]:
        """The same as `build`, in steps: copying tens of megabytes takes tens of milliseconds."""
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
        """The parts of the edited bytes; ``None`` if there are no edits."""
        if not (self._replaced or self._removed or self._inserted):
            return None
        view = memoryview(self._text)
        opening = self._text.index(b"{") + 1
        pieces: list[bytes | memoryview] = [view[:opening], b",".join(self._inserted)]
        position = opening  # everything before it is in the pieces or removed
        previous = opening  # the end of the member before
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
                if previous != opening:  # the members before this one are removed, with their last comma
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


class Splicing(ABC):
    """The half of a `Wire` that makes the bytes for a provider of its edits."""

    @abstractmethod
    def edit(self, body: bytes, head: Head, target: Target) -> Steps[Edits]: ...

    def splice(self, body: bytes, head: Head, target: Target) -> Steps[bytes]:
        """See `Wire.splice`."""
        return (yield from (yield from self.edit(body, head, target)).built())
