from __future__ import annotations

import pytest

from gateway.portal.page import POLICY, amount, esc, hidden, page


@pytest.mark.parametrize(
    ("micro", "text"),
    [(0, "0.00"), (9_999, "0.00"), (10_000, "0.01"), (1_234_567_890, "1,234.56"), (-1_500_000, "\N{MINUS SIGN}1.50")],
)
def test_amounts_are_never_rounded_up(micro: int, text: str) -> None:
    assert amount(micro) == text


def test_values_are_escaped() -> None:
    assert esc("<\"'&>") == "&lt;&quot;&#x27;&amp;&gt;"
    assert hidden("n", '"><script>') == '<input type="hidden" name="n" value="&quot;&gt;&lt;script&gt;">'


def test_a_page_loads_nothing_from_elsewhere_and_has_no_inline_code() -> None:
    text = page("T", "<p>x</p>", development=True, form_token="t")
    assert "://" not in text
    assert " style=" not in text
    assert "<style" not in text
    assert text.count("<script") == text.count('<script src="/portal/')
    assert "unsafe" not in POLICY
    assert "Development sign-in" not in page("T", "", development=False)
