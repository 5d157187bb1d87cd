"""``cache_isolation = "none"``: no request asks for a cache, wherever its API lets it ask."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.dialect import Family, Operation, Refusal, Target
from providers.members import deep
from providers.members.decision import Decision
from providers.members.register import REGISTER
from providers.openai.request import CACHING
from providers.steps import at_once
from providers.wires import WIRES
from tests.members import sdk
from tests.members.gate import known

UNCACHED = Target("m", pseudonym="p", uncached=True)
ANTHROPIC = (Operation.ANTHROPIC_MESSAGES, Operation.ANTHROPIC_COUNT_TOKENS)
CACHE_CONTROL = {"cache_control": {"type": "ephemeral"}, "caching": {"type": "ephemeral", "ttl": "1h"}}
BREAKPOINT = {"prompt_cache_breakpoint": {"mode": "explicit", "ttl": "30m"}}


def sent(operation, body, target=UNCACHED):
    wire = WIRES[operation]
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return json.loads(at_once(wire.splice(raw, at_once(wire.read(raw, None)), target)))


def unmarked(value, names):
    if isinstance(value, dict):
        return {name: unmarked(inner, names) for name, inner in value.items() if name not in names}
    return [unmarked(inner, names) for inner in value] if isinstance(value, list) else value


@pytest.mark.parametrize("operation", [*sorted(CACHING), *ANTHROPIC])
def test_every_way_to_a_mark_that_an_sdk_knows_is_walked(operation):
    ways = sdk.leading_to(frozenset(deep.MARKS[operation.family]), *sdk.ROOTS[operation])
    assert ways
    refused = {name for name, member in REGISTER[operation].items() if member.decision is Decision.REFUSE}
    if "prompt" in refused & ways:  # a stored prompt's variables
        ways -= {"prompt", "variables"}
    assert ways <= deep.INTO[operation.family]


def test_every_member_about_caching_that_an_sdk_knows_is_thought_of():
    """A new one is a mark, or says how long or for whom: then it is listed here."""
    others = {"prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "cachedContent"}
    others |= {"use_cache"}  # of a tool that fetches pages: whether it may take them out of a cache of pages
    marks = {name for names in deep.MARKS.values() for name in names}
    found = {member.name for member in known() if "cach" in member.name.lower() or "breakpoint" in member.name.lower()}
    assert found == others | marks


class Part(TypedDict):
    cache_control: str


class Tomorrow(TypedDict):
    inner: Iterable[Part]


class Request(TypedDict):
    new_container: Tomorrow
    other: str


def test_a_new_way_to_a_mark_would_be_found():
    assert sdk.leading_to(frozenset({"cache_control"}), Request) == {"new_container", "inner"}


NAMES = st.sampled_from(["cache_control", "caching", "prompt_cache_breakpoint", "text", "content"])
FREE = st.dictionaries(NAMES, st.text(max_size=3), max_size=3)
"""What a tool is given: its names are the client's."""


def marked(marks, strategy):
    return st.tuples(strategy, st.booleans()).map(lambda drawn: {**drawn[0], **(marks if drawn[1] else {})})


TEXT = marked(CACHE_CONTROL, st.fixed_dictionaries({"type": st.just("text"), "text": st.text(max_size=4)}))
CALL = marked(CACHE_CONTROL, st.fixed_dictionaries({"type": st.just("tool_use"), "id": st.just("t"), "input": FREE}))
DOCUMENT = st.fixed_dictionaries({
    "type": st.just("document"),
    "source": st.fixed_dictionaries({"type": st.just("content"), "content": st.lists(TEXT, max_size=2)}),
})  # fmt: skip
RESULT = st.fixed_dictionaries({
    "type": st.just("tool_result"),
    "tool_use_id": st.just("t"),
    "content": st.text(max_size=3) | st.lists(TEXT | DOCUMENT, max_size=2),
})  # fmt: skip
TOOL = st.fixed_dictionaries({
    "name": st.just("f"),
    "input_schema": st.fixed_dictionaries({"type": st.just("object"), "properties": FREE}),
})  # fmt: skip
ADDED = st.fixed_dictionaries({
    "type": st.just("tool_addition"),
    "tool": st.fixed_dictionaries({"type": st.just("tool_definition"), "definition": marked(CACHE_CONTROL, TOOL)}),
})  # fmt: skip
BLOCK = marked(CACHE_CONTROL, TEXT | CALL | DOCUMENT | RESULT | ADDED)
MESSAGES = st.fixed_dictionaries(
    {
        "model": st.just("m"),
        "max_tokens": st.just(9),
        "messages": st.lists(
            st.fixed_dictionaries(
                {"role": st.just("user"), "content": st.text(max_size=3) | st.lists(BLOCK, max_size=4)}
            ),
            max_size=3,
        ),
    },
    optional={
        "system": st.text(max_size=3) | st.lists(TEXT, max_size=2),
        "tools": st.lists(marked(CACHE_CONTROL, TOOL), max_size=2),
        "cache_control": st.just({"type": "ephemeral"}),
    },
)


