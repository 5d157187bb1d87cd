"""Replaces secrets in a request's body and restores them in the answer: the pure part, without any rule of what a
secret is.

Rules that everything here obeys:

1. A secret is replaced by a placeholder of letters, digits and underscores, which no JSON, no URL and no program text
   needs to escape. The same secret gets the same placeholder within an exchange and another one in the next.
2. The map lives in a `Vault` and dies with its exchange. It is never shown: its repr holds a count.
3. Members that are not prose are sent unchanged (`UNTOUCHED`): ids, signatures and encoded data must come back to their
   provider byte for byte.
4. Only strings in which something was found are written anew; every other byte stays as it was sent.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from providers.document.strings import quoted, string_values, text_of

PREFIX: Final = "MASKED_"
LONGEST: Final = 40
"""A placeholder is never longer, in characters: what a stream may have to hold back."""

SHORTEST: Final = 8
"""Strings below this length hold no secret that a rule would know."""

_ENCODED: Final = re.compile(rb'"[A-Za-z0-9+/=_.:-]*"')
_LONG: Final = 200  # what is shorter than this is no picture

UNTOUCHED: Final = frozenset(
    (
        *(b"id", b"type", b"role", b"name", b"model", b"object", b"status", b"format", b"media_type", b"mimeType"),
        *(b"tool_call_id", b"tool_use_id", b"call_id", b"item_id", b"signature", b"thoughtSignature"),
        *(b"thought_signature", b"encrypted_content", b"encrypted_reasoning", b"redacted_thinking"),
        *(b"prompt_cache_key", b"safety_identifier", b"user_id", b"service_tier", b"effort", b"$ref", b"required"),
    )
)
"""Members whose strings are not prose, as long as they hold a single word. (A tool's input may use the same names.)"""

JSON_TEXT: Final = frozenset((b"arguments", b"partial_json"))
"""Members whose string is JSON text in its turn."""

_DATA_URL: Final = b'"data:'
_ANY = msgspec.json.Decoder()


class Found(NamedTuple):
    """A secret in a text: its span, and what kind it is, an upper-case word of at most 12 letters."""

    start: int
    end: int
    kind: str


Detect = Callable[[str], list[Found]]
"""Finds the secrets of a text, in order and without overlap."""


class Vault:
    """The secrets that were replaced in one exchange."""

    __slots__ = ("_nonce", "_placeholders", "_secrets", "longest")

    def __init__(self, nonce: str) -> None:
        """``nonce``: 6 letters and digits that were drawn for this exchange."""
        self._nonce = nonce
        self._placeholders: dict[str, str] = {}  # secret -> placeholder
        self._secrets: dict[str, str] = {}  # placeholder -> secret
        self.longest = 0

    def __repr__(self) -> str:
        return f"<Vault of {len(self._secrets)}>"

    def __len__(self) -> int:
        return len(self._secrets)

    def placeholder(self, secret: str, kind: str) -> str:
        """What stands for this secret."""
        known = self._placeholders.get(secret)
        if known is not None:
            return known
        made = f"{PREFIX}{kind}_{self._nonce}{len(self._secrets):03d}_"
        assert len(made) <= LONGEST
        self._placeholders[secret] = made
        self._secrets[made] = secret
        self.longest = max(self.longest, len(made))
        return made

    def restore(self, text: str, *, inside_json: bool = False) -> str:
        """``text`` with every whole placeholder replaced; ``inside_json``: the text is itself written in JSON."""
        if PREFIX not in text:
            return text
        for placeholder, secret in self._secrets.items():
            if placeholder in text:
                text = text.replace(placeholder, json.dumps(secret)[1:-1] if inside_json else secret)
        return text

    def held(self, text: str) -> int:
        """How many characters at the end of ``text`` may be the beginning of a placeholder."""
        at = max(0, len(text) - self.longest + 1)
        while (at := text.find("M", at)) >= 0:
            tail = text[at:]
            if any(placeholder.startswith(tail) for placeholder in self._secrets):
                return len(tail)
            at += 1
        return 0


def mask(body: bytes, detect: Detect, vault: Vault) -> bytes:
    """``body``, a valid JSON document, with every secret of its prose replaced; the same object where there is none."""
    pieces: list[bytes] = []
    position = 0
    for start, end, name in string_values(body):
        if end - start < SHORTEST + 2 or body.startswith(_DATA_URL, start):
            continue
        token = body[start:end]
        if (name in UNTOUCHED or (name == b"data" and len(token) > _LONG)) and _ENCODED.fullmatch(token):
            continue
        masked = _masked(token, detect, vault, nested=name in JSON_TEXT)
        if masked is not None:
            pieces += (body[position:start], masked)
            position = end
    return b"".join([*pieces, body[position:]]) if pieces else body


def _masked(token: bytes, detect: Detect, vault: Vault, *, nested: bool) -> bytes | None:
    try:
        text = text_of(token)
    except (msgspec.MsgspecError, ValueError):  # a lone surrogate: no rule knows such a text
        return None
    if nested:  # JSON inside of a string: its own strings are looked at, so that what is kept is unescaped
        document = text.encode()
        with contextlib.suppress(msgspec.MsgspecError):
            _ANY.decode(document)
            masked = mask(document, detect, vault)
            return None if masked is document else quoted(masked.decode())
    found = detect(text)
    if not found:
        return None
    parts: list[str] = []
    position = 0
    for secret in found:
        parts += (text[position : secret.start], vault.placeholder(text[secret.start : secret.end], secret.kind))
        position = secret.end
    return quoted("".join([*parts, text[position:]]))


def unmask(document: bytes, vault: Vault) -> bytes:
    """A whole JSON document (of an answer) with every placeholder replaced; the same object where there is none."""
    if PREFIX.encode() not in document:
        return document
    pieces: list[bytes] = []
    position = 0
    for start, end, name in string_values(document):
        if document.find(PREFIX.encode(), start, end) < 0:
            continue
        text = text_of(document[start:end])
        restored = vault.restore(text, inside_json=name in JSON_TEXT)
        if restored != text:
            pieces += (document[position:start], quoted(restored))
            position = end
    return b"".join([*pieces, document[position:]]) if pieces else document
