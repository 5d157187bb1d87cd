"""Removes what identifies the operator's account from a provider's error before a caller gets it.

Rules that everything here obeys:

1. Only an identifier is replaced, by `REDACTED`; every other byte stays, and a JSON text stays valid: neither a quote
   nor a backslash is part of an identifier.
2. An identifier is recognised by its form (a prefix and random characters), or by the word before it ("organization",
   "project_number:"). The word is needed if the form is not specific: callers write names such as ``org-mode`` and
   ``user_id``, and act on errors that quote them.
3. The work is bounded: an expression is tried only at one of `_MARKERS`, at most `_MOST_PLACES` times, and
   no part of it is unbounded. An error that needs more is not passed on.

Forms are those of OpenAI (``org-``, ``proj_``, ``user-``), Anthropic (a UUID, ``wrkspc_``), Google (project numbers
and names, ``AIza``), Groq (``org_``), Moonshot (``org-``, ``ak-``), xAI (UUIDs of teams and keys), OpenRouter
(``user_``), Azure (UUIDs), AWS (numbers in ARNs); keys also in the masked form in which providers quote them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

REDACTED: Final = b"[redacted]"
LONGEST_ERROR: Final = 65_536  # bytes; nobody reads a longer one
_MOST_PLACES: Final = 2_000
_SHORTEST_KEY: Final = 8  # characters of a configured key; a shorter one is a placeholder, and may occur in a word

# What may be before an identifier: no letter, except at the end of a JSON escape (`\n`, `\u003c`).
_START: Final = rb"(?:(?<![A-Za-z0-9_-])|(?<=\\[bfnrt])|(?<=\\u00[0-9a-fA-F][0-9a-fA-F]))"
_END: Final = rb"(?![A-Za-z0-9_-])"
_UUID: Final = rb"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_MASKED: Final = rb"(?:\*{2,40}|\.{3}|\xe2\x80\xa6|\\u2026)[A-Za-z0-9_-]{0,60}"
_IDS: Final = rb"(?:org|proj|user|team|wrkspc|workspace|acct|ak)[-_]"
_KEYS: Final = rb"(?:sk|gsk|xai|pplx|nvapi|hf|fw|r8|tgp|csk|key)[-_]"
_PARAMETERS: Final = rb"(?:key|api_?key|api-key|access_token|token|sig|signature|project)="
_LEAD: Final = (
    rb"(?i:(?:organi[sz]ation|org|project|team|workspace|account|tenant|subscription|consumer|(?:api[ _-]?)?key)s?"
    rb"(?:[ _-]?(?:id|number|name|provided))?[\"']?[ :=(#]{0,3}(?:[\"'`<(]|\\[\"']|\\u00(?:3c|27|60)){0,2})"
)
_FORMS: Final = (
    rb"(?P<lead>"
    + _LEAD
    + rb")(?:"
    + _UUID
    + rb"|"
    + _IDS
    + rb"[A-Za-z0-9_-]{1,100}|[0-9]{6,20}|(?=[A-Za-z]{0,64}[0-9])[A-Za-z0-9]{16,64}"
    rb"|projects/[A-Za-z0-9_-]{1,64}|[A-Za-z0-9_.+=/-]{0,40}?" + _MASKED + rb")" + _END,
    rb"(?P<quoted>(?i:organi[sz]ation|project|team|workspace) [`'])[^`'\"\\]{1,100}(?=[`'])",
    rb"(?P<number>project_number:)[0-9]{1,20}",
    rb"(?P<resource>projects/)(?:[0-9]{4,20}" + _END + rb"|[A-Za-z0-9-]{1,64}(?=/locations/))",
    rb"(?P<arn>arn:aws[a-z-]{0,20}:[a-z0-9-]{0,40}:[a-z0-9-]{0,40}:)[0-9]{12}",
    rb"(?P<query>(?:(?<=[?&])|(?<=\\u0026))" + _PARAMETERS + rb")[^&\s\"'`\\<>)]{1,500}",
    rb"(?P<bearer>(?i:bearer ))[A-Za-z0-9._~+/=-]{8,500}",
    _IDS + rb"(?=[A-Za-z]{0,64}[0-9])[A-Za-z0-9]{16,64}" + _END,
    _KEYS + rb"(?:[A-Za-z0-9_-]{0,80}?" + _MASKED + rb"|(?=[A-Za-z_-]{0,300}[0-9])[A-Za-z0-9_-]{20,300})",
    rb"AIza(?:[A-Za-z0-9_-]{0,60}?" + _MASKED + rb"|[A-Za-z0-9_-]{10,60})",
    rb"ya29\.[A-Za-z0-9_-]{10,400}",
)
# The start of every form, in lower case.
_MARKERS: Final = (
    *(b"org", b"proj", b"user", b"team", b"wrkspc", b"workspace", b"acct", b"account", b"tenant", b"subscription"),
    *(b"consumer", b"api", b"key", b"ak-", b"ak_", b"sk-", b"sk_", b"gsk", b"xai", b"pplx", b"nvapi", b"hf", b"fw"),
    *(b"r8", b"tgp", b"csk", b"aiza", b"ya29", b"bearer", b"arn:aws", b"access_token", b"token=", b"sig"),
)


class Redaction:
    """Redacts one provider's errors; ``keys`` are the operator's API keys there."""

    __slots__ = ("_markers", "_pattern")

    def __init__(self, keys: Iterable[str] = ()) -> None:
        own = [key.encode() for key in keys if len(key) >= _SHORTEST_KEY]
        exact = [re.escape(key) for key in own]
        masked = [re.escape(key[:3]) + rb"[A-Za-z0-9_-]{0,80}?" + _MASKED for key in own]
        forms = b"|".join((*_FORMS, *masked))
        self._pattern = re.compile(b"|".join((*exact, _START + b"(?:" + forms + b")")))
        self._markers = tuple(dict.fromkeys((*_MARKERS, *(key[:3].lower() for key in own))))

    def __call__(self, body: bytes) -> bytes | None:
        """The error with each identifier replaced.

        Returns:
            ``body`` itself if it has no identifier; ``None`` if it is too long to be searched.
        """
        if len(body) > LONGEST_ERROR:
            return None
        folded = body.lower()
        places = {start for marker in self._markers for start in _positions(folded, marker)}
        if len(places) > _MOST_PLACES:
            return None
        pieces: list[bytes] = []
        end = 0
        for start in sorted(places):
            found = self._pattern.match(body, start) if start >= end else None
            if found is not None:
                kept = found[found.lastgroup] if found.lastgroup else b""
                pieces += (body[end:start], kept, REDACTED)
                end = found.end()
        return b"".join((*pieces, body[end:])) if pieces else body


def _positions(text: bytes, marker: bytes) -> Iterator[int]:
    start = text.find(marker)
    while start >= 0:
        yield start
        start = text.find(marker, start + 1)
