"""Puts the fragments of a streamed chat answer in order: one text, thought or tool call after another.

Chat streams may interleave calls; Messages and generateContent have one open part at a time. Rules:

1. Parts keep the order in which they started. The first unfinished one is passed on at once, and later ones are
   held until it ends: text ends when another part starts, a call when its arguments are a whole JSON object or
   the answer ends. So an answer that arrives in order is never held.
2. A fragment is assigned to a call by its id, then its index, then the order. Hosts deviate in all three: Ollama
   gives every call index 0, vLLM has given every fragment a different id, others give no id or no index, or
   one id to all calls. `_Calls.of` has the rules. A name may arrive in pieces, before the first of the arguments.
3. A call has a name, an id that is unique in the answer, and arguments that are a JSON object.
   At the end of an answer that was not cut by its output limit, anything else is a failure.
4. The kept text is bounded by `MOST_HELD`.
"""

from __future__ import annotations

import re
from collections import deque
from enum import Enum, auto
from typing import Any, Final, TypeAlias

import msgspec

from providers.conversation.arguments import read_object
from providers.conversation.conversation import (
    Cited,
    Event,
    Probabilities,
    ReasoningDelta,
    RefusalDelta,
    Sealed,
    TextDelta,
    ToolDelta,
    ToolStart,
)
from providers.conversation.reading import MOST_HELD, Unreadable

Prose: TypeAlias = TextDelta | RefusalDelta | ReasoningDelta | Sealed | Cited | Probabilities

_OUTSIDE: Final = re.compile(r'["{}\[\]]')
_INSIDE: Final = re.compile(r'["\\]')


class _Shape(Enum):
    """How far a call's arguments have come: BLANK -> OPEN -> WHOLE, or BLANK -> OTHER."""

    BLANK = auto()
    OPEN = auto()
    WHOLE = auto()
    OTHER = auto()  # begins with something that is no object


class _Prose:
    """A run of text or of thoughts, with what belongs to it."""

    def __init__(self, kind: type[Prose]) -> None:
        self.kind = kind
        self._held: list[Event] = []

    def add(self, event: Prose) -> None:
        self._held.append(event)

    def tell(self, found: list[Event], used: set[str]) -> None:  # noqa: ARG002 - as a call's
        """Pass on what was not passed on yet."""
        found += self._held
        self._held.clear()

    over = True


class _Call:
    """One call of a tool. ``name`` and ``id`` are empty until they have come."""

    def __init__(self, index: Any) -> None:
        self.index = index
        self.id = ""
        self.name = ""
        self.shape = _Shape.BLANK
        self.started = False
        self._ended = False
        self._pieces: list[str] = []  # all of the arguments
        self._told = 0  # how many of them were passed on
        self._depth = 0
        self._quoted = False
        self._escaped = False

    @property
    def over(self) -> bool:
        return self.shape is _Shape.WHOLE and bool(self.name)

    @property
    def arguments(self) -> str:
        return "".join(self._pieces)

    def add(self, text: str) -> None:
        """Append to the arguments. Raises `Unreadable` if they were whole."""
        if not text or (self.shape is _Shape.WHOLE and not text.strip()):
            return
        if self.shape is _Shape.WHOLE:
            raise Unreadable
        self._pieces.append(text)
        if self.shape is _Shape.BLANK and (begun := text.lstrip()):
            self.shape = _Shape.OPEN if begun.startswith("{") else _Shape.OTHER
        if self.shape is _Shape.OPEN:
            self._follow(text)

    def _follow(self, text: str) -> None:
        """Look for the end of the object by its brackets; `read_object` decides at the end whether it is one."""
        at = 0
        while True:
            if self._escaped and at < len(text):
                self._escaped, at = False, at + 1
            mark = (_INSIDE if self._quoted else _OUTSIDE).search(text, at)
            if mark is None:
                return
            at = mark.end()
            match mark[0]:
                case '"':
                    self._quoted = not self._quoted
                case "\\":
                    self._escaped = True
                case "{" | "[":
                    self._depth += 1
                case _:
                    self._depth -= 1
            if not self._depth:
                self.shape = _Shape.WHOLE
                if text[at:].strip():
                    raise Unreadable
                return

    def tell(self, found: list[Event], used: set[str]) -> None:
        """Pass on what was not passed on yet; ``used``: the ids that the answer's calls have."""
        if not self.name or (self.shape is _Shape.BLANK and not self._ended):  # more of the name may come
            return
        if not self.started:
            self.started = True
            number = len(used) + 1
            self.id = self.id or f"call_{number}"
            while self.id in used:
                self.id, number = f"call_{number}", number + 1
            used.add(self.id)
            found.append(ToolStart(self.id, self.name))
        if self.shape in {_Shape.OPEN, _Shape.WHOLE}:
            found.extend(ToolDelta(piece) for piece in self._pieces[self._told :] if piece)
            self._told = len(self._pieces)

    def close(self, *, cut: bool) -> None:
        """The answer ended, ``cut`` at its length. Raises `Unreadable` for a call that cannot be told."""
        if not self.name:
            raise Unreadable
        self._ended = True
        if self.shape is _Shape.OTHER:  # null, or the object written as a string once more
            inner = _unwrapped(self.arguments)
            if inner is None and not cut:
                raise Unreadable
            self._pieces, self.shape = [inner or ""], _Shape.WHOLE
        elif not cut and read_object(self.arguments) is None:
            raise Unreadable


