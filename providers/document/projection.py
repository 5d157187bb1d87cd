"""Reads a few members out of a JSON document of any size while it arrives in pieces.

`JsonProjection` copies the wanted members, by their path, into a small document of the
same shape, and skips everything else at the speed of the regular expression engine. Skipped
bytes are not kept, so that a usage object at the end of a body of many megabytes (images in
base64, embeddings) is found in bounded memory.

Rules:

1. A member is found by its path from the top, never by its name alone: the same name inside a
   string or inside an unwanted object is content, not a count.
2. The output is bounded (`OUTPUT_LIMIT`); a value that would exceed the bound becomes ``null``. Reading stops, and the
   document becomes ``invalid``, if more than `ANSWER_ELEMENTS` objects and lists are wanted, if more than
   `ANSWER_MEMBERS` names were read, or if the elements of a streamed list are smaller than `ELEMENT_BYTES`.
3. The result does not depend on how the document was cut.
4. Scalars are copied or skipped, not checked: a value that is not strictly JSON (``NaN``) must not
   lose the members beside it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import TypeAlias

from providers.bounds import ANSWER_ELEMENTS, ANSWER_MEMBERS, ELEMENT_BYTES

# None keeps the whole value; a mapping keeps the named members of an object, or of every object in
# an array at that position. An empty mapping keeps only the kind of a value: the brackets of an object or array.
Wanted: TypeAlias = "Mapping[bytes, Wanted | None]"

OUTPUT_LIMIT = 64 * 1024
_KEY_LIMIT = 256
_SMALL_ELEMENTS = 64  # of a streamed list, in bytes that arrive together, whatever their size

# Everything up to the next bracket, including whole strings. Possessive, so that a string that has
# not ended costs one pass; but not the outer repetition: where one of it fails in the middle, CPython 3.11.2 would keep
# what it had taken.
_FLAT = re.compile(rb'[^"{}\[\]]*+(?:"(?:[^"\\]++|\\.)*+"[^"{}\[\]]*+)*', re.DOTALL)
_STRING_REST = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_NAME = re.compile(rb'[ \t\r\n]*+"([^"\\]*+)"[ \t\r\n]*+:[ \t\r\n]*+')
_SPACE = re.compile(rb"[ \t\r\n]*+")
_SCALAR = re.compile(rb"[^,\]} \t\r\n]*+")

# The expected next part of the document.
_VALUE, _STRING, _SCALAR_REST, _CONTAINER, _MEMBER, _KEY, _COLON, _AFTER = range(8)


class _Frame:
    """An open container whose members are read."""

    __slots__ = ("closer", "filled", "wanted")

    def __init__(self, closer: bytes, wanted: Wanted) -> None:
        self.closer = closer
        self.wanted = wanted
        self.filled = False  # it has a written member, so the next one needs a comma


class JsonProjection:
    """Copies the wanted members of one JSON value.

    Args:
        wanted: The paths to keep.
        each: If given, the top-level value is an array, and ``each`` is called with every element as a
            separate document as soon as the element has ended. (A top-level value that is
            not an array counts as one element.)
    """

    __slots__ = (
        "_depth", "_each", "_elements", "_escaped", "_frames", "_in_string", "_key", "_mark", "_members", "_most",
        "_out", "_size", "_spec", "_start", "_state", "_take", "closed", "invalid",
    )  # fmt: skip

    def __init__(self, wanted: Wanted, each: Callable[[bytes], None] | None = None) -> None:
        self.closed = False  # the top-level value has ended
        self.invalid = False  # the structure is not JSON, or something follows the value
        self._each = each
        self._out: list[bytes] = []
        self._size = 0  # bytes in `_out`
        self._mark = 0  # length of `_out` after the last whole member
        self._start = 0  # length of `_out` where the open value begins
        self._frames: list[_Frame] = []
        self._elements = 0  # wanted objects and lists in this document
        self._members = 0  # members whose names were read
        self._most = 0  # elements for which `each` may still be called for the bytes received so far
        self._state = _VALUE
        self._spec: Wanted | None = wanted  # what is wanted of the next value, if `_take`
        self._take = True  # the next or open value is copied
        self._key = b""
        self._depth = 0  # containers open inside the value that is copied or skipped whole
        self._in_string = False
        self._escaped = False  # the last byte was a backslash inside a string

    def feed(self, data: bytes) -> None:
        """Take the next piece of the document. Never raises; see ``invalid``."""
        position = 0
        end = len(data)
        self._most = _SMALL_ELEMENTS + end // ELEMENT_BYTES
        while position < end and not self.closed and not self.invalid:
            state = self._state
            if state == _CONTAINER:
                position = self._in_container(data, position)
            elif state == _STRING:
                position = self._in_whole_string(data, position)
            elif state == _SCALAR_REST:
                position = self._in_scalar(data, position)
            elif state == _KEY:
                position = self._in_key(data, position)
            elif state == _MEMBER and (found := _NAME.match(data, position)) is not None:
                self._named(found.group(1))
                self._state = _VALUE
                position = found.end()
            else:
                position = _SPACE.match(data, position).end()  # type: ignore[union-attr]  # matches always
                if position < end:
                    position = self._structure(data, position)
        if self.closed and position < end and data[position:].strip(b" \t\r\n"):
            self.invalid = True

    def result(self) -> bytes:
        """The wanted members so far, as one JSON document, which is well-formed even before the end."""
        if self.closed:
            return b"".join(self._out)
        if not self._mark:
            return b"null"
        closers = [frame.closer for frame in reversed(self._frames)]
        return b"".join([*self._out[: self._mark], *closers])

    def _structure(self, data: bytes, position: int) -> int:
        state, byte = self._state, data[position : position + 1]
        if state == _VALUE:
            return self._begin_value(data, position, byte)
        if state == _COLON:
            self.invalid = byte != b":"
            self._state = _VALUE
            return position + 1
        frame = self._frames[-1]
        if byte == frame.closer:
            self._close_frame()
        elif state == _AFTER and byte == b",":
            if frame.closer == b"}":
                self._state = _MEMBER
            else:
                self._element(frame)
        elif state == _MEMBER and byte == b'"':
            self._key = b""
            self._state = _KEY
        else:
            self.invalid = True
        return position + 1

    def _begin_value(self, data: bytes, position: int, byte: bytes) -> int:
        if byte == b"]" and self._frames and self._frames[-1].closer == b"]":
            self._close_frame()
            return position + 1
        if byte in b",:}]":
            self.invalid = True
            return position
        if self._take:
            self._elements += byte in b"{["
            if self._elements > ANSWER_ELEMENTS:
                self.invalid = True
                return position
            self._write_prefix()
            if self._spec and byte in b"{[":
                self._open_frame(byte, self._spec)
                return position + 1
            if self._spec is not None and byte in b"{[":
                self._write(b"{}" if byte == b"{" else b"[]")
                self._mark = len(self._out)
                self._take = False
        self._in_string = self._escaped = False
        if byte in b"{[":
            self._depth = 0
            self._state = _CONTAINER
            return self._in_container(data, position)
        if byte == b'"':
            self._write(byte)
            self._state = _STRING
            return position + 1
        self._state = _SCALAR_REST
        return position

    def _open_frame(self, byte: bytes, spec: Wanted) -> None:
        hand_over = self._each is not None and not self._frames and byte == b"["
        if not hand_over:
            self._write(byte)
        frame = _Frame(b"}" if byte == b"{" else b"]", spec)
        self._frames.append(frame)
        self._mark = len(self._out)
        if byte == b"{":
            self._state = _MEMBER
        else:
            self._element(frame)

    def _close_frame(self) -> None:
        frame = self._frames.pop()
        if self._frames or frame.closer == b"}" or self._each is None:
            self._take = True
            self._write(frame.closer)
            self._value_ended()
        else:
            self.closed = True

    def _element(self, frame: _Frame) -> None:
        self._spec = frame.wanted
        self._take = True
        self._state = _VALUE

    def _value_ended(self) -> None:
        self._mark = len(self._out)
        self._state = _AFTER
        if self._each is not None and (not self._frames or (len(self._frames) == 1 and self._frames[0].closer == b"]")):
            element = b"".join(self._out)
            self._out.clear()
            self._size = self._mark = self._elements = self._members = 0
            self._most -= 1
            self.invalid = self._most < 0
            if self._frames:
                self._frames[0].filled = False
            self.closed = not self._frames
            self._each(element)
        elif not self._frames:
            self.closed = True

    def _write_prefix(self) -> None:
        if self._frames and not (self._each is not None and len(self._frames) == 1 and self._top_is_array()):
            frame = self._frames[-1]
            if frame.filled:
                self._out.append(b",")
            frame.filled = True
            if frame.closer == b"}":
                self._out.append(b'"%b":' % self._key)
        self._start = len(self._out)

    def _top_is_array(self) -> bool:
        return self._frames[0].closer == b"]"

    def _write(self, piece: bytes) -> None:
        if not self._take:
            return
        self._out.append(piece)
        self._size += len(piece)
        if self._size > OUTPUT_LIMIT and self._state in {_STRING, _SCALAR_REST, _CONTAINER}:
            self._size -= sum(map(len, self._out[self._start :]))
            self._out[self._start :] = [b"null"]
            self._take = False

    def _string_end(self, data: bytes, position: int) -> int:
        """The index after the closing quote, or -1 if the string continues after ``data``."""
        if self._escaped:
            self._escaped = False
            position += 1
        quote = data.find(b'"', position)
        if data.find(b"\\", position, quote if quote >= 0 else len(data)) < 0:
            return quote + 1 if quote >= 0 else -1
        end = _STRING_REST.match(data, position).end()  # type: ignore[union-attr]  # matches always
        if end < len(data) and data[end] == 0x22:
            return end + 1
        self._escaped = end < len(data)
        return -1

    def _in_whole_string(self, data: bytes, position: int) -> int:
        end = self._string_end(data, position)
        stop = len(data) if end < 0 else end
        if self._take:
            self._write(data[position:stop])
        if end >= 0:
            self._value_ended()
        return stop

    def _in_scalar(self, data: bytes, position: int) -> int:
        end = _SCALAR.match(data, position).end()  # type: ignore[union-attr]  # matches always
        if self._take:
            self._write(data[position:end])
        if end < len(data):
            if self._frames:
                self._value_ended()
            else:
                self.invalid = data[end] not in b" \t\r\n"
                self._value_ended()
        return end

    def _in_container(self, data: bytes, position: int) -> int:
        start = position
        if self._in_string:
            end = self._string_end(data, position)
            if end >= 0:
                self._in_string = False
            position = len(data) if end < 0 else end
        while position < len(data):
            position = _FLAT.match(data, position).end()  # type: ignore[union-attr]  # matches always
            if position == len(data):
                break
            byte = data[position]
            position += 1
            if byte == 0x22:
                self._in_string = True
                end = self._string_end(data, position)
                position = len(data)  # it did not end here, or the expression would have matched
                self._in_string = end < 0
                break
            if byte in b"{[":
                self._depth += 1
                continue
            self._depth -= 1
            if self._depth == 0:
                if self._take:
                    self._write(data[start:position])
                self._value_ended()
                return position
        if self._take:
            self._write(data[start:position])
        return position

    def _in_key(self, data: bytes, position: int) -> int:
        end = self._string_end(data, position)
        stop = len(data) if end < 0 else end
        if len(self._key) <= _KEY_LIMIT:
            self._key += data[position:stop]
        if end >= 0:
            self._key_ended()
        return stop

    def _key_ended(self) -> None:
        key = self._key[:-1]
        if b"\\" in key and len(key) < _KEY_LIMIT:
            try:
                key = json.loads(b'"%b"' % key).encode()
            except ValueError:
                key = b""
        self._named(key)
        self._state = _COLON

    def _named(self, key: bytes) -> None:
        self._members += 1
        if self._members > ANSWER_MEMBERS:
            self.invalid = True
        wanted = self._frames[-1].wanted
        self._take = key in wanted
        self._spec = wanted.get(key)
        self._key = key
