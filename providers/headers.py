"""Which headers cross the gateway, by allow-list: protocol passes, people and accounts do not.

Rules that everything here obeys:

1. A header that is not listed stops, in both directions: fingerprints (``x-stainless-*``,
   ``user-agent``), identity (``x-codex-*``, ``x-gemini-api-privileged-user-id``, session and
   installation ids, ``anthropic-user-profile-id``), cookies, credentials, client addresses and
   tracing (``traceparent``, ``baggage``) are stopped by not being here.
2. Hop-by-hop headers (RFC 9110 section 7.6.1) and framing belong to each connection.
3. The provider's quotas, organisation, project and workspace are the operator's, and stop.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from providers.dialect import Family

REQUEST: Final[dict[Family, frozenset[str]]] = {
    Family.OPENAI: frozenset(("accept", "content-type", "openai-beta")),
    Family.ANTHROPIC: frozenset(("accept", "content-type", "anthropic-beta", "anthropic-version")),
    # The version of the client library: generic words such as "google-genai-sdk/3.4 gl-python/3.11".
    Family.GOOGLE: frozenset(("accept", "content-type", "x-goog-api-client")),
}
"""Request headers that pass on to the provider, in lower case."""

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
"""Response headers that pass back to the caller, in lower case."""

QUERY: Final = frozenset(("alt", "$alt", "beta"))
"""Query parameters that are forwarded."""

_REQUEST_BYTES: Final = {family: frozenset(name.encode() for name in names) for family, names in REQUEST.items()}
_RESPONSE_BYTES: Final = {family: frozenset(name.encode() for name in names) for family, names in RESPONSE.items()}


def request_headers(family: Family, headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The request headers that pass on, in order; names come out in lower case."""
    allowed = _REQUEST_BYTES[family]
    return [(name, value) for raw, value in headers if (name := raw.lower()) in allowed]


def response_headers(family: Family, headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The response headers that pass back, in order; names come out in lower case."""
    allowed = _RESPONSE_BYTES[family]
    return [(name, value) for raw, value in headers if (name := raw.lower()) in allowed]


def query_string(query: str) -> str:
    """What of a raw query string (without ``?``) is forwarded, byte for byte; may be empty."""
    if not query:
        return ""
    return "&".join(part for part in query.split("&") if part.partition("=")[0].replace("%24", "$") in QUERY)