class _Calls:
    """The calls of one answer, by what a fragment says of itself."""

    def __init__(self) -> None:
        self.all: list[_Call] = []
        self._by_id: dict[str, _Call] = {}
        self._by_index: dict[Any, _Call] = {}  # the last one that began there

    def of(self, index: Any, identity: str, name: str, arguments: str) -> tuple[_Call, bool]:
        """The call that a fragment belongs to, and whether the fragment begins it."""
        last = self._by_index.get(index) if index is not None else None
        if identity:
            known = self._by_id.get(identity)
            if known is not None and not _begins(known, index, identity, name, arguments):
                return known, False
            if known is None and last is not None and _goes_on(last, name, arguments):
                if last.shape is not _Shape.WHOLE:  # after it, an id and nothing else may announce the next call
                    self._name(last, identity)
                return last, False
            return self.begin(index, identity), True
        if index is None and self.all:
            last = self.all[-1]
        if last is not None and not _begins(last, index, identity, name, arguments):
            return last, False
        return self.begin(index, identity), True

    def begin(self, index: Any, identity: str) -> _Call:
        call = _Call(index)
        self.all.append(call)
        if index is not None:
            self._by_index[index] = call
        self._name(call, identity)
        return call

    def _name(self, call: _Call, identity: str) -> None:
        """Give the call this id, unless it has one or another call has it."""
        if identity and identity not in self._by_id:
            self._by_id[identity] = call
            call.id = call.id or identity


def _begins(call: _Call, index: Any, identity: str, name: str, arguments: str) -> bool:
    """Whether a fragment that by its id, its index or its place goes on with ``call`` begins another one.

    Only a fragment with a name does: with another name, at another index, or after whole arguments. An id with the same
    name and no other arguments is told twice.
    """
    if not name or not call.name or _is_piece(call, index, identity, name):
        return False
    if name != call.name or (None not in (index, call.index) and index != call.index):
        return True
    if call.shape is not _Shape.WHOLE:
        return False
    return not identity or (bool(arguments.strip()) and arguments != call.arguments)


def _is_piece(call: _Call, index: Any, identity: str, name: str) -> bool:
    """Whether ``name`` is more of the name of ``call``: at its index, without another id, before any arguments."""
    same = index is not None and index == call.index and identity in {"", call.id}
    return same and name != call.name and call.shape is _Shape.BLANK


