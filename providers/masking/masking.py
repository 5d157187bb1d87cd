"""Replaces secrets in a request's body and restores them in the answer: the pure part, without the rules that find
secrets.

Rules that everything here obeys:

1. A secret is replaced by a placeholder of letters, digits and underscores, which needs no escape in JSON, URLs or
   program text. The same secret of the same account has the same placeholder in every request, so that the turns of
   a conversation begin with the same bytes: the provider's prompt cache needs that, and signatures cover them.
2. The map from placeholders to secrets is in a `Vault`, which exists only during its exchange. Its repr shows
   only a count.
3. Strings that must return to their provider unchanged are not changed, in both directions (`places`).
4. Only strings in which a secret was found are rewritten; every other byte stays as it was sent.
5. The replacement of a part of the body depends only on the parts before it.
6. Work is done in steps: `masking` yields after each. `MOST_SECRETS` and the search bound what a body may
   contain; a body with more is refused (`TooMany`), and never sent with a part unsearched.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import json
import re
from bisect import bisect_left
from collections.abc import Callable, Generator, Iterable
from typing import Final, NamedTuple

import msgspec

from providers.document.strings import quoted, text_of
from providers.masking.places import NOWHERE, Place, Places, Treatment, places

PREFIX: Final = "MASKED_"
NAME_LENGTH: Final = 13
"""The number of base32 characters that identify a secret: 65 bits."""

LONGEST: Final = 40
"""The longest placeholder, in characters: a stream may have to hold back that many."""

SHORTEST: Final = 8
"""Shorter strings contain no secret that a rule could find."""

MOST_SECRETS: Final = 10_000
"""The most secrets in one body; each is kept until the answer has ended."""

_PLACEHOLDER: Final = re.compile(rf"{PREFIX}[A-Z]{{1,12}}_[A-Z2-7]{{{NAME_LENGTH}}}_")
_MOST_KNOWN: Final = 32
_SHORTEST_KNOWN: Final = 12
_MOST_NESTED: Final = 1 << 20
_PIECE: Final = 65_536
_HIGH: Final = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}\Z")
_LOW: Final = re.compile(rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}")
_PART: Final = re.compile(rb'[^"\\]{0,65536}(?:\\.[^"\\]{0,64}){0,1000}', re.DOTALL)
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/_=-]{0,65536}(?:\\[/nr])?")
_DATA_URL: Final = re.compile(rb'"data:([^,;"\\]{0,200})[^,"\\]{0,200};base64,', re.IGNORECASE)
_BINARY: Final = re.compile(rb"(?:image|audio|video)/|application/pdf\Z", re.IGNORECASE)
_TEXTUAL: Final = re.compile(rb"(?:text|message)/|.*(?:json|xml|yaml|toml|csv|script|sql|x-sh|html)\Z", re.IGNORECASE)
_ALPHABET: Final = bytes.maketrans(b"-_", b"+/")
_RAW: Final = msgspec.json.Decoder(msgspec.Raw)


class TooMany(Exception):
    """The body has more than is searched, or more secrets than are kept. The error has no text."""


class Found(NamedTuple):
    """A secret in a text: its span, and its kind, an upper-case word of at most 12 letters.

    ``context``: it was recognised only by the text around it.
    """

    start: int
    end: int
    kind: str
    context: bool = False


Detect = Callable[[str], Iterable[Found | None]]
"""Finds the secrets in a text, in order and without overlap; may yield None after each step of bounded work. The text
may contain lone surrogates."""


class Vault:
    """The secrets that were replaced in one exchange."""

    __slots__ = ("_name", "_order", "_placeholders", "_secrets", "known")

    def __init__(self, name: Callable[[str], str]) -> None:
        """``name``: makes the `NAME_LENGTH` base32 characters of a secret, the same in all exchanges of an account."""
        self._name = name
        self._placeholders: dict[str, str] = {}  # secret -> placeholder
        self._secrets: dict[str, str] = {}  # placeholder -> secret
        self._order: list[str] = []  # the placeholders, sorted on first use
        self.known: list[str] = []  # secrets that were recognised only by context: they may recur without it

    def __repr__(self) -> str:
        return f"<Vault of {len(self._secrets)}>"

    def __len__(self) -> int:
        return len(self._secrets)

    def placeholder(self, secret: str, kind: str, *, context: bool = False) -> str:
        """The placeholder of this secret. Raises `TooMany`."""
        known = self._placeholders.get(secret)
        if known is not None:
            return known
        if len(self._secrets) >= MOST_SECRETS:
            raise TooMany
        made = f"{PREFIX}{kind}_{self._name(secret)}_"
        assert _PLACEHOLDER.fullmatch(made)
        self._placeholders[secret] = made
        self._secrets[made] = secret
        if context and len(secret) >= _SHORTEST_KNOWN and len(self.known) < _MOST_KNOWN:
            self.known.append(secret)
        return made

    def kind(self, secret: str) -> str:
        """The kind under which a secret was replaced."""
        return self._placeholders[secret].removeprefix(PREFIX).split("_", 1)[0]

    def restore(self, text: str, *, inside_json: bool = False) -> str:
        """``text`` with every whole placeholder replaced; ``inside_json``: the text is JSON itself."""
        if PREFIX not in text:
            return text
        shown: list[str] = []
        done = at = 0
        while (found := _PLACEHOLDER.search(text, at)) is not None:
            kept = self._secrets.get(found[0])
            if kept is None:
                at = found.start() + 1  # a false match may contain the start of a real placeholder
                continue
            shown += (text[done : found.start()], json.dumps(kept)[1:-1] if inside_json else kept)
            done = at = found.end()
        return "".join((*shown, text[done:]))

    def held(self, text: str) -> int:
        """The number of characters at the end of ``text`` that may be the start of a placeholder."""
        if len(self._order) != len(self._secrets):
            self._order = sorted(self._secrets)
        at = max(0, len(text) - LONGEST + 1)
        while (at := text.find("M", at)) >= 0:
            tail = text[at:]
            place = bisect_left(self._order, tail)
            if place < len(self._order) and self._order[place] != tail and self._order[place].startswith(tail):
                return len(tail)
            at += 1
        return 0


def mask(body: bytes, detect: Detect, vault: Vault, tree: Places = NOWHERE) -> bytes:
    """`masking` without steps."""
    steps = masking(body, detect, vault, tree)
    while True:
        try:
            next(steps)
        except StopIteration as ended:
            masked: bytes = ended.value
            return masked


def masking(body: bytes, detect: Detect, vault: Vault, tree: Places) -> Generator[None, None, bytes]:
    """Replace every secret of a valid JSON document; returns the same object if there is none.

    Args:
        body: The document. Invalid JSON stays invalid.
        detect: Finds secrets.
        vault: Stores them.
        tree: The places with a treatment of their own.

    Raises:
        TooMany: The document has more than is searched or kept.
    """
    changes: list[tuple[int, int, bytes]] = []
    for place in places(body, tree):
        if place is None:
            yield
        elif place.treatment is not Treatment.EXACT and place.end - place.start >= SHORTEST + 2:
            changed = yield from _changed(body, place, detect, vault)
            if changed is not None:
                changes.append((place.start, place.end, changed))
    return _joined(body, changes)


def _joined(document: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    """The document with these spans replaced; the same object if there are none."""
    if not changes:
        return document
    pieces: list[bytes] = []
    position = 0
    for start, end, changed in sorted(changes):
        pieces += (document[position:start], changed)
        position = end
    return b"".join([*pieces, document[position:]])


def _changed(body: bytes, place: Place, detect: Detect, vault: Vault) -> Generator[None, None, bytes | None]:
    """A string without its secrets, or None if it has none."""
    start, end, treatment, media = place
    if treatment is Treatment.REST:
        found = yield from _without(body[start:].decode("utf-8", "replace"), detect, vault, str.encode)
        return found
    data = start + 1
    if treatment is Treatment.ADDRESS:
        header = _DATA_URL.match(body, start, end)
        if header is not None:
            treatment, data, media = Treatment.MEDIA, header.end(), header[1] or b"text/plain"  # RFC 2397
    if treatment is Treatment.MEDIA and (yield from _is_base64(body, data, end - 1)):
        if not media or (_BINARY.match(media) and not _TEXTUAL.match(media)):
            return None
        encoded = yield from _in_base64(body[data : end - 1], detect, vault)
        return None if encoded is None else b'%b%b"' % (body[start:data], encoded)
    text, plain = yield from _decoded(body, start + 1, end - 1)
    if treatment is Treatment.JSON and len(text) <= _MOST_NESTED:
        document = text.encode("utf-8", "surrogatepass")
        if _is_json(document):  # its strings are searched, so that the kept secrets are unescaped
            masked = yield from masking(document, detect, vault, NOWHERE)
            return None if masked is document else quoted(masked.decode("utf-8", "surrogatepass"))
    inner = yield from _without(text, detect, vault, str.encode if plain else _escaped)
    return None if inner is None else b'"%b"' % inner


def _without(
    text: str, detect: Detect, vault: Vault, write: Callable[[str], bytes]
) -> Generator[None, None, bytes | None]:
    """The text without its secrets, encoded by ``write``, or None if it has none."""
    pieces: list[bytes] = []
    position = 0
    for one in _found(text, detect, vault):
        if one is None:
            yield
            continue
        secret = text[one.start : one.end]
        if one.start < position or not _PLACEHOLDER.sub("", secret).strip():  # an earlier turn's placeholder
            continue
        yield from _written(text, position, one.start, write, pieces)
        pieces.append(vault.placeholder(secret, one.kind, context=one.context).encode())
        position = one.end
    if not position:
        return None
    yield from _written(text, position, len(text), write, pieces)
    return b"".join(pieces)


def _found(text: str, detect: Detect, vault: Vault) -> Iterable[Found | None]:
    """Secrets that a rule finds, and secrets that are known already, in order."""
    known = [
        Found(found.start(), found.end(), vault.kind(secret))
        for secret in vault.known
        for found in re.finditer(re.escape(secret), text)
    ]
    if not known:
        return detect(text)
    return sorted([*known, *(one for one in detect(text) if one is not None)], key=lambda one: (one.start, -one.end))


def _written(
    text: str, start: int, end: int, write: Callable[[str], bytes], pieces: list[bytes]
) -> Generator[None, None, None]:
    """Encode a part of the text, one piece in each step."""
    while end - start > _PIECE:
        pieces.append(write(text[start : start + _PIECE]))
        start += _PIECE
        yield
    pieces.append(write(text[start:end]))


def _decoded(body: bytes, start: int, end: int) -> Generator[None, None, tuple[str, bool]]:
    """The text between two quotes, and whether it is written without escapes."""
    if end - start <= _PIECE:
        raw = body[start:end]
        return _unescaped(raw), b"\\" not in raw
    parts: list[str] = []
    plain = True
    while start < end:
        part = _PART.match(body, start, end)
        stop = part.end() if part is not None else end
        while stop < end and body[stop] & 0xC0 == 0x80:  # inside a UTF-8 character
            stop += 1
        if _HIGH.search(body, max(start, stop - 6), stop) and (low := _LOW.match(body, stop, end)):
            stop = low.end()  # inside a pair of surrogates
        raw = body[start : stop if stop > start else end]
        plain = plain and b"\\" not in raw
        parts.append(_unescaped(raw))
        start += len(raw)
        yield
    return "".join(parts), plain


def _unescaped(raw: bytes) -> str:
    if b"\\" not in raw:
        return raw.decode("utf-8", "replace")
    token = b'"%b"' % raw
    try:
        return text_of(token)
    except (msgspec.MsgspecError, ValueError):  # a lone surrogate, or invalid JSON
        try:
            text = json.loads(token)
        except ValueError:
            return raw.decode("utf-8", "replace")
        return text if isinstance(text, str) else ""


def _escaped(text: str) -> bytes:
    """The text as it is written between the quotes of a JSON string."""
    try:
        return msgspec.json.encode(text)[1:-1]
    except ValueError:  # a lone surrogate
        return json.dumps(text)[1:-1].encode()


def _is_json(document: bytes) -> bool:
    try:
        _RAW.decode(document)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _is_base64(body: bytes, start: int, end: int) -> Generator[None, None, bool]:
    while start < end:
        found = _BASE64.match(body, start, end)
        if found is None or found.end() == start:
            return False
        start = found.end()
        yield
    return True


def _in_base64(data: bytes, detect: Detect, vault: Vault) -> Generator[None, None, bytes | None]:
    """Base64 of a text without its secrets, or None if it has none or does not start with UTF-8 text."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(_from_base64(data[:_PIECE]))
        yield
        text = _from_base64(data).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    masked = yield from _without(text, detect, vault, str.encode)
    return None if masked is None else base64.b64encode(masked)


def _from_base64(data: bytes) -> bytes:
    """Decode base64 from a JSON string: either alphabet, with or without line breaks and padding."""
    plain = data.replace(b"\\/", b"/").replace(b"\\n", b"").replace(b"\\r", b"").translate(_ALPHABET, b"\\=")
    return base64.b64decode(plain[: len(plain) - (len(plain) % 4 == 1)] + b"=" * (-len(plain) % 4))


def unmask(document: bytes, vault: Vault, tree: Places = NOWHERE) -> bytes:
    """A whole JSON document (of an answer) with every placeholder replaced; the same object if there is none."""
    prefix = PREFIX.encode()
    if prefix not in document:
        return document
    changes: list[tuple[int, int, bytes]] = []
    for place in places(document, tree):
        if place is None or place.treatment in _LEFT or document.find(prefix, place.start, place.end) < 0:
            continue
        try:
            text = text_of(document[place.start : place.end])
        except (msgspec.MsgspecError, ValueError):
            continue
        restored = vault.restore(text, inside_json=place.treatment is Treatment.JSON)
        if restored != text:
            changes.append((place.start, place.end, quoted(restored)))
    return _joined(document, changes)


_LEFT: Final = frozenset((Treatment.EXACT, Treatment.REST))
