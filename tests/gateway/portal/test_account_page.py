from __future__ import annotations

from dataclasses import replace
from datetime import date

from gateway.auth.choice import Choice
from gateway.auth.sessions import Session
from gateway.portal.account_page import account_page, session_row
from gateway.portal.chart import usage

SIGNED_IN = Session("s" * 20, "p1", "t", "cloud", "", "1.2.3", "macos", 0, 86_400_000, None)


def test_a_sign_in_goes_by_what_the_device_said() -> None:
    row = session_row(SIGNED_IN, "form")
    assert f'<strong id="s-{SIGNED_IN.sid}">macos 1.2.3</strong>' in row
    assert "Signed in <time" in row
    assert "1 January 1970, 00:00 UTC" in row
    assert "2 January 1970, 00:00 UTC" in row
    assert ">Session</strong>" in session_row(replace(SIGNED_IN, platform="", app_version=""), "form")


def test_a_token_goes_by_its_owner_s_word_for_it() -> None:
    row = session_row(replace(SIGNED_IN, name="CI job"), "form")
    assert ">CI job</strong>" in row
    assert "Made <time" in row
    assert "macos" not in row


def test_its_button_names_it_and_its_form_ends_it() -> None:
    row = session_row(SIGNED_IN, "form")
    assert f'<button aria-describedby="s-{SIGNED_IN.sid}">' in row
    assert 'action="/account/revoke"' in row
    assert 'name="form_token" value="form"' in row
    assert f'name="sid" value="{SIGNED_IN.sid}"' in row


def test_no_value_is_markup() -> None:
    bad = '"><b>'
    assert "<b>" not in session_row(replace(SIGNED_IN, sid=bad, platform=bad), bad)
    assert "<b>" not in session_row(replace(SIGNED_IN, name=bad), bad)


def test_what_was_chosen_is_selected() -> None:
    for days, value in ((None, ""), (0, "0"), (30, "30")):
        page = account_page(None, usage((), date(2026, 1, 1)), (), Choice("", "eu", days), token="form", done="")
        assert '<option value="eu" selected>' in page
        retention = page.split('<select id="retention"')[1].split("</select>")[0]
        assert retention.count(" selected") == 1
        assert f'<option value="{value}" selected>' in retention
