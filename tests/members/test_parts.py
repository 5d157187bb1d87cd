"""Every object of a conversation is looked at, and nothing among them is skipped."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.bounds import STEP_ELEMENTS
from providers.dialect import Family, Refusal
from providers.document.members import read_members
from providers.members.parts import SHAPE, walk
from providers.members.register import SPELLED
from providers.steps import at_once

ROOTS = {
    Family.OPENAI: ("messages", "input", "tools"),
    Family.ANTHROPIC: ("messages", "system", "tools"),
    Family.GOOGLE: ("contents", "systemInstruction", "tools"),
}
NESTED = {
    Family.OPENAI: ("content", "output", "file", "container"),
    Family.ANTHROPIC: ("content", "source", "tool"),
    Family.GOOGLE: ("parts", "fileData", "file_data", "functionResponse"),
}


def looked_at(family, members):
    seen = []
    read = at_once(read_members(json.dumps(members).encode()))
    at_once(walk(family, read, ROOTS[family], lambda root, place, part: seen.append((root, place, sorted(part)))))
    return seen


def refusal(family, members):
    with pytest.raises(Refusal) as refused:
        looked_at(family, members)
    assert refused.value.code == "invalid_request"
    return refused.value.message


def objects(family):
    leaves = st.fixed_dictionaries({"text": st.text(max_size=3)})
    return st.recursive(
        leaves,
        lambda inner: st.dictionaries(st.sampled_from(NESTED[family]), inner | st.lists(inner, max_size=3), max_size=2),
        max_leaves=5,
    )


def expected(root, place, value):
    """Every object in a value, in the members that are looked into."""
    for one in value if isinstance(value, list) else [value]:
        yield root, place, sorted(one)
        for name, inner in one.items():
            if isinstance(inner, (dict, list)):
                yield from expected(root, name, inner)


@settings(max_examples=40, deadline=None)
@given(st.data(), st.sampled_from(Family))
def test_each_object_is_told_once_with_where_it_stands(data, family):
    members = {root: data.draw(st.lists(objects(family), max_size=3) | objects(family)) for root in ROOTS[family]}
    told = [found for root, value in members.items() for found in expected(root, root, value)]
    assert sorted(looked_at(family, members)) == sorted(told)


@settings(max_examples=50, deadline=None)
@given(st.data(), st.sampled_from(Family), st.sampled_from([None, "text", 5, True, [], [{}]]))
def test_one_element_that_is_no_object_is_refused_wherever_it_stands(data, family, odd):
    path = data.draw(st.lists(st.sampled_from(NESTED[family]), max_size=4))
    elements = data.draw(st.permutations([{"text": "a"}, odd, {}]))
    value = elements
    for name in path:
        value = [{name: value}]
    assert refusal(family, {ROOTS[family][0]: value}) == SHAPE


@pytest.mark.parametrize("family", Family)
@pytest.mark.parametrize("value", [5, True, "text"])
def test_a_list_of_objects_is_no_number_and_no_text(family, value):
    assert refusal(family, {ROOTS[family][0]: value}) == SHAPE


@pytest.mark.parametrize(
    ("family", "name"),
    [
        (Family.OPENAI, "FILE"),
        (Family.OPENAI, "File_ID"),
        (Family.OPENAI, "IMAGE_URL"),
        (Family.OPENAI, "\uff43ontent"),
        (Family.ANTHROPIC, "\u017fource"),
        (Family.ANTHROPIC, "Model"),
        (Family.GOOGLE, "FILEURI"),
        (Family.GOOGLE, "fileuri"),
        (Family.GOOGLE, "File_Uri"),
        (Family.GOOGLE, "PartMetadata"),
    ],
)
@pytest.mark.parametrize("depth", [0, 1, 3])
def test_a_name_that_readers_may_fold_is_refused_at_every_level(family, name, depth):
    value = [{name: "x"}]
    for _ in range(depth):
        value = [{NESTED[family][0]: value}]
    assert refusal(family, {ROOTS[family][0]: value}) == SPELLED


def test_other_names_and_both_spellings_of_google_pass():
    parts = [{"file_data": {"mime_type": "a"}, "fileData": {"mimeType": "a"}, "brandNew": 1, "x" * 100: 2}]
    assert len(looked_at(Family.GOOGLE, {"contents": [{"parts": parts}]})) == 4


@pytest.mark.parametrize("family", Family)
def test_content_of_calls_and_schemas_is_not_looked_into(family):
    free = {"FILE_ID": [None, "x"], "Content": 5}
    called = {} if family is Family.OPENAI else {"input": free}  # OpenAI's is a string
    part = {**called, "arguments": free, "args": free, "response": free, "parameters": free, "input_schema": free}
    assert len(looked_at(family, {ROOTS[family][0]: [part], "tools": [part]})) == 2


def test_lists_of_names_beside_parts_are_no_parts():
    tool = {"type": "mcp", "allowed_tools": ["a", "b"], "require_approval": "never", "headers": {"X": "y"}}
    assert len(looked_at(Family.OPENAI, {"tools": [tool], "messages": [{"content": None, "tool_calls": [{}]}]})) == 2


def test_a_long_list_is_looked_at_in_steps():
    members = at_once(read_members(json.dumps({"messages": [{"content": [{}]}] * 1_000}).encode()))
    seen = []
    steps = list(walk(Family.OPENAI, members, ("messages",), lambda *told: seen.append(told)))
    assert len(seen) == 2_000
    assert len(steps) > 2_000 // (2 * STEP_ELEMENTS)
