"""A member that is named twice is found wherever it stands, however it is written, and nothing else is."""

from __future__ import annotations

import gc
import json
import random
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from providers import bounds
from providers.dialect import Refusal
from providers.document import duplicates
from providers.document.duplicates import NAMED_TWICE, PIECE_BYTES
from providers.document.members import read_members
from providers.steps import at_once
from tests.json_texts import Pairs, texts
from tests.slowness import TRIES, slowness


class Twice(Exception):
    pass


def unlike(pairs):
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise Twice
    return dict(pairs)


def oracle(body):
    """Whether any object names a member twice, told by building every one of them."""
    try:
        json.loads(body, object_pairs_hook=unlike)
    except Twice:
        return True
    return False


def refusal_of(body):
    try:
        at_once(read_members(body))
    except Refusal as refused:
        return refused.message
    return ""


NAMES = st.sampled_from(
    ["", "a", "b", "A", 'a"', "a\\", "/", "é", "e\u0301", "\U0001f600", "a:", '"a":1', "{", "\u2028"]
)


VALUES = st.recursive(
    st.none() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | NAMES | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.lists(st.tuples(NAMES, inner), max_size=4).map(Pairs),
    max_leaves=25,
)


@settings(max_examples=200, deadline=None)
@example([("a", Pairs([("b", 1), ("b", 1)]))], 0, 8)
@example([("a", [[Pairs([("/", 1), ("/", "2")])]])], 3, 8)
@example([("a", "{" * 40), ("b", [Pairs([("a", "x" * 60)]), Pairs([("a", 1), ("b", 2), ("a", 3)])])], 0, 20)
@given(st.lists(st.tuples(NAMES, VALUES), max_size=4), st.integers(0, 9), st.sampled_from([1, 8, 40, PIECE_BYTES]))
def test_the_verdict_is_that_of_a_decoder_that_builds_every_object(members, seed, piece):
    body = texts(Pairs(members), random.Random(seed)).encode("utf-8", "surrogatepass")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "PIECE_BYTES", piece)
        patch.setattr(duplicates, "_SPARSE_BYTES", 0)
        message = refusal_of(body)
    assert message == (NAMED_TWICE if oracle(body) else "")


LONGEST_STEP = 0.020  # seconds, on the machine of `tests.slowness`
LONG = "x" * (33 * PIECE_BYTES)
TWO = '{"type":"text","t\\u0079pe":"file"}'


@pytest.mark.parametrize(
    "body",
    [
        '{"model":"m","messages":[{"content":[%s]}]}',
        '{"model":"m","long":"' + LONG + '","messages":[{"content":[%s]}]}',
        '{"model":"m","messages":[{"content":[%s],"long":"' + LONG + '"}]}',
        '{"model":"m","messages":[{"content":[{"text":"' + LONG + '"},%s]}]}',
        '{"model":"m","messages":[' + '{"role":"user","content":"hello"},' * 10_000 + "%s]}",
        '{"a":' * 150 + "%s" + "}" * 150,
        '{"a":[' + "9" * 5_000 + ",%s]}",  # longer than any number that is built
        '{"a":' * 250 + '{"long":"' + LONG[:20_000] + '","b":%s}' + "}" * 250,
    ],
)
def test_it_is_found_beside_what_is_long_or_deep(body):
    assert refusal_of((body % TWO).encode()) == NAMED_TWICE
    assert refusal_of((body % TWO.replace("t\\u0079pe", "kind")).encode()) == ""


def test_what_is_inside_of_a_string_is_content():
    arguments = json.dumps('{"a":1,"a":2}')
    for filler in ("", LONG):
        body = f'{{"messages":[{{"tool_calls":[{{"function":{{"arguments":{arguments},"x":"{filler}"}}}}]}}]}}'
        assert refusal_of(body.encode()) == ""


def test_large_and_deep_together_is_refused_before_it_is_skipped_many_times(monkeypatch):
    monkeypatch.setattr(duplicates, "_MOST_SKIPPED", 40 * len(LONG))

    def nested(levels):
        return ('{"a":' * levels + '{"b":"' + LONG + '"}' + "}" * levels).encode()

    assert refusal_of(nested(10)) == ""
    assert "deeply" in refusal_of(nested(80))


def test_an_object_of_very_many_members_is_refused_where_it_is_counted():
    def body(members, text="x"):
        return b'{"a":[[{"b":{%b}}]]}' % b",".join(b'"%d":"%b"' % (n, text.encode()) for n in range(members))

    assert refusal_of(body(bounds.OBJECT_MEMBERS)) == ""
    assert "too many members" in refusal_of(body(4 * bounds.OBJECT_MEMBERS))


@pytest.fixture
def frozen():
    """No collection looks at what the tests before have left, as in a worker."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":[' + b'{"a":0},' * 30_000 + b"0]}",
        b'{"a":[' + b"[]," * 30_000 + b"{}]}",
        b'{"a":[' + b'"{",' * 50_000 + b"0]}",
        b'{"a":[[{"b":{' + b",".join(b'"%d":0' % number for number in range(9_999)) + b"}}]]}",
        b'{"a":[' + b"1," * 190_000 + b"0]}",
    ],
    ids=["objects", "lists", "strings", "members", "numbers"],
)
def test_the_look_is_done_in_many_steps(body, frozen):
    assert len(list(read_members(body))) > 2

    def longest():
        begun, step = time.thread_time(), 0.0
        for _ in read_members(body):
            now = time.thread_time()
            step, begun = max(step, now - begun), now
        return step

    assert min(longest() for _ in range(TRIES)) < LONGEST_STEP * slowness()
