from __future__ import annotations

import pytest

from providers.dialect import Family
from providers.headers import REQUEST, RESPONSE, query_string, request_headers, response_headers

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
    "never-heard-of",
]


@pytest.mark.parametrize("family", Family)
@pytest.mark.parametrize("name", STOPPED)
def test_people_credentials_and_framing_stop(family, name):
    pairs = [(name.encode(), b"v"), (name.title().encode(), b"v"), (name.upper().encode(), b"v")]

    assert request_headers(family, pairs) == []


@pytest.mark.parametrize(
    ("family", "name"),
    [
        (Family.OPENAI, "openai-beta"),
        (Family.ANTHROPIC, "anthropic-beta"),
        (Family.ANTHROPIC, "anthropic-version"),
        (Family.GOOGLE, "x-goog-api-client"),
    ],
)
def test_protocol_headers_pass_to_their_own_provider_alone(family, name):
    pairs = [(b"Content-Type", b"application/json"), (name.title().encode(), b"v"), (b"Accept", b"*/*")]

    assert request_headers(family, pairs) == [
        (b"content-type", b"application/json"),
        (name.encode(), b"v"),
        (b"accept", b"*/*"),
    ]
    assert [other for other in Family if name in REQUEST[other]] == [family]


def test_a_repeated_header_passes_in_order():
    pairs = [(b"anthropic-beta", b"a"), (b"Anthropic-Beta", b"b")]

    assert request_headers(Family.ANTHROPIC, pairs) == [(b"anthropic-beta", b"a"), (b"anthropic-beta", b"b")]


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
    for table in (REQUEST, RESPONSE):
        assert all(name == name.lower() for names in table.values() for name in names)


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
        ("alt", "alt"),
        ("altitude=3&ALT=sse", ""),
        ("a=b&&alt=sse&alt=json", "alt=sse&alt=json"),
    ],
)
def test_only_protocol_parameters_are_forwarded(query, forwarded):
    assert query_string(query) == forwarded
