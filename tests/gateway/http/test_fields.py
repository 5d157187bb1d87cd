from __future__ import annotations

from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InvalidRequest
from gateway.http.fields import MOST_FIELDS, fields_of, first_of

printable = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)


@given(st.lists(st.tuples(printable, printable), max_size=MOST_FIELDS))
def test_fields_come_back_as_they_were_written(fields: list[tuple[str, str]]) -> None:
    assert fields_of(urlencode(fields), strict=True) == fields


@given(st.binary(max_size=40), st.booleans())
def test_whatever_comes_is_text_or_refused(data: bytes, strict: bool) -> None:
    try:
        found = fields_of(data.decode("utf-8", "surrogateescape"), strict=strict)
    except InvalidRequest:
        return
    for name, value in found:
        (name + value).encode()


def test_too_many_are_refused() -> None:
    assert len(fields_of("&".join(f"a{n}=" for n in range(MOST_FIELDS)))) == MOST_FIELDS
    with pytest.raises(InvalidRequest) as refused:
        fields_of("&" * MOST_FIELDS)
    assert "too many fields" in refused.value.message


def test_of_two_values_the_first_counts() -> None:
    assert first_of("a=1&a=2&b=&c") == {"a": "1", "b": "", "c": ""}
