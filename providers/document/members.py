"""The top level of a JSON request body: its members, where each lies, and the few that are acted on.

Rules that everything here obeys:

1. One pass skips the body without building it; the members come out as views, and only short ones
   are ever decoded. What the caller wrote to the model is never turned into Python objects.
2. The gateway and the provider must read the same members. A duplicated or undecodable name is
   refused, because two parsers may choose differently and so smuggle one past the other.
3. What is not acted on is not judged: unknown members and odd types pass, the provider decides.
4. A refusal's message is a fixed sentence. Errors of the decoder are dropped, not chained.
5. What costs more than its bytes is refused before anything is built (`providers.document.census`); every pass over a
   body is a step of its own.
"""

from __future__ import annotations

import codecs
import re
import sys
from collections.abc import Mapping
from typing import Final

import msgspec

from providers import bounds
from providers.bounds import STEP_BYTES
from providers.dialect import Refusal
from providers.document.census import TOO_DEEP, TOO_MANY_MEMBERS, census, is_plain
from providers.steps import Steps

MAX_MODEL: Final = 256
"""Longest model name in characters: longer than any provider's, short enough to look up safely."""

ABSENT: Final = msgspec.Raw(b"")
"""The default of a field that is read as a `msgspec.Raw`; see `given`."""

_NOT_JSON: Final = "The request body is not valid JSON (a lone surrogate is not, either)."
_COUNT_LIMIT: Final = (1 << 31) - 1

_FIRST = re.compile(rb'[ \t\n\r]*\{[ \t\n\r]*"([^"\\]*(?:\\.[^"\\]*)*)"[ \t\n\r]*:[ \t\n\r]*')
_NEXT = re.compile(rb'[ \t\n\r]*,[ \t\n\r]*"([^"\\]*(?:\\.[^"\\]*)*)"[ \t\n\r]*:[ \t\n\r]*')
_LAST = re.compile(rb"[ \t\n\r]*\}[ \t\n\r]*\Z")


class Members:
    """The members of one JSON object.

    Attributes:
        raws: name -> the value's bytes as sent, as a view on the body.
        spans: name -> (start, end) of the value in the body, in body order.
        body: What the spans are of.
    """

    __slots__ = ("body", "raws", "spans")

    def __init__(self, raws: dict[str, msgspec.Raw], spans: dict[str, tuple[int, int]], body: bytes) -> None:
        self.raws = raws
        self.spans = spans
        self.body = body

    def raw(self, *names: str) -> msgspec.Raw | None:
        """The value under the first of these names that is there and not null."""
        for name in names:
            raw = self.raws.get(name)
            if raw is not None and given(raw):
                return raw
        return None

    def truthy(self, name: str) -> bool:
        """The member is there and is not null, false, an empty string, list or object."""
        raw = self.raws.get(name)
        return raw is not None and (len(raw) > 5 or bytes(raw) not in _FALSY)

    def boolean(self, name: str) -> bool:
        """A flag; absent and null are false. Raises `Refusal` for anything but a boolean."""
        raw = self.raws.get(name)
        if raw is None:
            return False
        text = bytes(raw) if len(raw) <= 5 else b""
        if text == b"true":
            return True
        if text in (b"false", b"null"):
            return False
        raise Refusal("invalid_request", "This member must be true or false.", name)

    def text(self, *names: str) -> str | None:
        """A short string, or None where it is absent, null or something else."""
        raw = self.raw(*names)
        return None if raw is None or len(raw) > _TEXT_BYTES else decode_text(raw)

    def count(self, *names: str) -> int | None:
        """A whole number from 0 up, or None where it is absent or something else.

        Accepts the spellings that providers accept: 100, 100.0 and (protobuf's JSON) "100".
        """
        raw = self.raw(*names)
        return None if raw is None else count_of(word(raw))


_WORD_BYTES: Final = 64
_NO_WORD: Final = b"..."
_COUNT_BYTES: Final = 32
_TEXT_BYTES: Final = 12 * MAX_MODEL
LIST: Final = ord("[")
OBJECT: Final = ord("{")
_QUOTE: Final = ord('"')
_FALSY: Final = frozenset((b"null", b"false", b'""', b"[]", b"{}"))


_TEXT = msgspec.json.Decoder(str)
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def given(raw: msgspec.Raw) -> bool:
    """The value is there and not null."""
    size = len(raw)
    return size > 0 and (size != 4 or bytes(raw) != b"null")


def count_of(value: bytes) -> int | None:
    """The whole number from 0 up that this JSON value is, or None; see `Members.count`."""
    if len(value) > _COUNT_BYTES:
        return None
    try:
        number = float(value.strip(b'"'))
    except ValueError:
        return None
    return int(number) if 0 <= number <= _COUNT_LIMIT and number.is_integer() else None


