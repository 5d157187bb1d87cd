"""A body is read once around its conversation, with the verdict and the spans of a decoder that builds every object."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from providers.dialect import Refusal
from providers.document import duplicates, members
from providers.document.duplicates import NAMED_TWICE, PIECE_BYTES
from providers.document.members import read_members
from providers.steps import at_once
from tests.json_texts import Pairs, texts

LONG = "x" * (3 * PIECE_BYTES)


class Twice(Exception):
    pass


def unlike(pairs):
    if len(dict(pairs)) < len(pairs):
        raise Twice
    return dict(pairs)


def expected(body):
    """The value of a body, or the refusal."""
    try:
        return json.loads(body, object_pairs_hook=unlike)
    except Twice:
        return NAMED_TWICE


def read(body, *, walked=False):
    """The value that is in the spans, or the refusal. ``walked``: also lists with blanks and many members are walked."""
    with pytest.MonkeyPatch.context() as patch:
        if walked:
            patch.setattr(duplicates, "_LONG", 0)
            patch.setattr(members, "_FIRST_BYTES", 0)
        patch.setattr(members, "PIECE_BYTES", 1)
        patch.setattr(duplicates, "PIECE_BYTES", 1)
        try:
            found = at_once(read_members(body))
        except Refusal as refused:
            return refused.message
    assert {name: bytes(raw) for name, raw in found.raws.items()} == {
        name: body[start:end] for name, (start, end) in found.spans.items()
    }
    return {name: json.loads(body[start:end]) for name, (start, end) in found.spans.items()}


# Texts that look like structure where a reader loses its place.
NAMES = st.sampled_from(["a", "b", "", "é", "messages", "contents", 'q"', "s\\"])
TEXTS = st.sampled_from(["", ",", ":", '"messages":[{"', '","a":1', "}]", '}],"a":"', "\\", 'x"', "[{", "0", "é"])
VALUES = st.recursive(
    st.none() | st.integers(-1, 10) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.lists(st.tuples(NAMES, inner), max_size=3).map(Pairs),
    max_leaves=6,
)
OBJECTS = st.lists(st.tuples(NAMES, VALUES), min_size=1, max_size=3).map(Pairs)
CONVERSATIONS = st.tuples(st.sampled_from(["messages", "contents", "input"]), st.lists(OBJECTS, min_size=1, max_size=4))


def compact(value):
    if isinstance(value, Pairs):
        return "{" + ",".join(f"{json.dumps(name)}:{compact(inner)}" for name, inner in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(compact, value)) + "]"
    return json.dumps(value)


@settings(max_examples=300, deadline=None)
@example([("messages", [Pairs([("a", 1), ("a", 1)])])], None, True)
@example([("messages", [Pairs([("a", 1)])]), ("messages", [Pairs([("a", "x" * 30)])])], None, True)
@example([("messages", [Pairs([("a", 1)])]), ("b", 1), ("messages", [Pairs([("a", 1)])])], None, True)
@example([("b", Pairs([("messages", [Pairs([("a", 1)])])])), ("messages", [Pairs([("a", 1)])])], None, True)
@example([("messages", [Pairs([("a", ',"a":1')]), Pairs([("a", Pairs([("b", 1), ("b", 1)]))])])], None, True)
@given(
    st.lists(CONVERSATIONS | st.tuples(NAMES, VALUES), min_size=1, max_size=4),
    st.none() | st.integers(0, 9),
    st.booleans(),
)
def test_the_verdict_and_the_spans_are_those_of_a_decoder(pairs, seed, walked):
    value = Pairs(pairs)
    text = compact(value) if seed is None else texts(value, random.Random(seed))
    body = text.encode()
    assert read(body, walked=walked) == expected(body)


@settings(max_examples=300, deadline=None)
@given(
    st.tuples(CONVERSATIONS, st.tuples(NAMES, VALUES)).map(lambda pairs: compact(Pairs(pairs))),
    st.lists(st.tuples(st.integers(0, 200), st.sampled_from('",:{}[]\\01 ae.')), min_size=1, max_size=3),
    st.booleans(),
)
def test_what_is_broken_anywhere_is_refused(text, changes, walked):
    for at, mark in changes:
        text = text[: at % len(text)] + mark + text[at % len(text) + 1 :]
    body = text.encode()
    try:
        meant = json.loads(body)
    except ValueError:
        assert isinstance(read(body, walked=walked), str)
        return
    if isinstance(meant, dict):
        assert read(body, walked=walked) == expected(body)


@pytest.mark.parametrize("blank", ["", " "])
@pytest.mark.parametrize("name", ["messages", "contents", "input"])
def test_a_conversation_is_kept_for_those_who_look_at_it(name, blank):
    value = {"model": "m", name: [{"role": "user", "content": LONG}], "n": 1}
    body = json.dumps(value, separators=("," + blank, ":" + blank)).encode()
    found = at_once(read_members(body))

    kept = found.objects.kept(found.raws[name])

    assert kept is not None
    assert found.objects.whole is found.raws[name]
    assert [sorted(part) for part in kept] == [["content", "role"]]
    assert bytes(kept[0]["content"]) == f'"{LONG}"'.encode()
    assert {name: json.loads(body[start:end]) for name, (start, end) in found.spans.items()} == value


def test_of_a_body_with_many_objects_nothing_is_kept():
    body = json.dumps({"messages": [{"a": 1}] * 60_000}).encode()
    found = at_once(read_members(body))

    assert found.objects.decoded(found.raws["messages"]) is not None
    assert found.objects.kept(found.raws["messages"]) is None
