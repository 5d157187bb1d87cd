"""JSON objects as texts with odd whitespace and escapes, next to what they mean."""

from __future__ import annotations

import json

import pytest
from hypothesis import strategies as st

SPACE = st.text(alphabet=" \t\r\n", max_size=3)
TEXT = st.text(alphabet=st.characters(codec="utf-8"), max_size=8)
SCALAR = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**12), 10**12), st.floats(allow_nan=False, allow_infinity=False), TEXT
)
VALUE = st.recursive(
    SCALAR,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
TRICKY = st.sampled_from(("model", "stream", 'a"b', "a\\", "{", "}", ",", ":", "", "é", "\u2028", "store"))


@st.composite
def string_texts(draw, value: str) -> str:
    """A JSON string for ``value``, some characters escaped although they need not be."""
    parts = []
    for character in value:
        must = character in '"\\' or character < " "
        if must or draw(st.booleans()):
            parts.append("".join(f"\\u{unit:04x}" for unit in _units(character)))
        else:
            parts.append(character)
    return '"' + "".join(parts) + '"'


def _units(character: str) -> list[int]:
    data = character.encode("utf-16-be")
    return [int.from_bytes(data[index : index + 2]) for index in range(0, len(data), 2)]


@st.composite
def object_texts(draw):
    """A tuple: the object's text, and its members as (name, the value's text, the value)."""
    names = draw(st.lists(TRICKY | TEXT, unique=True, max_size=7))
    members, parts = [], []
    for name in names:
        value = draw(VALUE)
        text = json.dumps(value, ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from((None, 1))))
        members.append((name, text, value))
        key = draw(string_texts(name))
        parts.append(draw(SPACE) + key + draw(SPACE) + ":" + draw(SPACE) + text + draw(SPACE))
    inside = ",".join(parts) or draw(SPACE)
    return draw(SPACE) + "{" + inside + "}" + draw(SPACE), members


@pytest.fixture(scope="session")
def json_objects():
    return object_texts()