@given(body=MESSAGES, escaped=st.booleans(), operation=st.sampled_from(ANTHROPIC))
def test_no_block_no_tool_and_no_request_of_messages_asks_for_a_cache(body, escaped, operation):
    raw = json.dumps(body).encode()
    if escaped:
        raw = raw.replace(b'"cache_control"', b'"cach\\u0065_control"')
    # What a tool is given passes: marked here, so that the oracle leaves it alone.
    aside = json.dumps(body).replace('"input": {', '"input": {"kept": 1, ')
    aside = aside.replace('"properties": {', '"properties": {"kept": 1, ').replace("1, }", "1}")

    def expected(value):
        if isinstance(value, dict):
            if "kept" in value:
                return {name: inner for name, inner in value.items() if name != "kept"}
            return {name: expected(inner) for name, inner in value.items() if name not in CACHE_CONTROL}
        return [expected(inner) for inner in value] if isinstance(value, list) else value

    assert sent(operation, raw) == expected(json.loads(aside))
    assert sent(operation, raw, Target("m", pseudonym="p")) == body


PARTS = st.text(max_size=3) | st.lists(
    marked(BREAKPOINT, st.fixed_dictionaries({"type": st.just("text"), "text": st.text(max_size=3)})), max_size=3
)
TURNS = st.lists(st.fixed_dictionaries({"role": st.just("user"), "content": PARTS}), max_size=3)
ITEMS = st.lists(
    st.fixed_dictionaries({"role": st.just("user"), "content": PARTS})
    | st.fixed_dictionaries({"type": st.just("function_call_output"), "call_id": st.just("c"), "output": PARTS}),
    max_size=3,
)
OPTIONS = st.none() | st.fixed_dictionaries(
    {}, optional={"mode": st.sampled_from(["implicit", "explicit"]), "ttl": st.just("30m"), "prewarm": st.booleans()}
)


@given(operation=st.sampled_from(sorted(CACHING)), data=st.data())
def test_no_part_of_openai_s_marks_a_cache_and_no_request_has_one_by_itself(operation, data):
    body = {"model": "m"}
    if operation is Operation.OPENAI_CHAT:
        body |= {"messages": data.draw(TURNS), "prediction": {"type": "content", "content": data.draw(PARTS)}}
    else:
        body |= {"input": data.draw(PARTS.filter(lambda parts: isinstance(parts, str)) | ITEMS)}
    given_options = data.draw(st.booleans())
    options = data.draw(OPTIONS) if given_options else None
    found = sent(operation, {**body, **({"prompt_cache_options": options} if given_options else {})})
    assert found.pop("prompt_cache_options") == {**(options or {}), "mode": "explicit"}
    found.pop("store", None)
    assert found == unmarked(body, BREAKPOINT)


@pytest.mark.parametrize("options", [None, {"mode": None}, {"mode": {"a": 1}}])
@pytest.mark.parametrize("operation", sorted(CACHING))
def test_options_of_another_shape_say_it_too(operation, options):
    assert sent(operation, {"model": "m", "prompt_cache_options": options})["prompt_cache_options"] == {
        "mode": "explicit"
    }


@pytest.mark.parametrize("options", [7, "explicit", ["explicit"], [{"mode": "explicit"}], True])
@pytest.mark.parametrize("operation", sorted(CACHING))
def test_options_that_are_no_object_are_refused(operation, options):
    with pytest.raises(Refusal):
        sent(operation, {"model": "m", "prompt_cache_options": options})


def test_a_request_without_marks_is_not_copied_for_them():
    raw = b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}'
    wire = WIRES[Operation.ANTHROPIC_MESSAGES]
    assert at_once(wire.splice(raw, at_once(wire.read(raw, None)), UNCACHED)) is raw


@pytest.mark.parametrize("operation", [one for one in Operation if one not in CACHING and one.family is Family.OPENAI])
def test_operations_that_cache_nothing_say_nothing_of_it(operation):
    text = {"input": "x", **({"prompt": "x"} if operation is Operation.OPENAI_COMPLETIONS else {})}
    assert "prompt_cache_options" not in sent(operation, {"model": "m", **text})
