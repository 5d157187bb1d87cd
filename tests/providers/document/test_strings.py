import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.document.strings import quoted, string_values, text_of

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def strings(value):
    if isinstance(value, str):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from strings(inner)


@given(JSON, st.booleans(), st.sampled_from([None, 2]))
def test_every_string_value_and_no_name(value, ascii_only, indent):
    document = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode("utf-8", "surrogatepass")
    found = [document[start:end] for start, end, _ in string_values(document)]
    assert [json.loads(token) for token in found] == list(strings(value))


def test_the_name_is_the_member_s_and_a_list_s_elements_have_the_list_s():
    document = b'{"a" : "1", "b\\"c": ["2", {"d":"3"}], "e": {"f": 4}}'
    assert [(document[s:e], name) for s, e, name in string_values(document)] == [
        (b'"1"', b"a"),
        (b'"2"', b'b\\"c'),
        (b'"3"', b"d"),
    ]


@pytest.mark.parametrize("text", ["", "plain", 'quote " and \\ and \n', "é \u2028 \U0001f600"])
def test_text_and_token_are_the_same(text):
    assert json.loads(quoted(text)) == text
    assert text_of(quoted(text)) == text
    assert text_of(json.dumps(text).encode()) == text
