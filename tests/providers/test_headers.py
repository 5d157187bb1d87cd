from __future__ import annotations

import pytest

from providers.dialect import Family
from providers.headers import FIXED, REQUEST, RESPONSE, asks_for_events, query_string, request_headers, response_headers

STOPPED = [
    "authorization",
    "x-api-key",
    "x-goog-api-key",
    "cookie",
    "host",
    "connection",
    "transfer-encoding",
    "content-length",
    "accept-encoding",
    "user-agent",
    "x-stainless-os",
    "x-stainless-retry-count",
    "x-codex-turn-metadata",
    "x-codex-installation-id",
    "x-gemini-api-privileged-user-id",
    "session_id",
    "x-session-id",
    "x-claude-code-session-id",
    "anthropic-user-profile-id",
    "anthropic-workspace-id",
    "anthropic-dangerous-direct-browser-access",
    "openai-organization",
    "openai-project",
    "x-goog-user-project",
    "x-forwarded-for",
    "forwarded",
    "x-real-ip",
    "via",
    "traceparent",
    "tracestate",
    "baggage",
    "idempotency-key",
    "x-processing-mode",
    "x-max-retention-days",
    "accept",
    "content-type",
    "x-goog-api-client",
    "never-heard-of",
]


@pytest.mark.parametrize("family", Family)
@pytest.mark.parametrize("name", STOPPED)
def test_people_credentials_and_framing_stop(family, name):
    pairs = [(name.encode(), b"v"), (name.title().encode(), b"v"), (name.upper().encode(), b"v")]

    assert request_headers(family, pairs) == list(FIXED)


VALUES = [
    (Family.OPENAI, "openai-beta", b"responses=experimental"),
    (Family.ANTHROPIC, "anthropic-beta", b"context-1m-2025-08-07"),
    (Family.ANTHROPIC, "anthropic-beta", b"claude-code-20250219"),
    (Family.ANTHROPIC, "anthropic-version", b"2023-06-01"),
]


@pytest.mark.parametrize(("family", "name", "value"), VALUES)
def test_protocol_headers_pass_to_their_own_provider_alone(family, name, value):
    assert request_headers(family, [(name.title().encode(), value)]) == [*FIXED, (name.encode(), value)]
    assert [other for other in Family if name in REQUEST[other]] == [family]


@pytest.mark.parametrize(("family", "name", "value"), VALUES)
@pytest.mark.parametrize(
    "free", [b"canary", b"user=bob", b"/home/bob", b"bob@example.com", b"", b"x" * 80 + b"-2025-01-01", b"\xff"]
)
def test_no_free_text_passes_in_them(family, name, value, free):
    assert request_headers(family, [(name.encode(), free)]) == list(FIXED)
    assert request_headers(family, [(name.encode(), free + b", " + value)]) == [*FIXED, (name.encode(), value)]
    assert request_headers(family, [(name.encode(), value + free)]) in (list(FIXED), [*FIXED, (name.encode(), value)])


def test_neither_order_nor_repetition_nor_spacing_tells_clients_apart():
    one = [(b"anthropic-version", b"2023-06-01"), (b"Anthropic-Beta", b"pdfs-2024-09-25,context-1m-2025-08-07")]
    other = [
        (b"ANTHROPIC-BETA", b" context-1m-2025-08-07 "),
        (b"anthropic-beta", b"pdfs-2024-09-25,\tcontext-1m-2025-08-07"),
        (b"anthropic-version", b"2023-06-01"),
    ]
    assert request_headers(Family.ANTHROPIC, one) == request_headers(Family.ANTHROPIC, other)
    assert request_headers(Family.ANTHROPIC, one) == [
        *FIXED,
        (b"anthropic-beta", b"context-1m-2025-08-07,pdfs-2024-09-25"),
        (b"anthropic-version", b"2023-06-01"),
    ]


@pytest.mark.parametrize("family", Family)
@pytest.mark.parametrize(
    "name",
    [
        "x-ratelimit-remaining-tokens",
        "anthropic-ratelimit-requests-limit",
        "openai-organization",
        "openai-project",
        "anthropic-organization-id",
        "anthropic-workspace-id",
        "request-id",
        "x-request-id",
        "cf-ray",
        "set-cookie",
        "server",
        "date",
        "content-length",
        "transfer-encoding",
        "content-encoding",
        "connection",
        "alt-svc",
        "strict-transport-security",
        "traceresponse",
    ],
)
def test_the_operators_account_and_the_providers_transport_stop_on_the_way_back(family, name):
    assert response_headers(family, [(name.encode(), b"v")]) == []


@pytest.mark.parametrize("family", Family)
def test_what_the_client_acts_on_passes_back(family):
    pairs = [(b"Content-Type", b"text/event-stream"), (b"Retry-After", b"1"), (b"X-Should-Retry", b"true")]

    assert response_headers(family, pairs) == [(name.lower(), value) for name, value in pairs]


def test_the_lists_are_in_lower_case():
    listed = [*REQUEST.values(), *RESPONSE.values()]
    assert all(name == name.lower() for names in listed for name in names)


@pytest.mark.parametrize(
    ("query", "forwarded"),
    [
        ("", ""),
        ("alt=sse", "alt=sse"),
        ("beta=true", "beta=true"),
        ("$alt=json%3Benum-encoding%3Dint", "$alt=json%3Benum-encoding%3Dint"),
        ("%24alt=json", "%24alt=json"),
        ("key=SECRET&alt=sse&user=bob", "alt=sse"),
        ("key=SECRET", ""),
        ("alt", ""),
        ("alt=canary&beta=canary&$alt=canary", ""),
        ("altitude=3&ALT=sse", ""),
        ("a=b&&alt=sse&alt=json", "alt=sse&alt=json"),
    ],
)
def test_only_protocol_parameters_are_forwarded(query, forwarded):
    assert query_string(query) == forwarded


@pytest.mark.parametrize(
    ("query", "events"),
    [
        ("alt=sse", True),
        ("$alt=sse", True),
        ("%24alt=sse", True),
        ("a=b&alt=sse", True),
        ("", False),
        ("alt=json", False),
        ("alt=SSE", False),
        ("malt=sse", False),
    ],
)
def test_each_spelling_asks_google_for_events(query, events):
    assert asks_for_events(query) is events
