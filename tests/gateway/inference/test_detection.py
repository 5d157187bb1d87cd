import pytest

from gateway.inference.detection import Sought, detector

CREDENTIALS, PERSONAL = frozenset({Sought.CREDENTIALS}), frozenset({Sought.PERSONAL})
GITHUB = "ghp_" + "a1B2" * 9


@pytest.mark.parametrize(
    ("text", "secret", "kind"),
    [
        ("key AKIAIOSFODNN7EXAMPLE here", "AKIAIOSFODNN7EXAMPLE", "SECRET"),
        (f"token={GITHUB}", GITHUB, "SECRET"),
        ("postgres://user:longpassword@host/db", "longpassword", "PASSWORD"),
        (
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
            "TOKEN",
        ),
    ],
)
def test_credentials(text, secret, kind):
    (found,) = detector(CREDENTIALS)(text)
    assert (text[found.start : found.end], found.kind) == (secret, kind)


def test_a_private_key_is_found_with_all_of_its_lines():
    key = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7bq\nabcdefgh==\n-----END RSA PRIVATE KEY-----"
    (found,) = detector(CREDENTIALS)(key)
    assert "MIIEpAIBAAKCAQEA7bq" in key[found.start : found.end]
    assert "abcdefgh==" in key[found.start : found.end]


@pytest.mark.parametrize(
    ("text", "secret", "kind"),
    [
        ("write to ada.l+x@mail.example.org!", "ada.l+x@mail.example.org", "EMAIL"),
        ("card 4111 1111 1111 1111", "4111 1111 1111 1111", "CARD"),
        ("pay GB82 WEST 1234 5698 7654 32 now", "GB82 WEST 1234 5698 7654 32", "IBAN"),
        ("call +44 20 7946 0958", "+44 20 7946 0958", "PHONE"),
    ],
)
def test_personal_data(text, secret, kind):
    (found,) = detector(PERSONAL)(text)
    assert (text[found.start : found.end], found.kind) == (secret, kind)


@pytest.mark.parametrize(
    "text",
    [
        "@app.route('/x')",
        "user@localhost",
        "4111 1111 1111 1112",
        "0000 0000 0000 0000",
        "1700000000000",
        "GB82 WEST 1234 5698 7654 33",
        "+1 2",
        "a = b + 12345678 * c",
        "for (const x of list) { return x.id; }",
    ],
)
def test_code_and_wrong_check_digits_are_not(text):
    assert detector(frozenset(Sought))(text) == []


def test_only_what_is_sought_is_found():
    text = "ada@example.org AKIAIOSFODNN7EXAMPLE"
    assert [found.kind for found in detector(PERSONAL)(text)] == ["EMAIL"]
    assert [found.kind for found in detector(CREDENTIALS)(text)] == ["SECRET"]
    assert [found.kind for found in detector(frozenset(Sought))(text)] == ["EMAIL", "SECRET"]


def test_few_patterns_are_left_out_and_none_is_matched_by_backtracking():
    detect = detector(CREDENTIALS)
    assert detect.skipped <= 6
    assert len(detect._rules) >= 20
    assert detect("aws" + "a" * 200_000) == []  # a backtracking engine is quadratic here
