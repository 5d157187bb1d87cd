"""Repeated header fields in a request, and messages for other errors of a request head.

RFC 9110, section 5.3: a field that is not a list must not be repeated. aiohttp refuses ten such fields by name. The
gateway does not read most of them (`User-Agent`), so a repetition has no effect, and SDKs that wrap one another do send
them. The others decide where a request ends or whom it is for, and proxies differ in which of two values they use:
these are refused.
"""

from __future__ import annotations

import re
from typing import Final

_UNREAD: Final = frozenset(
    (b"user-agent", b"server", b"etag", b"content-location", b"content-range", b"max-forwards")
)  # fmt: skip
_NAME: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_REPEAT: Final = re.compile(r"Duplicate '([A-Za-z-]{1,32})' header found\.")
_TWICE: Final = {
    name.lower(): f"The request has more than one {name} header: send one."
    for name in ("Content-Length", "Content-Type", "Host", "Transfer-Encoding")
}
_REASONS: Final = (
    ("Missing 'Host' header", "The request has no Host header, which HTTP/1.1 requires."),
    ("Too many headers received", "The request has too many headers for this gateway."),
    ("Content-Length can't be present with Transfer-Encoding", "The request has Content-Length and Transfer-Encoding."),
    ("Transfer-Encoding can't be present with Content-Length", "The request has Content-Length and Transfer-Encoding."),
    ("Duplicate Content-Length", _TWICE["content-length"]),
    ("Invalid character in Content-Length", "The Content-Length header is not a number."),
    ("Invalid `Transfer-Encoding` header value", "The Transfer-Encoding header is not 'chunked', or is sent twice."),
    ("Invalid header token", "A header line has no colon, no name, or a character that is not allowed in a name."),
)
"""How a message of the parser begins, and the sentence for it: a message itself may quote the request."""


def is_repeat(message: str) -> bool:
    """Whether this message of aiohttp's parser is about a repeated field."""
    return _REPEAT.fullmatch(message) is not None


def reason(message: str) -> str:
    """A sentence that quotes nothing, for a message of aiohttp's parser."""
    if (repeat := _REPEAT.fullmatch(message)) is not None and (known := _TWICE.get(repeat[1].lower())) is not None:
        return known
    for begin, said in _REASONS:
        if begin in message.partition("\n")[0]:
            return said
    return "The request is not valid HTTP/1.1."


def without(data: bytes) -> bytes | None:
    """The bytes of a request head that keeps only the first of each repeated field whose repetition has no meaning.

    Returns:
        ``None`` if the head is not complete, has a line that readers may take in two ways, or repeats nothing of this
        kind. A ``Content-Type`` has to be the same both times.
    """
    head, end, rest = data.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    if not end or b"\n" in head.replace(b"\r\n", b"") or b"\r" in head.replace(b"\r\n", b""):
        return None
    seen: dict[bytes, bytes] = {}
    kept = [first]
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or _NAME.fullmatch(name) is None:
            return None
        name, value = name.lower(), value.strip(b" \t")
        earlier = seen.get(name)
        if earlier is not None and (name in _UNREAD or (name == b"content-type" and value == earlier)):
            continue
        seen.setdefault(name, value)
        kept.append(line)
    if len(kept) == len(lines) + 1:
        return None
    return b"\r\n".join(kept) + end + rest
