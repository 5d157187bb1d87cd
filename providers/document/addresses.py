"""Addresses of files and media: how they are normalised, and which of them name a file that a provider keeps.

How a provider parses an address is not known here, so addresses are compared after the most lenient parsing:
percent escapes are decoded, full-width letters become ASCII, blanks and control characters are dropped, backslashes
become slashes, letters become lower case, and the dot at a host's end is dropped
(https://url.spec.whatwg.org/#url-parsing, https://unicode.org/reports/tr46/).
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes, urlsplit

import msgspec

from providers.dialect import Refusal
from providers.document.members import decode_text, is_string

MOST_BYTES: Final = 8_192
"""The longest address, in characters. A longer text is data, or refused."""

KEPT: Final = (
    "This address names a file that is kept at the provider or on its machine: send the file's data inline instead."
)
NO_ADDRESS: Final = "The address of a file must be a string."
_LONG: Final = "The address of a file is too long: send its data inline instead."

_NO_LETTERS: Final = re.compile(r"[\x00-\x20\x7f-\xa0\xad\u200b-\u200f\u2028-\u202f\u2060-\u2064\ufeff]+")
_TURNED: Final = str.maketrans({"\\": "/", "\u3002": ".", "\u2044": "/", "\u2215": "/"})
_MOST_LETTERS: Final = 4  # letters that one character of a host's name may expand to
_ROUNDS: Final = 3  # levels of percent escapes inside percent escapes

_FILES_HOST: Final = "generativelanguage.googleapis.com"
_API_HOSTS: Final = frozenset(("api.openai.com", "api.anthropic.com", "api.mistral.ai", "api.x.ai"))
_ELSEWHERE: Final = frozenset(("http", "https", "gs"))
_NAME: Final = re.compile(r"/*(?:v[0-9][a-z0-9]*/+)?files/.*")
# Or plain base64; no file begins with six bytes of 0xff.
_DATA: Final = re.compile(rb"data:|(?!/{8}|/*(?:v[0-9][a-z0-9]*/+)?files/)[a-z0-9+/_-]{60}", re.IGNORECASE)
_FETCHED: Final = (b"http:", b"https:", b"gs:", b"file")
_ESCAPES: Final = re.compile(rb"\\(?:[bfnrt]|u00[01][0-9a-fA-F]|u0020)|[\x00-\x20]+")


class Address(NamedTuple):
    """The parts of an address, in lower case; a part is empty if it is absent."""

    scheme: str
    host: str
    path: str


def read_address(text: str) -> Address | None:
    """An address after the most lenient parsing, or None if no parser accepts it."""
    if "%" in text:
        plain = text.encode()
        for _ in range(_ROUNDS):
            plain = unquote_to_bytes(plain)
        text = plain.decode("utf-8", "replace")
    if not text.isascii():
        # Character by character: normalising a run of combining marks takes quadratic time, and no host has one.
        text = text.translate({ord(one): _letter(one) for one in set(text) if one > "\x7f"})
    text = _NO_LETTERS.sub("", text).translate(_TURNED).lower()
    try:
        parts = urlsplit(text)
        return Address(parts.scheme, (parts.hostname or "").strip("."), parts.path)
    except ValueError:
        return None


def _letter(one: str) -> str:
    plain = unicodedata.normalize("NFKC", one)
    return plain if len(plain) <= _MOST_LETTERS else one


def is_elsewhere(text: str) -> bool:
    """Whether an address is complete, and its host is not one where a provider keeps files."""
    address = read_address(text)
    return address is not None and bool(address.host) and address.scheme in _ELSEWHERE and not _at_provider(address)


def refuse_kept(raw: msgspec.Raw, param: str, *, whole: bool) -> None:
    """Refuse an address that names a file kept at a provider, or a file on its machine.

    Args:
        raw: The JSON value. If it is not a string, it is not an address, and is refused if the API takes only strings.
        param: The member of the request that contains it.
        whole: The API takes only complete addresses and file names; otherwise it also takes data, which passes.

    Raises:
        Refusal: ``privacy_unsupported``; ``invalid_request`` for one that is too long.
    """
    if not is_string(raw):
        if whole:
            raise Refusal("invalid_request", NO_ADDRESS, param)
        return
    if not whole and _is_data(raw):
        return
    if len(raw) > MOST_BYTES:
        raise Refusal("invalid_request", _LONG, param)
    text = decode_text(raw) or ""
    if whole:
        kept = not is_elsewhere(text)
    else:
        address = read_address(text)
        kept = address is None or address.scheme == "file" or _at_provider(address) or _is_name(address)
    if kept:
        raise Refusal("privacy_unsupported", KEPT, param)


def is_remote(raw: msgspec.Raw) -> bool:
    """Whether a JSON string is an address that the provider fetches, and not data, by its start."""
    start = _ESCAPES.sub(b"", bytes(memoryview(raw)[1:64]).replace(b"\\/", b"/")).lower()
    return start.startswith(_FETCHED)


def _at_provider(address: Address) -> bool:
    host = address.host
    if host == _FILES_HOST or host.endswith(f".{_FILES_HOST}"):
        return True
    return host in _API_HOSTS and _NAME.fullmatch(address.path) is not None


def _is_name(address: Address) -> bool:
    """Whether it is the name of a file in the Files API, without a host."""
    return not address.host and not address.scheme and _NAME.fullmatch(address.path) is not None


def _is_data(raw: msgspec.Raw) -> bool:
    """Whether it contains the file itself."""
    start = bytes(memoryview(raw)[1:128])
    if start[:5] == b"data:":
        return True
    return len(raw) > MOST_BYTES and _DATA.match(_ESCAPES.sub(b"", start)) is not None
