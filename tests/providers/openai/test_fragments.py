"""Calls of tools come whole and in order, however an engine tells them."""

import json
from dataclasses import dataclass
from itertools import zip_longest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.conversation.conversation import Finish, Reason, ReasoningDelta, TextDelta, ToolDelta, ToolStart
from providers.conversation.translator import translate
from providers.dialect import Operation
from providers.openai import fragments
from providers.openai.chat_reader import ChatEvents
from providers.openai.fragments import Fragments, Unreadable

NAMES = ["write", "read"]
VALUES = st.recursive(
    st.integers() | st.text(max_size=6) | st.sampled_from(['"', "\\", "{", "}]", "é😀", '\\"}']),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)
OBJECTS = st.dictionaries(st.text(max_size=4), VALUES, max_size=3)


@dataclass(frozen=True)
class Habit:
    """How an engine tells its calls; what it leaves ambiguous for anybody is not made."""

    index: str  # own, zero, none
    ids: str  # first, each, none, number, fragment
    name: str  # first, second, each, pieces, grows
    mixed: bool  # fragments of several calls take turns

    @property
    def clear(self) -> bool:
        """A reader can tell which fragment belongs to which call."""
        if self.ids == "fragment":
            return self.index == "own" and self.name in {"first", "second"}
        if self.name in {"pieces", "grows"}:
            return self.index == "own" or (self.index == "zero" and not self.mixed)
        if self.mixed or self.name == "second":
            return self.index == "own" or self.ids in {"each", "number"}
        return True


HABITS = [
    habit
    for index in ("own", "zero", "none")
    for ids in ("first", "each", "none", "number", "fragment")
    for name in ("first", "second", "each", "pieces", "grows")
    for mixed in (False, True)
    if (habit := Habit(index, ids, name, mixed)).clear
]


def told(habit, number, name, pieces):
    """The fragments of one call."""
    found = []
    for place, piece in enumerate(["", *pieces]):
        fragment = {"function": {"arguments": piece}}
        if habit.index != "none":
            fragment["index"] = number if habit.index == "own" else 0
        if habit.ids == "number":
            fragment["id"] = 100 + number
        elif habit.ids == "fragment":
            fragment["id"] = f"random_{number}_{place}"
        elif habit.ids == "each" or (habit.ids == "first" and not place):
            fragment["id"] = f"id_{number}"
        if habit.name in {"pieces", "grows"}:
            if place < 2:
                fragment["function"]["name"] = name[: 2 if not place else None][
                    2 * (place and habit.name == "pieces") :
                ]
        elif habit.name == "each" or place == (0 if habit.name == "first" else 1):
            fragment["function"]["name"] = name
        found.append(fragment)
    return found


def chunk(delta=None, finish=None):
    return {"choices": [{"index": 0, "delta": delta or {}, "finish_reason": finish}]}


def sse(chunks):
    return b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in chunks)


@st.composite
def calls(draw):
    """A habit, the calls that were meant, and the chunks that tell them so."""
    habit = draw(st.sampled_from(HABITS))
    meant = draw(st.lists(st.tuples(st.sampled_from(NAMES), OBJECTS), min_size=1, max_size=4))
    streams = []
    for number, (name, arguments) in enumerate(meant):
        text = json.dumps(arguments, ensure_ascii=draw(st.booleans()))
        cuts = sorted(draw(st.sets(st.integers(1, len(text) - 1), max_size=4)))
        pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        streams.append(told(habit, number, name, pieces))
    if habit.mixed:
        order = [one for turn in zip_longest(*streams) for one in turn if one is not None]
    else:
        order = [one for stream in streams for one in stream]
    grouped = draw(st.integers(1, 3)) if habit.mixed else 1  # several calls in one chunk
    chunks = [chunk({"tool_calls": order[at : at + grouped]}) for at in range(0, len(order), grouped)]
    return meant, [*chunks, chunk(finish=draw(st.sampled_from(["tool_calls", "stop"])))]


def read(chunks):
    reader = ChatEvents()
    events = [event for one in chunks for event in reader.feed(sse([one]))]
    return [*events, *reader.finish()]


def parts(events):
    """(id, name, arguments) of each call, in order; asserts that each is told in one go."""
    found = []
    for event in events:
        if isinstance(event, ToolStart):
            found.append([event.id, event.name, ""])
        elif isinstance(event, ToolDelta):
            found[-1][2] += event.arguments
    return found


