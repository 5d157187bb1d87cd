"""The top level of a JSON request body: its members, their positions, and the few that the gateway acts on.

Rules that everything here obeys:

1. One pass reads the body without building it; the members are returned as views, and only short ones
   are ever decoded and kept.
2. The gateway and the provider must read the same members. A duplicate or undecodable name is
   refused at any depth, because two parsers may choose differently, so that a value could bypass the gateway's checks
   (`providers.document.duplicates`).
3. Members that the gateway does not act on are not checked: unknown members and unexpected types pass, and the provider
   decides.
4. A refusal's message is a fixed sentence. Errors of the decoder are dropped, not chained.
5. A body that is expensive for its size is refused before anything is built (`providers.document.census`); every pass
   over a body is a separate step.
"""

from __future__ import annotations

import codecs
import re
from typing import Any, Final

import msgspec

from providers import bounds
from providers.bounds import STEP_BYTES
from providers.dialect import Refusal
from providers.document.census import TOO_DEEP, TOO_MANY_MEMBERS, census, is_plain
from providers.document.duplicates import (
    NAMED_TWICE,
    NOT_JSON,
    PIECE_BYTES,
    find_spans,
    is_long,
    refuse_duplicates,
    size_of,
    walk_list,
)
from providers.document.objects import Objects, Part
from providers.steps import Steps, at_once

MAX_MODEL: Final = 256
"""The longest model name in characters: longer than any provider's, short enough for a look-up."""

ABSENT: Final = msgspec.Raw(b"")
"""The default of a field that is read as a `msgspec.Raw`; see `given`."""

_COUNT_LIMIT: Final = (1 << 31) - 1
_FEW: Final = 20_000  # objects, lists and names in a body whose decoded objects are kept


class Members:
    """The members of one JSON object.

    Attributes:
        raws: name -> the value's bytes as sent, as a view on the body.
        spans: name -> (start, end) of the value in ``body``, in body order.
        body: The bytes that contain the object.
        objects: What was decoded inside of it.
    """

    __slots__ = ("body", "objects", "raws", "spans")

    def __init__(
        self,
        raws: dict[str, msgspec.Raw],
        spans: dict[str, tuple[int, int]],
        body: bytes,
        objects: Objects | None = None,
    ) -> None:
        self.raws = raws
        self.spans = spans
        self.body = body
        self.objects = objects or Objects()

    def raw(self, *names: str) -> msgspec.Raw | None:
        """The value of the first of these names that is present and not null."""
        for name in names:
            raw = self.raws.get(name)
            if raw is not None and given(raw):
                return raw
        return None

    def truthy(self, name: str) -> bool:
        """The member is present and is not null, false, an empty string, list or object."""
        raw = self.raws.get(name)
        return raw is not None and says_something(raw)

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
        """A short string, or None if it is absent, null or something else."""
        raw = self.raw(*names)
        return None if raw is None or len(raw) > _TEXT_BYTES else decode_text(raw)

    def count(self, *names: str) -> int | None:
        """A whole number from 0 up, or None if it is absent or something else.

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
_FALSY: Final = frozenset((b"", b"null", b"false", b'""', b"[]", b"{}"))


_TEXT = msgspec.json.Decoder(str)
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_NAMES = msgspec.json.Decoder(list[str | int] | str | int)


def _list_of(name: str) -> msgspec.json.Decoder[Any]:
    """Decodes one member of a body, and no other: a list of objects, whose members stay undecoded."""
    return msgspec.json.Decoder(msgspec.defstruct("Conversation", [("found", list[Part])], rename={"found": name}))


_CONVERSATION: Final = re.compile(rb'"(messages|contents|input)":([ \t\n\r]*)\[(?=[ \t\n\r]*\{)')
_SHORT: Final = re.compile(
    rb"\}[ \t\n\r]*,[ \t\n\r]+\{"
)  # between two messages; such a list is decoded, and not walked
_FIRST_BYTES: Final = 8_192  # in which it is searched for
_CONVERSATIONS: Final = {name: _list_of(name) for name in ("messages", "contents", "input")}


def given(raw: msgspec.Raw) -> bool:
    """The value is present and not null."""
    size = len(raw)
    return size > 0 and (size != 4 or bytes(raw) != b"null")


def says_something(raw: msgspec.Raw) -> bool:
    """The value is present, and is not null, false, an empty string, list or object."""
    return len(raw) > 5 or bytes(raw) not in _FALSY


def count_of(value: bytes) -> int | None:
    """This JSON value as a whole number from 0 up, or None; see `Members.count`."""
    if len(value) > _COUNT_BYTES:
        return None
    try:
        number = float(value.strip(b'"'))
    except ValueError:
        return None
    return int(number) if 0 <= number <= _COUNT_LIMIT and number.is_integer() else None


def word(raw: msgspec.Raw) -> bytes:
    """The value's bytes, if it is short enough for a word or a number; otherwise bytes that are neither."""
    return bytes(raw) if len(raw) <= _WORD_BYTES else _NO_WORD


def is_list(raw: msgspec.Raw) -> bool:
    return len(raw) > 0 and memoryview(raw)[0] == LIST


def words(raw: msgspec.Raw | None) -> frozenset[str]:
    """The names in a list of enumerated values, or in a single one, in lower case; numbers as their digits."""
    try:
        named = _NAMES.decode(raw) if raw is not None else []
    except msgspec.MsgspecError:
        return frozenset()
    return frozenset(str(name).lower() for name in (named if isinstance(named, list) else [named]))