def _goes_on(call: _Call, name: str, arguments: str) -> bool:
    """Whether a fragment goes on with the last call of its index although nobody has its id yet."""
    if call.shape is _Shape.WHOLE:
        return not name and not arguments.strip()
    if not name:
        return bool(call.name) or not call.id
    if not call.id:
        return call.name in {"", name}
    # Each fragment has an id and the name: arguments that go on where an object is open belong to it.
    return call.name == name and call.shape is _Shape.OPEN and not (arguments or "{").lstrip().startswith("{")


class Fragments:
    """Takes what an answer says and gives it as events, in order."""

    def __init__(self) -> None:
        self._parts: deque[_Prose | _Call] = deque()  # those that are not over, and what came after them
        self._calls = _Calls()
        self._used: set[str] = set()
        self._kept = 0

    @property
    def called(self) -> bool:
        """A tool was called."""
        return bool(self._calls.all)

    def prose(self, kind: type[TextDelta | RefusalDelta | ReasoningDelta], text: str, found: list[Event]) -> None:
        """A piece of text or of thought. Raises `Unreadable` over `MOST_HELD`."""
        self._say(kind(text), len(text), found)

    def mark(self, event: Sealed | Cited | Probabilities, found: list[Event]) -> None:
        """What belongs to the text or the thought so far. Raises `Unreadable` over `MOST_HELD`."""
        match event:
            case Sealed(seal):
                size = len(seal.data)
            case Cited(citation):
                size = len(citation.url)
            case Probabilities(tokens):
                size = sum(len(one.token) * (1 + len(one.alternatives)) for one in tokens)
        self._say(event, size, found)

    def _say(self, event: Prose, size: int, found: list[Event]) -> None:
        last = self._parts[-1] if self._parts else None
        if not isinstance(last, _Prose) or last.kind is not type(event):
            last = _Prose(type(event))
            self._parts.append(last)
        last.add(event)
        self._tell(found)
        if last is not self._parts[0]:
            self._keep(size)

    def call(
        self, index: Any, identity: str, name: str, arguments: str, found: list[Event], *, whole: bool = False
    ) -> None:
        """A fragment of a call, or a ``whole`` one; what it does not say is None or empty. Raises `Unreadable`."""
        if not (identity or name or arguments):
            return
        call, new = (
            (self._calls.begin(index, identity), True) if whole else self._calls.of(index, identity, name, arguments)
        )
        if new:
            self._parts.append(call)
        again = bool(name) and call.over  # told twice
        if not call.name:
            call.name = name
        elif name and not new and not whole and _is_piece(call, index, identity, name):
            call.name = (
                name if name.startswith(call.name) else call.name + name
            )  # some hosts repeat what they have said
        if not again:
            call.add(arguments)
            self._keep(len(arguments))
        self._tell(found)

    def end(self, found: list[Event], *, cut: bool) -> None:
        """The answer ended, ``cut`` at its length. Raises `Unreadable` for a call that cannot be told."""
        for call in list(self._calls.all):
            said = call.name or call.shape is not _Shape.BLANK
            if not said or (cut and not call.started and not call.over):
                self._calls.all.remove(call)
                self._parts.remove(call)
            else:
                call.close(cut=cut)
        for part in self._parts:
            part.tell(found, self._used)
        self._parts.clear()

    def _tell(self, found: list[Event]) -> None:
        parts = self._parts
        parts[0].tell(found, self._used)
        while len(parts) > 1 and parts[0].over:
            parts.popleft()
            parts[0].tell(found, self._used)

    def _keep(self, size: int) -> None:
        self._kept += size
        if self._kept > MOST_HELD:
            raise Unreadable


def _unwrapped(arguments: str) -> str | None:
    """The object that a string or ``null`` stands for, or None."""
    try:
        value = msgspec.json.decode(arguments)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    if value is None:
        return ""
    return value if isinstance(value, str) and read_object(value) is not None else None
