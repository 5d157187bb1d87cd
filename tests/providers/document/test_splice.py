from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.document.members import read_members
from providers.document.splice import Edits
from providers.steps import at_once

ACTIONS = st.sampled_from(("keep", "replace", "remove"))


def edits_of(body: bytes) -> Edits:
    return Edits(body, at_once(read_members(body)).spans)


@given(data=st.data(), insertions=st.integers(0, 2))
def test_any_edits_change_what_they_name_and_no_other_byte(json_objects, data, insertions):
    text, members = data.draw(json_objects)
    body = text.encode()
    edits = edits_of(body)
    expected = {}
    for name, _, value in members:
        action = data.draw(ACTIONS)
        if action == "replace":
            edits.replace(name, b'"NEW"')
            expected[name] = "NEW"
        elif action == "remove":
            edits.remove(name)
        else:
            expected[name] = value
    for number in range(insertions):
        edits.insert(f"inserted {number}", b"[1]")
        expected[f"inserted {number}"] = [1]

    built = edits.build()

    assert json.loads(built) == expected
    position = 0
    for name, value_text, value in members:  # what stays is written as it was, in the same order
        if expected.get(name, edits) == value:
            position = built.index(value_text.encode(), position) + len(value_text.encode())
    if insertions == 0 and expected == {name: value for name, _, value in members}:
        assert built is body


@given(data=st.data())
def test_replacing_touches_the_spans_alone(json_objects, data):
    text, _ = data.draw(json_objects)
    body = text.encode()
    edits = edits_of(body)
    expected, position = b"", 0
    for name, (start, end) in at_once(read_members(body)).spans.items():
        if data.draw(st.booleans()):
            edits.replace(name, b'{"new":[]}')
            expected += body[position:start] + b'{"new":[]}'
            position = end

    assert edits.build() == expected + body[position:]


@pytest.mark.parametrize(
    ("body", "removed", "built"),
    [
        (b'{ "a" : 1 , "b" : 2 , "c" : 3 }', "a", b'{ "b" : 2 , "c" : 3 }'),
        (b'{ "a" : 1 , "b" : 2 , "c" : 3 }', "b", b'{ "a" : 1 , "c" : 3 }'),
        (b'{ "a" : 1 , "b" : 2 , "c" : 3 }', "c", b'{ "a" : 1 , "b" : 2 }'),
        (b'{ "a" : 1 , "b" : 2 , "c" : 3 }', "ab", b'{ "c" : 3 }'),
        (b'{ "a" : 1 , "b" : 2 , "c" : 3 }', "bc", b'{ "a" : 1 }'),
        (b'{ "a" : 1 , "b" : 2 , "c" : 3 }', "ac", b'{ "b" : 2 }'),
        (b'{ "a" : 1 , "b" : 2 , "c" : 3 }', "abc", b"{ }"),
    ],
)
def test_a_removed_member_takes_one_separator_along(body, removed, built):
    edits = edits_of(body)
    for name in removed:
        edits.remove(name)

    assert edits.build() == built


def test_insertions_follow_the_opening_brace():
    edits = edits_of(b' {\n  "a": 1\n} ')
    edits.insert("x", b"true")
    edits.insert("y", b"2")

    assert edits.build() == b' {"x":true,"y":2,\n  "a": 1\n} '


def test_insertions_into_an_empty_object_need_no_comma():
    edits = edits_of(b" { } ")
    edits.put("x", b"1")

    assert edits.build() == b' {"x":1 } '


def test_an_insertion_where_everything_else_goes():
    edits = edits_of(b'{ "a" : 1 }')
    edits.remove("a")
    edits.insert("x", b"1")

    assert edits.build() == b'{"x":1 }'


def test_nothing_to_change_gives_back_the_same_object():
    body = b'{"a":1}'
    edits = edits_of(body)
    edits.replace("a", b"1")
    edits.remove("absent")
    edits.put("a", b"1")

    assert edits.build() is body


def test_an_edit_inside_a_member():
    edits = edits_of(b'{"a": { "b" : 1, "c":2 }, "d": [1]}')
    edits.edit_object("a", lambda inner: inner.put("b", b"9"))
    edits.edit_object("d", lambda inner: inner.put("b", b"9"))
    edits.edit_object("absent", lambda inner: inner.put("b", b"9"))

    assert edits.build() == b'{"a": { "b" : 9, "c":2 }, "d": [1]}'


def test_an_edit_inside_a_member_that_changes_nothing_gives_back_the_same_object():
    body = b'{"a":{"b":1}}'
    edits = edits_of(body)
    edits.edit_object("a", lambda inner: inner.put("b", b"1"))

    assert edits.build() is body


def test_the_parts_are_the_edited_bytes_and_what_is_unchanged_is_not_copied():
    body = b'{"user":"u","messages":["' + b"x" * 1_000 + b'"],"n":1,"model":"m"}'
    edits = edits_of(body)
    edits.remove("user")
    edits.replace("model", b'"other"')
    edits.insert("store", b"false")

    parts = edits.parts()

    assert b"".join(parts) == edits.build()
    longest = max(parts, key=len)
    assert isinstance(longest, memoryview)
    assert longest.obj is body


def test_the_only_part_of_what_is_not_edited_is_the_body():
    body = b'{"a":1}'
    (part,) = edits_of(body).parts()

    assert part is body
