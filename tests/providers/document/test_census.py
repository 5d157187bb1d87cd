"""A body's values are counted before anything is built of it, exactly and in bounded steps."""

from __future__ import annotations

import contextlib
import json
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from providers import bounds
from providers.dialect import Refusal
from providers.document import census as module
from providers.document.census import census, is_plain
from providers.document.members import read_members
from providers.steps import at_once

STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
COLON = re.compile(r"\s*:")
UNCOUNTED = re.compile(r'\\\\|\\"')  # in the length of a name
SMALL = {
    "CONTAINERS": 40,
    "VALUES": 60,
    "LOOSE_BYTES": 300,
    "BACKSLASHES": 50,
    "DEPTH": 5,
    "NAME_BYTES": 12,
    "MEMBERS": 6,
    "OBJECT_MEMBERS": 7,
}

TEXT = st.text(alphabet='ab"\\[]{}:, \n', max_size=20)
DOCUMENT = st.recursive(
    st.none() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=7) | st.dictionaries(TEXT, inner, max_size=8),
    max_leaves=40,
)


def depth(value):
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


def objects(value, level=1):
    """Each object, and how deep it lies."""
    if isinstance(value, dict):
        yield level, value
        value = list(value.values())
    for inner in value if isinstance(value, list) else ():
        yield from objects(inner, level + 1)


def names(body):
    """The strings that a colon follows, without their quotes; each begins where the one before has ended."""
    return [found[0][1:-1] for found in STRING.finditer(body) if COLON.match(body, found.end())]


def over(body, document, cuts=0):
    """Words of the refusals of what is over a bound of `SMALL`, told by a decoder that builds the document.

    An escape that is cut is not counted in the length of a name.
    """
    outside = STRING.sub("", body)
    found = {
        "many JSON values": outside.count("{") + outside.count("[") > 40 or outside.count(",") > 60,
        "between": len(outside) > 300,
        "escapes": body.count("\\") > 50,
        "long a name": any(len(UNCOUNTED.sub("", name)) > 12 + 2 * cuts for name in names(body)),
        "deeply": depth(document) > 5,
        "many members": any(len(one) > (6 if level <= 3 else 7) for level, one in objects(document)),
    }
    return {words for words, is_over in found.items() if is_over}


def refusal_of(body):
    try:
        at_once(census(body, values=60))
    except Refusal as refused:
        return refused.message
    return ""


@settings(max_examples=80, deadline=None)
@example({"": ["", None, None, None], ":": None}, None, 8)  # a colon in a string makes no name of what is before it
@given(st.dictionaries(TEXT, DOCUMENT, max_size=8), st.sampled_from([None, 1]), st.integers(8, 80))
def test_what_is_counted_is_what_a_decoder_would_build_wherever_the_steps_cut(document, indent, step):
    body = json.dumps(document, indent=indent)
    with pytest.MonkeyPatch.context() as patch:
        for name, bound in SMALL.items():
            patch.setattr(bounds, name, bound)
        patch.setattr(module, "STEP_BYTES", step)
        patch.setattr(module, "_FEW_NAMES", 0)
        may, must = over(body, document), over(body, document, len(body) // step)
        message = refusal_of(body.encode())
        assert any(words in message for words in may) if message else not must


MIB = 1 << 20
FORGED = {  # what one body of many bytes may be made of, and the words of its refusal
    "objects": (b'{"a":[', b"{},", b"0]}", "too many JSON values"),
    "lists": (b'{"a":[', b"[],", b"0]}", "too many JSON values"),
    "numbers": (b'{"a":[', b"0,", b"0]}", "too many JSON values"),
    "strings": (b'{"a":[', b'"",', b"0]}", "too many JSON values"),
    "spaced objects": (b'{"a":[', b"{            } ,", b"0]}", "too many JSON values"),
    "blanks": (b'{"a":', b"      \n", b"0}", "between its strings"),
    "a number": (b'{"a":', b"1", b"}", "between its strings"),
    "escapes": (b'{"a":"', b"\\n", b'"}', "escapes"),
    "escaped quotes": (b'{"a":"', b'\\"', b'"}', "escapes"),
    "escaped backslashes": (b'{"a":"', b"\\\\", b'"}', "escapes"),
    "a name": (b'{"', b"n", b'":1}', "too long a name"),
    "an escaped name": (b'{"', b"\\u0061", b'":1}', "too long a name|escapes"),
    "a name that is not the first": (b'{"a":1 , "', b"n", b'" : 1}', "too long a name"),
    "members": (b"{", b'"a":1,', b'"b":1}', "too many"),
    "depth": (b'{"a":', b"[", b"", "too many JSON values"),
}


@pytest.mark.parametrize("size", [12 * MIB, 32 * MIB])
@pytest.mark.parametrize("kind", FORGED)
def test_a_forged_body_is_refused_before_it_is_built_at_any_size(kind, size):
    start, unit, end, words = FORGED[kind]
    body = start + unit * (size // len(unit)) + end

    assert not at_once(is_plain(body))
    with pytest.raises(Refusal) as refused:
        at_once(census(body))
    assert re.search(words, refused.value.message)


@pytest.mark.parametrize("brackets", [b"}" * 9, b"}" * 9 + b"{", b"{" * 300 + b"}{" * 3])
def test_brackets_that_do_not_match_are_left_to_the_decoder(brackets):
    body = brackets + b":" * (bounds.OBJECT_MEMBERS + 1) + b'"' + b"x" * bounds.UNCOUNTED_BYTES + b'"'
    with contextlib.suppress(Refusal):
        at_once(census(body))
    with pytest.raises(Refusal) as refused:
        at_once(read_members(body))
    assert refused.value.code == "invalid_request"


@pytest.mark.parametrize("levels", [bounds.DEPTH, bounds.DEPTH + 1, 40_000])
def test_a_body_is_as_deep_as_the_bound_says(levels):
    body = b'{"a":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"
    if levels <= bounds.DEPTH:
        at_once(census(body))
    else:
        with pytest.raises(Refusal) as refused:
            at_once(census(body))
        assert "nested" in refused.value.message


def test_a_large_body_of_text_is_within_every_bound():
    code = 'def f(x):\n\treturn {"a": [x, \'b\'], "c": (1, 2)}  # \\d+\n' * 20
    turns = [{"role": "user", "content": [{"type": "text", "text": code}]} for _ in range(7_000)]
    image = [{"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * (12 * MIB)}}]
    body = json.dumps({"model": "m", "messages": [*turns, {"role": "user", "content": image}]}).encode()

    assert len(body) > 18 * MIB
    at_once(census(body))


def test_a_small_or_usual_body_is_not_counted():
    text = "The quick brown fox jumps over the lazy dog, and says so.\n" * 300
    usual = json.dumps({"messages": [{"role": "user", "content": text}] * 50}).encode()

    assert at_once(is_plain(b"{" * bounds.UNCOUNTED_BYTES))
    assert len(usual) > 8 * bounds.UNCOUNTED_BYTES
    assert at_once(is_plain(usual))