@given(calls())
def test_every_way_to_tell_calls_gives_the_calls(made):
    meant, chunks = made
    events = read(chunks)
    found = parts(events)
    assert [(name, json.loads(arguments)) for _, name, arguments in found] == meant
    assert len({identity for identity, _, _ in found}) == len(meant)
    assert [event for event in events if isinstance(event, Finish)] == [Finish(Reason.TOOL)]


@given(calls())
def test_messages_and_generate_content_tell_the_same_calls(made):
    meant, chunks = made
    asked = {"model": "m", "max_tokens": 9, "stream": True, "messages": [], "contents": []}
    for operation in (Operation.ANTHROPIC_MESSAGES, Operation.GEMINI_STREAM):
        stream = translate(
            operation, json.dumps(asked).encode(), model="m", target="t", identity="i", sse=True
        ).stream()
        out = b"".join(stream.feed(sse([one])) for one in chunks) + stream.finish()
        assert stream.ended
        events = [json.loads(line[6:]) for line in out.splitlines() if line.startswith(b"data: ")]
        read_back = from_messages if operation is Operation.ANTHROPIC_MESSAGES else from_google
        assert read_back(events) == meant


def from_messages(events):
    """The calls, and that one block is open at a time."""
    found, open_ = [], None
    for event in events:
        match event["type"]:
            case "content_block_start":
                assert open_ is None
                open_ = event["index"]
                found.append([event["content_block"]["name"], ""])
            case "content_block_delta":
                assert event["index"] == open_
                found[-1][1] += event["delta"]["partial_json"]
            case "content_block_stop":
                assert event["index"] == open_
                open_ = None
    return [(name, json.loads(arguments or "{}")) for name, arguments in found]


def from_google(events):
    found = [part for event in events for part in event["candidates"][0]["content"]["parts"]]
    return [(part["functionCall"]["name"], part["functionCall"]["args"]) for part in found if "functionCall" in part]


def test_what_is_told_in_order_is_never_held():
    reader = ChatEvents()
    pieces = ['{"a"', ":1", "}"]
    for number in range(3):
        first = told(Habit("own", "first", "first", False), number, "f", pieces)
        for fragment, piece in zip(first, ["", *pieces], strict=True):
            events = reader.feed(sse([chunk({"tool_calls": [fragment]})]))
            assert [event.arguments for event in events if isinstance(event, ToolDelta)] == [piece] * bool(piece)
    assert [event.text for event in reader.feed(sse([chunk({"content": "done"})]))] == ["done"]


def of(*fragments):
    return [chunk({"tool_calls": [fragment]}) for fragment in fragments] + [chunk(finish="tool_calls")]


