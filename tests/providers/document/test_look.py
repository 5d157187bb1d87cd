"""A closer look at values inside of a body."""

from __future__ import annotations

import sys

import msgspec
import pytest

from providers.bounds import STEP_ELEMENTS
from providers.dialect import Refusal
from providers.document.look import Look, Misfit, says


class Thing(msgspec.Struct):
    a: int = 0


def test_a_closer_look_takes_what_fits():
    look = Look(Thing)

    def found(method, text):
        return [thing.a for batch in method(msgspec.Raw(text)) for thing in batch]

    assert found(look.batches, b'[{"a":1,"b":[{}]},{}]') == [1, 0]
    assert found(look.batches, b'[{"a":1},5,{"a":"x"},[],{"a":2}]') == [1, 2]
    assert found(look.batches, b'{"a":1}') == found(look.batches, b'"text"') == found(look.batches, b"") == []
    assert found(look.one_or_more, b'{"a":1}') == found(look.one_or_more, b'[{"a":1}]') == [1]
    assert found(look.one_or_more, b'{"a":"x"}') == found(look.one_or_more, b"5") == []
    assert list(look.batches(None)) == list(look.one_or_more(None)) == []


@pytest.mark.parametrize("size", [1, 100, 128, 129, 5_000, 50_000])
@pytest.mark.parametrize("odd", [b"", b"5,", b'{"a":"x"},'])
def test_a_long_list_comes_in_batches_that_miss_nothing(size, odd):
    text = b"[" + odd + b",".join(b'{"a":%d}' % number for number in range(size)) + b"]"
    batches = list(Look(Thing).batches(msgspec.Raw(text)))

    assert [thing.a for batch in batches for thing in batch] == list(range(size))
    assert max(map(len, batches)) <= STEP_ELEMENTS


@pytest.mark.parametrize("size", [2, 60_000])
def test_a_list_in_which_all_must_fit_is_refused_for_one_that_does_not(size):
    look = Look(Thing)
    fits = b",".join([b'{"a":1}'] * size)

    assert sum(map(len, look.all_fit(msgspec.Raw(b"[" + fits + b"]")))) == size
    for text in (b"{}", b"5", b"[" + fits + b",5]"):
        with pytest.raises(Misfit):
            list(look.all_fit(msgspec.Raw(text)))


# From CPython 3.14 on, a decoder recurses until the stack ends.
@pytest.mark.parametrize("levels", [*([3_000] if sys.version_info < (3, 12) else []), 1_000_000])
def test_what_is_nested_too_deeply_to_be_looked_at_is_refused_and_not_passed_over(levels):
    deep = b"[" * levels + b"]" * levels
    look = Look(Thing)

    for found in (
        lambda: look.single(msgspec.Raw(b'{"b":' + deep + b"}")),
        lambda: list(look.batches(msgspec.Raw(deep))),
    ):
        with pytest.raises(Refusal):
            found()


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
