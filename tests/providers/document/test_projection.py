from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.document.projection import OUTPUT_LIMIT, JsonProjection, Wanted
from tests.strategies import cut_up, every_byte

WANTED: Wanted = {
    b"usage": None,
    b"type": None,
    b"response": {b"usage": None, b"status": None},
    b"choices": {b"finish_reason": None},
}
KEYS = st.sampled_from(["usage", "type", "response", "choices", "finish_reason", "status", "x", 'a"b', "é\\", ""])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12) | KEYS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=25
)


def expected(value: Any, wanted: Wanted | None) -> Any:
    """The projection, worked out on the decoded document."""
    if wanted is None:
        return value
    if isinstance(value, list):
        return [expected(element, wanted) for element in value]
    if isinstance(value, dict):
        return {key: expected(member, wanted[key.encode()]) for key, member in value.items() if key.encode() in wanted}
    return value


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    value = draw(st.dictionaries(KEYS, VALUES, max_size=5) | st.lists(VALUES, max_size=4))
    text = json.dumps(value, ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, 2])))
    return text.encode() + draw(st.sampled_from([b"", b" ", b"\r\n"]))


def projected(pieces: list[bytes], wanted: Wanted = WANTED) -> JsonProjection:
    projection = JsonProjection(wanted)
    for piece in pieces:
        projection.feed(piece)
    return projection


@given(cut_up(documents()))
def test_any_document_cut_anywhere(case):
    whole, pieces = case
    projection = projected(pieces)
    assert projection.closed
    assert not projection.invalid
    assert json.loads(projection.result()) == expected(json.loads(whole), WANTED)


@given(documents(), st.data())
def test_what_was_seen_so_far_is_a_document_too(whole, data):
    end = data.draw(st.integers(0, len(whole)))
    so_far = json.loads(projected([whole[:end]]).result())
    assert so_far is None or isinstance(so_far, dict | list)
    if isinstance(so_far, dict):
        full = expected(json.loads(whole), WANTED)
        assert so_far.get("usage") in (None, full.get("usage"))


def test_a_name_inside_content_is_not_a_member():
    document = {
        "choices": [{"message": {"usage": {"forged": 1}, "content": '"usage":{"forged":2}'}}],
        "input": {"usage": {"forged": 3}},
        "usage": {"true": 4},
    }
    for indent in (None, 1):
        whole = json.dumps(document, indent=indent).encode()
        assert json.loads(projected(every_byte(whole)).result()) == {"choices": [{}], "usage": {"true": 4}}


def test_an_escaped_name_is_the_same_name():
    assert json.loads(projected(every_byte(b'{"us\\u0061ge":{"a":1}}')).result()) == {"usage": {"a": 1}}


def test_of_two_members_with_one_name_both_are_kept_in_order():
    assert projected([b'{"usage":1,"usage":2}']).result() == b'{"usage":1,"usage":2}'


def test_what_is_no_number_costs_nothing_beside_it():
    whole = b'{"logprobs":[NaN,-Infinity,{"x":NaN}],"usage":{"a":1}}'
    for pieces in ([whole], every_byte(whole)):
        assert json.loads(projected(pieces).result()) == {"usage": {"a": 1}}


def test_nesting_deeper_than_any_stack():
    whole = b'{"x":' + b'[{"y":' * 50_000 + b"1" + b"}]" * 50_000 + b',"usage":7}'
    assert projected([whole[:70_001], whole[70_001:]]).result() == b'{"usage":7}'


def test_a_long_name_is_not_wanted_and_not_kept():
    projection = projected([b'{"' + b"u" * 10_000, b"u" * 10_000 + b'":1,"usage":2}'])
    assert projection.result() == b'{"usage":2}'


@pytest.mark.parametrize("value", [b'"%b"' % (b"a" * 100_000), b"[%b1]" % (b"12," * 50_000), b"9" * 100_000])
def test_a_wanted_value_beyond_the_limit_becomes_null(value):
    whole = b'{"type":%b,"usage":{"a":1}}' % value
    for step in (len(whole), 1000):
        pieces = [whole[start : start + step] for start in range(0, len(whole), step)]
        projection = projected(pieces)
        assert projection.result() == b'{"type":null,"usage":{"a":1}}'
        assert sum(map(len, projection._out)) < OUTPUT_LIMIT


def test_memory_stays_bounded_whatever_is_skipped():
    projection = JsonProjection(WANTED)
    projection.feed(b'{"data":["')
    for _ in range(200):
        projection.feed(b"QUJD" * 4096)
    projection.feed(b'"],"usage":{"a":1}}')
    assert projection.result() == b'{"usage":{"a":1}}'
    assert len(projection._out) < 10


@pytest.mark.parametrize("whole", [b'{"usage" 1}', b"{]", b'{"usage":1 "x":2}', b"[1,2}", b"{,}", b'{"type"::1}'])
def test_what_is_not_json_ends_the_reading(whole):
    for pieces in ([whole], every_byte(whole)):
        projection = projected(pieces)
        assert projection.invalid
        assert not projection.closed


def test_nothing_is_read_after_the_value():
    whole = b'{"usage":1}\n{"usage":2}'
    for pieces in ([whole], every_byte(whole)):
        projection = projected(pieces)
        assert projection.result() == b'{"usage":1}'
        assert projection.closed
        assert projection.invalid


@given(cut_up(st.lists(VALUES, max_size=4).map(lambda value: json.dumps(value).encode())))
def test_elements_of_an_array_one_by_one(case):
    whole, pieces = case
    elements: list[bytes] = []
    projection = JsonProjection(WANTED, elements.append)
    for piece in pieces:
        projection.feed(piece)
    assert projection.closed
    assert [json.loads(element) for element in elements] == expected(json.loads(whole), WANTED)


def test_an_object_where_an_array_was_expected_is_one_element():
    elements: list[bytes] = []
    projection = JsonProjection(WANTED, elements.append)
    projection.feed(b'{"usage":1,"x":2}')
    assert elements == [b'{"usage":1}']
    assert projection.closed