def fragment(arguments=None, name=None, **more):
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    return {**more, "function": function}


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        # Two whole calls with one index; the ids decide, and without ids the names and the whole arguments.
        (of(fragment('{"p":1}', "write", index=0, id="a"), fragment('{"p":2}', "read", index=0, id="b")), [("a", "write", {"p": 1}), ("b", "read", {"p": 2})]),
        (of(fragment('{"p":1}', "write", index=0, id="a"), fragment('{"p":2}', "write", index=0, id="b")), [("a", "write", {"p": 1}), ("b", "write", {"p": 2})]),
        (of(fragment('{"p":1}', "write", index=0), fragment('{"p":1}', "write", index=0)), [("call_1", "write", {"p": 1}), ("call_2", "write", {"p": 1})]),
        # One id for all: a call is not lost, and ids stay apart.
        (of(fragment('{"p":1}', "write", index=0, id="a"), fragment('{"p":2}', "read", index=1, id="a")), [("a", "write", {"p": 1}), ("call_2", "read", {"p": 2})]),
        (of(fragment("{}", "write", id="call_1"), fragment("{}", "read"), fragment("{}", "read", id="call_2")), [("call_1", "write", {}), ("call_2", "read", {}), ("call_3", "read", {})]),
        # A call that is told twice is one call.
        (of(fragment('{"p":1}', "write", index=0, id="a"), fragment('{"p":1}', "write", index=0, id="a")), [("a", "write", {"p": 1})]),
        # An id for each fragment.
        (of(fragment("", "write", index=0, id="a"), fragment('{"p":', index=0, id="b"), fragment("1}", index=0, id="c"), fragment("", index=0, id="d")), [("a", "write", {"p": 1})]),
        (of(fragment('{"p":', "write", index=0, id="a"), fragment("1}", "write", index=0, id="b")), [("a", "write", {"p": 1})]),
        # The id after the name, the name after the id, an index as a string.
        (of(fragment("", "write", index=0), fragment("{}", index=0, id="b")), [("b", "write", {})]),
        (of(fragment(index=0, id="a"), fragment("{}", "write", index=0)), [("a", "write", {})]),
        (of(fragment("", "write", index="0", id="a"), fragment("{}", index="0")), [("a", "write", {})]),
        # Arguments that are none, null, or written as a string once more.
        (of(fragment(None, "write", index=0, id="a")), [("a", "write", {})]),
        (of(fragment("null", "write", index=0, id="a")), [("a", "write", {})]),
        (of(fragment('"{\\"p\\":1}"', "write", index=0, id="a")), [("a", "write", {"p": 1})]),
        (of(fragment({"p": 1}, "write", index=0, id="a")), [("a", "write", {"p": 1})]),
        # The name in pieces.
        (of(fragment("", "wri", index=0, id="a"), fragment("", "te", index=0), fragment("{}", index=0)), [("a", "write", {})]),
        (of(fragment("", "wri", index=0, id="a"), fragment("", "te", index=0, id="a")), [("a", "write", {})]),
        (of(fragment("", "a", index=0, id="a"), fragment("", "b", index=0, id="b")), [("a", "a", {}), ("b", "b", {})]),
        (of(fragment("", "a", index=0, id="a"), fragment("", "b", index=1)), [("a", "a", {}), ("call_2", "b", {})]),
        # Nothing is said.
        (of({"index": 0}, fragment("", "", index=0, id=""), fragment("{}", "write", index=0)), [("call_1", "write", {})]),
    ],
)  # fmt: skip
def test_habits_of_engines(chunks, expected):
    found = parts(read(chunks))
    assert [(identity, name, json.loads(arguments or "{}")) for identity, name, arguments in found] == expected


def test_each_call_of_a_whole_answer_is_one():
    same = fragment('{"p":1}', "f", id="a")
    body = {"choices": [{"index": 0, "message": {"tool_calls": [same, same]}, "finish_reason": "tool_calls"}]}
    assert parts(ChatEvents().whole(json.dumps(body).encode())) == [["a", "f", '{"p":1}'], ["call_2", "f", '{"p":1}']]


def test_text_after_a_call_that_goes_on_waits_for_it():
    chunks = [
        chunk({"content": "a"}),
        chunk({"tool_calls": [fragment('{"p":', "f", index=0, id="c")]}),
        chunk({"content": "b", "reasoning_content": "hm"}),
        chunk({"tool_calls": [fragment("1}", index=0)]}),
        chunk({"content": "c"}),
        chunk(finish="stop"),
    ]
    kinds = [type(event) for event in read(chunks)]
    assert kinds == [TextDelta, ToolStart, ToolDelta, ToolDelta, ReasoningDelta, TextDelta, TextDelta, Finish]


def test_at_the_limit_of_its_length_a_begun_call_is_cut_and_others_are_left_out():
    chunks = [
        chunk({"tool_calls": [fragment('{"p":', "f", index=0, id="a")]}),
        chunk({"tool_calls": [fragment('{"p":', "g", index=1, id="b")]}),
        chunk({"tool_calls": [fragment("{}", "h", index=2, id="c")]}),
        chunk(finish="length"),
    ]
    assert parts(read(chunks)) == [["a", "f", '{"p":'], ["c", "h", "{}"]]
    assert read(chunks)[-1] == Finish(Reason.LENGTH)


def test_what_is_kept_is_bounded(monkeypatch):
    monkeypatch.setattr(fragments, "MOST_HELD", 1_000)
    kept = Fragments()
    kept.call(0, "a", "f", "{", [])
    for _ in range(99):
        kept.prose(TextDelta, "ten chars.", [])
    with pytest.raises(Unreadable):
        kept.prose(TextDelta, "ten chars.", [])
    plain = Fragments()
    for _ in range(200):
        plain.prose(TextDelta, "ten chars.", [])  # passes on at once
