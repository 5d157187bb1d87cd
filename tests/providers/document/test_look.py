"""A closer look at values inside of a body."""

from __future__ import annotations

import msgspec
import pytest

from providers.dialect import Refusal
from providers.document.look import Look, says, values


class Thing(msgspec.Struct):
    a: int = 0


def test_a_closer_look_takes_what_fits():
    look = Look(Thing)

    def found(method, text):
        return [thing.a for thing in method(msgspec.Raw(text))]

    assert found(look.elements, b'[{"a":1,"b":[{}]},{}]') == [1, 0]
    assert found(look.elements, b'[{"a":1},5,{"a":"x"},[],{"a":2}]') == [1, 2]
    assert found(look.elements, b'{"a":1}') == found(look.elements, b'"text"') == found(look.elements, b"") == []
    assert found(look.one_or_more, b'{"a":1}') == found(look.one_or_more, b'[{"a":1}]') == [1]
    assert found(look.one_or_more, b'{"a":"x"}') == found(look.one_or_more, b"5") == []
    assert look.elements(None) == look.one_or_more(None) == []


@pytest.mark.parametrize(
    ("text", "same"),
    [
        (b'"file"', True),
        (b'"f\\u0069le"', True),
        (b'"\\u0066\\u0069\\u006c\\u0065"', True),
        (b'"files"', False),
        (b"5", False),
        (b"", False),
    ],
)
def test_a_word_is_known_however_it_is_escaped(text, same):
    assert says(msgspec.Raw(text), "file") is same


@pytest.mark.parametrize("value", [b"0", b"{}", b'""', b'"a,b"'])
def test_a_list_of_very_many_values_that_do_not_fit_is_refused_before_it_is_split(value):
    raw = msgspec.Raw(b"[" + b",".join([b"0", *[value] * 250_000]) + b"]")

    with pytest.raises(Refusal) as refused:
        Look(Thing).elements(raw)

    assert "too many" in refused.value.message


def test_commas_inside_of_strings_are_no_values():
    text = b'"' + b'x,\\"y,' * 250_000 + b'"'

    assert len(values(msgspec.Raw(b"[" + text + b",5," + text + b"]"))) == 3
