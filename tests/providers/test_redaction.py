"""What names the operator's account at a provider is removed from an error, and nothing else is."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.redaction import LONGEST_ERROR, REDACTED, Redaction

KEY = "sk-proj-Q7dkeyOfTheOperator0123456789"
redacted = Redaction([KEY, "k1"])
UUID = "5456025a-920d-4fae-83df-eb142ce029c1"
R = REDACTED.decode()

# Messages as providers send them, and what is left.
MESSAGES = [
    ("Rate limit reached for gpt-x in organization org-0123 on tokens per min (TPM): Limit 30000", "org-0123"),
    (
        "Rate limit reached for gpt-x in organization org-AbCdEf0123456789AbCdEf01 on requests",
        "org-AbCdEf0123456789AbCdEf01",
    ),
    ("Rate limit reached for gpt-x in organization user-dev6cyamvpnihvvujgfm6qwx on", "user-dev6cyamvpnihvvujgfm6qwx"),
    ("Rate limit for model `x` in organization `org_01hxyzabcdefghijk0` service tier", "org_01hxyzabcdefghijk0"),
    ("Request too large for model x in organization `My Company` service tier", "My Company"),
    ("The organization 'Acme Ltd' has no access to this model", "Acme Ltd"),
    ("Your account cn0psmmcp7fclnphkcpg <x> request reached max concurrency: 1", "cn0psmmcp7fclnphkcpg"),
    ("The key 0123456789abcdef0123456789abcdef may not", "0123456789abcdef0123456789abcdef"),
    ("Project `proj_JMo3Q9spNIEWhSxusokLegJY` does not have access", "proj_JMo3Q9spNIEWhSxusokLegJY"),
    (f"would exceed the rate limit for your organization ({UUID}) of 30,000 tokens", UUID),
    (f"would exceed your organization's rate limit of 30,000 tokens per minute (org: {UUID}, model: claude-x)", UUID),
    (f"Your team {UUID} has either used all available credits", UUID),
    (f"Team: {UUID}, Model: grok", UUID),
    (f"API key ID: {UUID}, Model: grok", UUID),
    ("Quota exceeded of service 'x.googleapis.com' for consumer 'project_number:123456789'.", "123456789"),
    ("Not found in projects/895908428397 now", "895908428397"),
    ("Publisher Model `projects/my-project/locations/us-central1/publishers/google/models/x` not found", "my-project"),
    ("Enable it by visiting https://console.x.com/apis/overview?project=1234567890 then retry", "1234567890"),
    ("API has not been used in project 123456789012 before", "123456789012"),
    ("Consumer 'api_key:AIzaSyAbm-_oW12aAAxNc8FEEh-84QT7o-9r1Ak' has", "AIzaSyAbm-_oW12aAAxNc8FEEh-84QT7o-9r1Ak"),
    (
        "Your account org-ea6a80cc0e7544d6b5e5ea529f8566ab is",
        "org-ea6a80cc0e7544d6b5e5ea529f8566ab",
    ),
    ("The account <ak-f8tyo15zao8111h11q4i> is", "ak-f8tyo15zao8111h11q4i"),
    ("Incorrect API key provided: sk-inval**************-key. You can", "sk-inval**************-key"),
    ("Incorrect API key provided: test-con****-key. You can", "test-con****-key"),
    ("Incorrect API key provided: sk-...abcd.", "sk-...abcd"),
    ("Bad key sk-proj-Q7d***89 here", "sk-proj-Q7d***89"),
    (f"failed: https://host/v1/x?alt=json&key={KEY}&z=1 done", KEY),
    ("failed: https://host/v1/x?key=anything.at-all&z=1 done", "anything.at-all"),
    (f"Header Authorization: Bearer {KEY}", KEY),
    (f"It was {KEY}, they say", KEY),
    ("denied on arn:aws:bedrock:us-east-1:123456789012:inference-profile/x", "123456789012"),
]


@pytest.mark.parametrize(("message", "identifier"), MESSAGES)
@pytest.mark.parametrize("ensure_ascii", [True, False])
def test_the_identifier_goes_and_the_rest_stays(message, identifier, ensure_ascii):
    for text in (message, f"first line\n{message}", f"<{message}>"):
        body = json.dumps({"error": {"message": text, "code": 429}}, ensure_ascii=ensure_ascii).encode()
        left = redacted(body)
        assert identifier.encode() not in left
        assert json.loads(left) == {"error": {"message": text.replace(identifier, R), "code": 429}}
        assert redacted(left) == left


def test_gos_escapes_are_no_hiding_place():
    body = rb'{"error":{"message":"Your account \u003cak-f8tyo15zao8111h11q4i\u003e is, \norg-ea6a80cc0e7544d6b5e5ea52 too"}}'
    left = redacted(body)
    assert left == rb'{"error":{"message":"Your account \u003c[redacted]\u003e is, \n[redacted] too"}}'


def test_members_of_the_error_are_redacted():
    body = json.dumps(
        {
            "error": {"details": [{"metadata": {"consumer": "projects/348715329010", "service": "x.googleapis.com"}}]},
            "user_id": "user_2wT5ElBE4Es3R4QrNLpZiXICmQP",
        }
    ).encode()
    assert json.loads(redacted(body)) == {
        "error": {"details": [{"metadata": {"consumer": R, "service": "x.googleapis.com"}}]},
        "user_id": R,
    }


# What callers wrote, or act on.
KEPT = [
    "Unknown tool 'org-mode-edit', 'org_chart', 'user_id', 'user_name1', 'project-x', 'key_of_map', 'team-a'",
    "This model's maximum context length is 1048565 tokens. However, you requested 1250025 tokens",
    "messages.3.content.0.tool_use.id: toolu_01A09q90qw90lq917835lq9",
    "Previous response with id 'resp_68b0f3a1c2d48190a1b2c3d4e5f60718' not found.",
    "request_id: req_011CZRtHe9vmeRRMu6G4rMhJ",
    f'"request_id": "{UUID}"',
    "Unsupported value: 'key' does not support 'a...b'",
    "keyword arguments, keys: a, b; **bold** ... and so on",
    "The model `gpt-4.1-2025-04-14` does not exist, see https://platform.openai.com/docs/guides?lang=x",
    "Please retry in 44.97s. quotaMetric: generativelanguage.googleapis.com/generate_content_free_tier_requests",
    "your organization's rate limit of 30,000 input tokens per minute",
    "File '/home/u/projects/codegrex/main.py', line 3",
]


@pytest.mark.parametrize("message", KEPT)
def test_what_is_no_identifier_stays(message):
    body = json.dumps({"error": {"message": message}}).encode()
    assert redacted(body) is body


@given(st.lists(st.text(max_size=20) | st.sampled_from([message for message, _ in MESSAGES]), max_size=4))
def test_json_stays_json(texts):
    body = json.dumps({"error": {"message": " ".join(texts), "details": texts}}).encode()
    left = redacted(body)
    assert isinstance(json.loads(left), dict)
    assert redacted(left) == left


@given(st.binary(max_size=200))
def test_any_bytes_pass(body):
    left = redacted(body)
    assert left == body or REDACTED in left


@pytest.mark.parametrize(
    "body", [b"x" * (LONGEST_ERROR + 1), b"org " * (LONGEST_ERROR // 4), b"key=" * (LONGEST_ERROR // 4)]
)
def test_what_cannot_be_looked_through_within_bounds_is_not_passed_on(body):
    assert redacted(body) is None
    assert redacted(body[:1000]) is not None
