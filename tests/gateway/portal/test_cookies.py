from __future__ import annotations

import pytest

from gateway.portal import cookies
from gateway.portal.cookies import (
    form_token,
    form_token_fits,
    new_session,
    new_sign_in,
    open_session,
    open_sign_in,
    seal,
)

KEY = b"k" * 32


def test_a_sealed_session_opens_with_its_key_alone() -> None:
    session = new_session("pabc", ["u:1", "u:2"])
    text = seal(KEY, session)
    assert open_session(KEY, text) == session
    assert open_session(b"x" * 32, text) is None


@pytest.mark.parametrize("at", range(0, 190, 7))
def test_a_changed_cookie_does_not_open(at: int) -> None:
    text = seal(KEY, new_session("pabc", ["u:1"]))
    changed = text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]
    assert open_session(KEY, changed) is None


@pytest.mark.parametrize("text", ["", ".", "a.b", "é.é", "x" * 5_000])
def test_what_is_no_cookie_does_not_open(text: str) -> None:
    assert open_session(KEY, text) is None


def test_one_kind_never_stands_in_for_another() -> None:
    assert open_session(KEY, seal(KEY, new_sign_in("/account"))) is None
    assert open_sign_in(KEY, seal(KEY, new_session("pabc", []))) is None


def test_a_session_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    text = seal(KEY, new_session("pabc", []))
    later = cookies._now() + cookies.SESSION_SECONDS
    monkeypatch.setattr(cookies, "_now", lambda: later)
    assert open_session(KEY, text) is None


@pytest.mark.parametrize(
    ("asked", "next_"),
    [
        ("/device", "/device"),
        ("/device?user_code=BCDF-GHJK", "/device?user_code=BCDF-GHJK"),
        ("//evil.example/", "/account"),
        ("https://evil.example/", "/account"),
        ("/device?user_code=<b>", "/account"),
        ("/device\nx", "/account"),
        ("", "/account"),
    ],
)
def test_a_sign_in_leads_to_pages_of_the_portal_alone(asked: str, next_: str) -> None:
    assert new_sign_in(asked).next == next_


def test_a_form_token_is_of_one_session() -> None:
    mine, other = new_session("pabc", []), new_session("pabc", [])
    assert form_token_fits(KEY, mine, form_token(KEY, mine))
    assert not form_token_fits(KEY, mine, form_token(KEY, other))
    assert not form_token_fits(KEY, mine, "é")