def is_object(raw: msgspec.Raw) -> bool:
    return len(raw) > 0 and memoryview(raw)[0] == OBJECT


def is_string(raw: msgspec.Raw) -> bool:
    return len(raw) > 1 and memoryview(raw)[0] == _QUOTE


def decode_text(raw: msgspec.Raw) -> str | None:
    """The value as a string, or None if it is not a string."""
    try:
        return _TEXT.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def read_members(body: bytes, *, values: int = bounds.VALUES) -> Steps[Members]:
    """Read a request body's top level.

    Raises `Refusal` (``invalid_request``) unless the body is one JSON object (RFC 8259) in valid
    UTF-8 without a byte order mark, has no duplicate members, and is within `providers.bounds`.

    Args:
        body: The whole body.
        values: How many values it may have.
    """
    few = (yield from is_plain(body)) or (yield from census(body, values=values)) <= _FEW
    objects = Objects(few=few)
    around = (yield from _read_around(body, objects)) if few and len(body) > PIECE_BYTES else None
    raws, spans = (_read_top_level(body), None) if around is None else around
    if len(raws) > bounds.MEMBERS:
        raise Refusal("invalid_request", TOO_MANY_MEMBERS)
    yield
    if not body.isascii():
        yield from _check_utf8(body)
    if spans is None:
        spans = yield from find_spans(body, raws)
        if spans is None:
            raise Refusal("invalid_request", NAMED_TWICE)
        yield
    yield from refuse_duplicates(body, raws, spans, objects, few=few)
    return Members(raws, spans, body, objects)


def _read_top_level(body: bytes) -> dict[str, msgspec.Raw]:
    try:
        return _MEMBERS.decode(body)
    except msgspec.ValidationError:
        raise Refusal("invalid_request", "The request body must be a JSON object.") from None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise Refusal("invalid_request", NOT_JSON) from None
    except RecursionError:
        raise Refusal("invalid_request", TOO_DEEP) from None


def _read_around(
    body: bytes, objects: Objects
) -> Steps[tuple[dict[str, msgspec.Raw], dict[str, tuple[int, int]]] | None]:
    """Read a body's top level and its conversation in one pass: members and spans; None if it cannot be done.

    The conversation is decoded where it is, and then the rest of the body with a number in its place. The decoder does
    not tell where the list ends. If blanks are in it, it is walked, unless it has many members. Written without blanks
    it ends at ``end``, and if the rest is JSON in which its name is there once, it does end there:

    - It does not end before: its objects take that many bytes at least (`size_of`).
    - It does not end later: the rest would begin inside of the list, and close more brackets than it opens, or begin in
      a string, and so end in one.
    - Of two lists with this name the decoder gives the last one. The rest would begin in the last one, or before it and
      have its name as well.
    """
    opening = _CONVERSATION.search(body, 0, STEP_BYTES)
    if opening is None or _SHORT.search(body, opening.end(), opening.end() + _FIRST_BYTES):
        return None
    name, start = opening[1].decode(), opening.end() - 1
    try:
        found: list[Part] = _CONVERSATIONS[name].decode(body).found
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    yield
    end = start + size_of(found) + len(found) + 1
    if opening[2] or body[end - 1 : end] != b"]":
        walked = walk_list(body, start, found) if is_long(found, end - start) else None
        if walked is None:
            return None
        end = walked[0]
    rest = b"%b0%b" % (body[:start], body[end:])
    try:
        raws = _MEMBERS.decode(rest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    spans = yield from find_spans(rest, raws)
    if spans is None or spans.get(name) != (start, start + 1):
        return None
    for other, (first, last) in spans.items():
        if first > start:
            spans[other] = (first + end - start - 1, last + end - start - 1)
    spans[name] = (start, end)
    raws[name] = objects.whole = msgspec.Raw(memoryview(body)[start:end])
    objects.keep(objects.whole, found)
    return raws, spans


def _check_utf8(body: bytes) -> Steps[None]:
    # In steps, so that a few wide characters do not make Python use a wide representation for the whole text.
    view = memoryview(body)
    position, size = 0, len(body)
    try:
        while position < size:
            end = position + STEP_BYTES
            position += codecs.utf_8_decode(view[position:end], "strict", end >= size)[1]
            yield
    except UnicodeDecodeError:
        raise Refusal("invalid_request", "The request body is not valid UTF-8.") from None


def read_nested(members: Members, *names: str) -> Members | None:
    """The members of a member that is an object, or None if it is absent or something else.

    Raises `Refusal` if it has a duplicate member, since the gateway and the provider must read the same value.
    """
    raw = members.raw(*names)
    if raw is None or not is_object(raw):
        return None
    raws = _decoded(raw)
    start, end = next(members.spans[name] for name in names if members.raws.get(name) is raw)
    spans = None if raws is None else at_once(find_spans(members.body, raws, start, end))
    if raws is None or spans is None:
        raise Refusal("invalid_request", NAMED_TWICE, names[0])
    return Members(raws, spans, members.body, members.objects)


def read_object(text: bytes) -> Members | None:
    """The members of a nested object, or None if it is not an object or has a duplicate member."""
    raws = _decoded(text)
    spans = None if raws is None else at_once(find_spans(text, raws))
    return None if raws is None or spans is None else Members(raws, spans, text)


def _decoded(text: bytes | msgspec.Raw) -> dict[str, msgspec.Raw] | None:
    try:
        return _MEMBERS.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def read_model(members: Members, path_model: str | None = None) -> str:
    """The model's name: from the path if the operation has it there, else from the body."""
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
