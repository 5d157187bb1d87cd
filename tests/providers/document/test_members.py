from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from providers import bounds
from providers.dialect import Refusal
from providers.document import members
from providers.document.members import MAX_MODEL, Members, read_members, read_model, read_nested, read_object
from providers.steps import at_once


@given(data=st.data())
def test_spans_hold_exactly_the_bytes_of_each_value(json_objects, data):
    text, members = data.draw(json_objects)
    body = text.encode()

    read = at_once(read_members(body))

    assert list(read.spans) == [name for name, _, _ in members]
    for name, value_text, _ in members:
        start, end = read.spans[name]
        assert body[start:end] == value_text.encode()
        assert bytes(read.raws[name]) == value_text.encode()


@given(data=st.data(), place=st.integers(0, 6), other=st.sampled_from((b"1", b'"x"', b"null", b"{}")))
def test_a_member_named_twice_is_refused_wherever_it_stands(json_objects, data, place, other):
    text, members = data.draw(json_objects)
    if not members:
        return
    twice = members[place % len(members)][0]
    body = text.rstrip().removesuffix("}").encode() + b", " + json.dumps(twice).encode() + b":" + other + b"}"

    with pytest.raises(Refusal) as refused:
        at_once(read_members(body))

    assert refused.value.code == "invalid_request"


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"a","model":"b"}',
        b'{"model":"a","model":"a"}',
        b'{"model":"a","mod\\u0065l":"b"}',
        b'{"store":true,"model":"a","store":true}',
        b'{"a":1,"b":2,"a":12}',
        b'{"a":12,"b":2,"a":1}',
        b'{"a":"x\\",\\"b\\":2","b":2,"a":"y\\",\\"b\\":2"}',
    ],
)
def test_duplicates_that_look_alike_are_refused(body):
    with pytest.raises(Refusal):
        at_once(read_members(body))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"{",
        b'{"model"}',
        b'{"model":}',
        b'{"model":"a",}',
        b'{"model":"a"} {}',
        b'{"model":"a"}x',
        b"\xef\xbb\xbf{}",
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":01}',
        b"{'a':1}",
        b'{"a":"\x01"}',
        b'{"a":"\\q"}',
        b'{"a":"\xff"}',
        b'{"a":"\xc3"}',
        b'{"\xff":1}',
        b'{"a":"\\ud800"}',
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a":' + b'{"b":' * 5_000 + b"1" + b"}" * 5_000 + b"}",
    ],
)
def test_what_is_no_json_object_is_refused_without_quoting_it(body):
    with pytest.raises(Refusal) as refused:
        at_once(read_members(body))

    assert refused.value.code == "invalid_request"
    assert refused.value.__cause__ is None
    assert refused.value.__context__ is None or refused.value.__suppress_context__


@given(st.binary(max_size=64))
@example(b'{"a":"\xed\xa0\x80"}')
@example(b'{"a":"\xf4\x90\x80\x80"}')
def test_any_bytes_are_read_or_refused(body):
    try:
        meant = json.loads(body.decode(), parse_constant=float.fromhex)
    except ValueError:  # NaN and Infinity are no JSON, and no hexadecimal either
        meant = None
    if isinstance(meant, dict):
        assert at_once(read_members(body)).raws.keys() == meant.keys()
    else:
        with pytest.raises(Refusal):
            at_once(read_members(body))


@pytest.mark.parametrize("cut", [65_535, 65_536, 65_537])
@pytest.mark.parametrize("character", ["é", "日", "🙂"])
def test_wide_characters_across_the_slices_of_the_check_are_valid(cut, character):
    prefix = b'{"a":"'
    body = prefix + b"x" * (cut - len(prefix) - 1) + character.encode() * 3 + b'"}'

    assert at_once(read_members(body)).spans["a"] == (5, len(body) - 1)


def test_a_wide_character_that_is_cut_off_at_the_end_is_refused():
    body = b'{"a":"' + b"x" * 65_600 + "日".encode()[:2] + b'"}'

    with pytest.raises(Refusal):
        at_once(read_members(body))


@pytest.mark.parametrize("value", [b"{},", b"[],", b'"","",'])
def test_a_body_of_nothing_but_tiny_values_is_refused(value):
    with pytest.raises(Refusal) as refused:
        at_once(read_members(b'{"a":[' + value * 1_500_000 + b"0]}"))

    assert "too many" in refused.value.message


def nested(levels, opening, inner, closing):
    return opening * levels + inner + closing * levels


FILLINGS = {
    "alone": b"",
    "behind a number that the quick decoder does not read": b"1" * 5_000 + b",",
    "in 70 KB of text": b'"' + b"x" * 70_000 + b'",',
    "in 2 MB of text": b'"' + b"x" * 2_000_000 + b'",',
    "among 30,000 numbers": b"123456789," * 30_000,
    "behind brackets in a string": b'"' + b"]" * 90_000 + b'\\"",',
}