def word(raw: msgspec.Raw) -> bytes:
    """The value's bytes, if it may be a word or a number; of anything longer something that is neither."""
    return bytes(raw) if len(raw) <= _WORD_BYTES else _NO_WORD


def is_list(raw: msgspec.Raw) -> bool:
    return len(raw) > 0 and memoryview(raw)[0] == LIST


def is_object(raw: msgspec.Raw) -> bool:
    return len(raw) > 0 and memoryview(raw)[0] == OBJECT


def is_string(raw: msgspec.Raw) -> bool:
    return len(raw) > 1 and memoryview(raw)[0] == _QUOTE


def decode_text(raw: msgspec.Raw) -> str | None:
    """The string that this value is, or None when it is no string."""
    try:
        return _TEXT.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def read_members(body: bytes, *, values: int = bounds.VALUES) -> Steps[Members]:
    """Read a request body's top level.

    Raises `Refusal` (``invalid_request``) unless the body is one JSON object (RFC 8259) in valid
    UTF-8, without byte-order mark, with every member named once, and within `providers.bounds`.

    Args:
        body: The whole body.
        values: How many values it may hold.
    """
    if not (yield from is_plain(body)):
        yield from census(body, values=values)
    try:
        raws = _MEMBERS.decode(body)
    except msgspec.ValidationError:
        raise Refusal("invalid_request", "The request body must be a JSON object.") from None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise Refusal("invalid_request", _NOT_JSON) from None
    except RecursionError:
        raise Refusal("invalid_request", TOO_DEEP) from None
    if len(raws) > bounds.MEMBERS:
        raise Refusal("invalid_request", TOO_MANY_MEMBERS)
    yield
    if not body.isascii():
        yield from _check_utf8(body)
    spans = _walk(body, raws)
    if spans is None:
        raise Refusal("invalid_request", "A member of the request body appears more than once.")
    yield
    return Members(raws, spans, body)


def read_nested(members: Members, *names: str) -> Members | None:
    """The members of a member that is an object, or None where it is absent or something else.

    Raises `Refusal` where it names a member twice, since what is acted on must be read alike.
    """
    raw = members.raw(*names)
    if raw is None or not is_object(raw):
        return None
    raws = _decoded(raw)
    start, end = next(members.spans[name] for name in names if members.raws.get(name) is raw)
    spans = None if raws is None else _walk(members.body, raws, start, end)
    if raws is None or spans is None:
        raise Refusal("invalid_request", "A member of this object appears more than once.", names[0])
    return Members(raws, spans, members.body)


def read_object(text: bytes) -> Members | None:
    """The members of a nested object, or None where it is no object or names a member twice."""
    raws = _decoded(text)
    spans = None if raws is None else _walk(text, raws)
    return None if raws is None or spans is None else Members(raws, spans, text)


def _decoded(text: bytes | msgspec.Raw) -> dict[str, msgspec.Raw] | None:
    try:
        return _MEMBERS.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _walk(
    body: bytes, raws: Mapping[str, msgspec.Raw], position: int = 0, end: int = sys.maxsize
) -> dict[str, tuple[int, int]] | None:
    # The decoder keeps a name's first place and its last value, so a duplicate shows as a value
    # that is not where it should be, or as members that remain when the names are used up.
    spans: dict[str, tuple[int, int]] = {}
    pattern = _FIRST
    for name, raw in raws.items():
        found = pattern.match(body, position, end)
        if found is None:
            return None
        written = found[1]
        if b"\\" in written:
            written = (decode_text(msgspec.Raw(b'"' + written + b'"')) or "").encode()
        start = found.end()
        if written != name.encode() or not body.startswith(raw, start):
            return None
        position = start + len(raw)
        spans[name] = (start, position)
        pattern = _NEXT
    if raws and _LAST.match(body, position, end) is None:
        return None
    return spans


def _check_utf8(body: bytes) -> Steps[None]:
    # In steps, so that a short run of wide characters does not widen the whole text.
    view = memoryview(body)
    position, size = 0, len(body)
    try:
        while position < size:
            end = position + STEP_BYTES
            position += codecs.utf_8_decode(view[position:end], "strict", end >= size)[1]
            yield
    except UnicodeDecodeError:
        raise Refusal("invalid_request", "The request body is not valid UTF-8.") from None


def read_model(members: Members, path_model: str | None = None) -> str:
    """The model's name: from the path where the operation names it there, else from the body."""
    if path_model is None:
        raw = members.raws.get("model")
        if raw is None:
            raise Refusal("invalid_request", "Name the model: this member is required.", "model")
        model = decode_text(raw) if len(raw) <= 12 * MAX_MODEL else None
        if model is None:
            raise Refusal("invalid_request", "The model must be a string, the name of a model.", "model")
    else:
        model = path_model
    if not model or len(model) > MAX_MODEL or not model.isprintable():
        raise Refusal("invalid_request", "This is not the name of a model.", "model")
    return model
