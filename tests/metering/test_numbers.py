from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.numbers import LARGEST, whole_number


@given(st.integers(0, LARGEST))
def test_what_a_number_is_written_as_is_that_number(number: int) -> None:
    assert whole_number(str(number)) == whole_number(b"%d" % number) == number
    assert whole_number(str(number), number - 1) is None


@given(st.text(max_size=30) | st.binary(max_size=30))
def test_every_other_text_is_none_and_raises_nothing(text: str | bytes) -> None:
    found = whole_number(text)
    assert found is None or str(found) == (text if isinstance(text, str) else text.decode()).lstrip("0") or found == 0


@pytest.mark.parametrize(
    "text", ["", "-1", "+1", " 1", "1_0", "\u00b2", "\u0663", "1.0", "1e3", str(LARGEST + 1), "9" * 5_000]
)
def test_what_int_or_isdigit_would_take_or_raise_on(text: str) -> None:
    assert whole_number(text) is None