@pytest.mark.parametrize("levels", [200, 1_200, 5_000, 30_000])
@pytest.mark.parametrize(("opening", "inner", "closing"), [(b"[", b"", b"]"), (b'{"b":', b"1", b"}")])
@pytest.mark.parametrize("filling", FILLINGS)
def test_no_body_is_deeper_than_the_bound_whatever_the_decoders_take(filling, opening, inner, closing, levels):
    # The body and the list in it are two levels.
    body = b'{"a":[' + FILLINGS[filling] + nested(levels - 2, opening, inner, closing) + b"]}"
    if levels <= bounds.DEPTH:
        assert at_once(read_members(body)).raws.keys() == {"a"}
        return
    with pytest.raises(Refusal) as refused:
        at_once(read_members(body))
    assert "nested too deeply" in refused.value.message


def test_a_large_body_of_text_is_no_forgery():
    text = b"x" * 100 + b"{}[]" + b'\\"'

    assert at_once(read_members(b'{"a":"' + text * 60_000 + b'"}')).raws.keys() == {"a"}


def test_a_body_of_nothing_but_members_is_refused():
    members = b",".join(b'"%d":0' % number for number in range(1_001))

    with pytest.raises(Refusal) as refused:
        at_once(read_members(b"{" + members + b"}"))

    assert "too many" in refused.value.message


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{}", "required"),
        (b'{"model":null}', "string"),
        (b'{"model":5}', "string"),
        (b'{"model":["a"]}', "string"),
        (b'{"model":""}', "not the name"),
        (b'{"model":"' + b"a" * (MAX_MODEL + 1) + b'"}', "not the name"),
        (b'{"model":"' + b"a" * 100_000 + b'"}', "string"),
        (b'{"model":"a\\nb"}', "not the name"),
        (b'{"model":"a\\u0000"}', "not the name"),
    ],
)
def test_a_model_that_is_no_name_is_refused(body, message):
    with pytest.raises(Refusal) as refused:
        read_model(at_once(read_members(body)))

    assert refused.value.param == "model"
    assert message in refused.value.message


def test_the_model_is_read_from_the_body_or_from_the_path():
    members = at_once(read_members(b'{"mod\\u0065l":"g\\u0070t"}'))

    assert read_model(members) == "gpt"
    assert read_model(members, "from-the-path") == "from-the-path"
    with pytest.raises(Refusal):
        read_model(members, "")


@pytest.mark.parametrize(
    ("value", "read"),
    [(b"true", True), (b"false", False), (b"null", False), (b'"true"', None), (b"1", None), (b"{}", None)],
)
def test_a_flag_is_a_boolean_or_refused(value, read):
    members = at_once(read_members(b'{"stream":%b}' % value))

    if read is None:
        with pytest.raises(Refusal) as refused:
            members.boolean("stream")
        assert refused.value.param == "stream"
    else:
        assert members.boolean("stream") is read


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (b"5", 5),
        (b"5.0", 5),
        (b"5e2", 500),
        (b'"5"', 5),
        (b"0", 0),
        (b"-1", None),
        (b"5.5", None),
        (b"null", None),
        (b"true", None),
        (b'"five"', None),
        (b'"nan"', None),
        (b'"inf"', None),
        (b"[5]", None),
        (b"1e999", None),
        (b"9" * 30, None),
        (b"9" * 300, None),
    ],
)
def test_a_count_is_read_as_providers_read_it(value, read):
    assert at_once(read_members(b'{"n":%b}' % value)).count("n") == read


def test_a_null_member_gives_way_to_its_other_spelling():
    members = at_once(read_members(b'{"maxTokens":null,"max_tokens":7}'))

    assert members.count("maxTokens", "max_tokens") == 7


@pytest.mark.parametrize(
    ("value", "truthy"),
    [(b"null", False), (b"false", False), (b'""', False), (b"[]", False), (b"{}", False), (b"0", True), (b'"x"', True)],
)
def test_truthy_is_anything_but_an_empty_value(value, truthy):
    assert at_once(read_members(b'{"x":%b}' % value)).truthy("x") is truthy


def test_a_nested_object_is_read_unless_it_names_a_member_twice():
    members = at_once(read_members(b'{"a":{"b":1},"c":[1],"d":null}'))

    nested = read_nested(members, "a")
    assert nested is not None
    assert nested.spans == {"b": (10, 11)}  # in the body
    assert read_nested(members, "c") is None
    assert read_nested(members, "d", "absent") is None
    body = b'{"e":{"b":1,"b":2}}'
    with pytest.raises(Refusal):
        read_nested(Members({"e": msgspec.Raw(body[5:18])}, {"e": (5, 18)}, body), "e")
    assert read_object(b'{"b":1,"b":2}') is None
    assert read_object(b"5") is None


@pytest.mark.parametrize(
    ("raw", "expected"),
    [(b"", False), (b"null", False), (b"true", True), (b'""', True), (b"0", True), (b"{}", True), (b'"null"', True)],
)
def test_a_value_is_given_unless_it_is_absent_or_null(raw, expected):
    assert members.given(msgspec.Raw(raw)) is expected
    assert not members.given(members.ABSENT)
