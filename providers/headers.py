"""Which headers are sent on, by allow-list: those of the protocol are sent, those that identify people or accounts are
removed.

Rules that everything here obeys:

1. A header that is not listed is removed, in both directions: fingerprints (``x-stainless-*``,
   ``user-agent``, ``x-goog-api-client``), identity (``x-codex-*``, ``x-gemini-api-privileged-user-id``,
   session and installation ids, ``anthropic-user-profile-id``), cookies, credentials, client addresses
   and tracing (``traceparent``, ``baggage``) are removed because they are not listed here.
2. Of a listed request header, only values with the form that the protocol defines are sent, and they are sorted, so
   that neither free text nor the client's order is sent. Headers that are the same for every client are set by
   the gateway.
3. Hop-by-hop headers (RFC 9110 section 7.6.1) and framing belong to each connection.
4. The provider's quotas, organisation, project and workspace are the operator's, and are removed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from providers.dialect import Family
from providers.members.anthropic import ALLOWED_WITH, BETAS, beta_name
from providers.members.decision import Decision

REQUEST: Final[dict[Family, dict[str, re.Pattern[bytes]]]] = {
    Family.OPENAI: {"openai-beta": re.compile(rb"responses=[a-z0-9]{1,16}")},
    Family.ANTHROPIC: {
        "anthropic-beta": re.compile(rb"[a-z][a-z0-9-]{0,51}-20\d\d-?\d\d-?\d\d"),
        "anthropic-version": re.compile(rb"\d{4}-\d{2}-\d{2}"),
    },
    Family.GOOGLE: {},
}
"""Request headers that are sent to the provider, in lower case, and the form of one value of their lists."""

BETA: Final = b"anthropic-beta"

FIXED: Final = ((b"accept", b"*/*"), (b"content-type", b"application/json"))
"""Request headers that are the same for every request; every body is JSON."""

_ANSWER: Final = frozenset(
    (
        "content-type",
        "content-language",
        "retry-after",
        "retry-after-ms",
        "x-should-retry",
    )
)
RESPONSE: Final[dict[Family, frozenset[str]]] = {
    Family.OPENAI: _ANSWER | {"openai-processing-ms", "openai-version", "openai-model"},
    Family.ANTHROPIC: _ANSWER,
    Family.GOOGLE: _ANSWER | {"x-gemini-service-tier"},
}
"""Response headers that are sent back to the caller, in lower case."""

QUERY: Final[dict[str, frozenset[str]]] = {
    "alt": frozenset(("sse", "json")),
    "$alt": frozenset(("sse", "json", "json;enum-encoding=int", "json%3Benum-encoding%3Dint")),
    "beta": frozenset(("true", "false")),
}
"""Query parameters that are forwarded, and their values."""

_REQUEST_BYTES: Final = {
    family: {name.encode(): form for name, form in forms.items()} for family, forms in REQUEST.items()
}
_RESPONSE_BYTES: Final = {family: frozenset(name.encode() for name in names) for family, names in RESPONSE.items()}


def request_headers(
    family: Family,
    headers: Iterable[tuple[bytes, bytes]],
    *,
    strip_unknown: bool = True,
    server_tools: frozenset[str] = frozenset(),
) -> list[tuple[bytes, bytes]]:
    """The headers of the provider's request: `FIXED`, and those of the client's that may be sent, in a fixed order.

    Args:
        family: The API of the request.
        headers: The client's headers.
        strip_unknown: Leave out the betas that no table knows (`providers.members.anthropic`).
        server_tools: Tools that may run at the provider; the betas of others are left out.
    """
    forms = _REQUEST_BYTES[family]
    passed: list[tuple[bytes, bytes]] = []
    for raw, listed in headers:
        form = forms.get(name := raw.lower())
        if form is None:
            continue
        for item in listed.split(b","):
            value = item.strip()
            if form.fullmatch(value) and (
                name != BETA or _beta_passes(value, server_tools, strip_unknown=strip_unknown)
            ):
                passed.append((name, value))
    if len(passed) < 2:
        return [*FIXED, *passed]
    values: dict[bytes, list[bytes]] = {}
    for name, value in sorted(set(passed)):
        values.setdefault(name, []).append(value)
    return [*FIXED, *((name, b",".join(several)) for name, several in values.items())]


def _beta_passes(value: bytes, server_tools: frozenset[str], *, strip_unknown: bool) -> bool:
    decided = BETAS.get(name := beta_name(value.decode("ascii")))
    if decided is None:
        return not strip_unknown
    if decided.decision is Decision.REFUSE:
        return ALLOWED_WITH.get(name) in server_tools
    return decided.decision is not Decision.STRIP


def response_headers(family: Family, headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The response headers that are sent back to the caller, in order; names are in lower case."""
    allowed = _RESPONSE_BYTES[family]
    return [(name, value) for raw, value in headers if (name := raw.lower()) in allowed]


def query_string(query: str) -> str:
    """The part of a raw query string (without ``?``) that is forwarded, byte for byte; may be empty."""
    if not query:
        return ""
    return "&".join(part for part in query.split("&") if _forwarded(*part.partition("=")[::2]))


def asks_for_events(query: str) -> bool:
    """Whether a raw query string asks Google's API for an event stream; without it a stream is a JSON array."""
    return "alt=sse" in query_string(query).replace("%24", "$").replace("$alt", "alt").split("&")


def _forwarded(name: str, value: str) -> bool:
    return value in QUERY.get(name.replace("%24", "$"), ())
