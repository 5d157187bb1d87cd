"""Chat answers as events: whole, in any cut, and in the forms of different engines."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.conversation.conversation import (
    Counts,
    Failed,
    Finish,
    Reason,
    ReasoningDelta,
    TextDelta,
    ToolDelta,
    ToolStart,
)
from providers.conversation.reading import MOST_HELD
from providers.openai.chat_reader import ChatEvents
from tests.strategies import every_byte, pieces


def sse(*chunks, end="\n"):
    lines = [chunk if isinstance(chunk, str) else json.dumps(chunk, ensure_ascii=False) for chunk in chunks]
    return "".join(f"data: {line}{end}{end}" for line in lines).encode()


def delta(finish=None, **members):
    return {"choices": [{"index": 0, "delta": members, "finish_reason": finish}]}


def call(index=None, arguments=None, **members):
    found = {
        "function": {
            key: value
            for key, value in (("name", members.pop("name", None)), ("arguments", arguments))
            if value is not None
        },
        **members,
    }
    return found if index is None else {"index": index, **found}


def read(parts, stop=()):
    reader = ChatEvents(stop)
    events = [event for part in parts for event in reader.feed(part)]
    return reader, [*events, *([] if reader.done else reader.finish())]


def plain(events):
    """Events as tuples, deltas of one kind joined."""
    found = []
    for event in events:
        match event:
            case TextDelta(text):
                item = ("text", text)
            case ReasoningDelta(text):
                item = ("thought", text)
            case ToolStart(identity, name):
                item = ("tool", identity, name)
            case ToolDelta(arguments):
                item = ("arguments", arguments)
            case Finish(reason, sequence):
                item = ("finish", reason, sequence)
            case Counts():
                item = ("counts", event.input, event.output, event.reasoning, event.cached)
            case Failed():
                item = ("failed",)
        if found and item[0] in {"text", "thought", "arguments"} and found[-1][0] == item[0]:
            found[-1] = (item[0], found[-1][1] + item[1])
        else:
            found.append(item)
    return found


USAGE = {
    "choices": [],
    "usage": {
        "prompt_tokens": 7,
        "completion_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 3},
    },
}
STREAM = sse(
    delta(role="assistant", content=""),
    delta(reasoning_content="hm"),
    delta(content='Grüße 😀 "quoted"\\ '),
    delta(content="end"),
    delta(tool_calls=[call(0, "", id="c1", type="function", name="f")]),
    delta(tool_calls=[call(0, '{"a":')]),
    delta(tool_calls=[call(0, '"é"}')]),
    delta(tool_calls=[call(1, "{}", id="c2", name="g")]),
    delta("tool_calls"),
    USAGE,
    "[DONE]",
)
EVENTS = [
    ("thought", "hm"),
    ("text", 'Grüße 😀 "quoted"\\ end'),
    ("tool", "c1", "f"),
    ("arguments", '{"a":"é"}'),
    ("tool", "c2", "g"),
    ("arguments", "{}"),
    ("finish", Reason.TOOL, None),
    ("counts", 7, 5, 3, 2),
]


@given(
    st.sampled_from([STREAM, STREAM.replace(b"\n", b"\r\n"), b"\xef\xbb\xbf: a comment\n\n" + STREAM]).flatmap(pieces)
)
def test_a_stream_reads_the_same_in_every_cut(parts):
    reader, events = read(parts)
    assert plain(events) == EVENTS
    assert (reader.done, reader.failed) == (True, False)


def test_a_stream_byte_by_byte():
    assert plain(read(every_byte(STREAM))[1]) == EVENTS


@pytest.mark.parametrize("length", range(len(STREAM)))
def test_a_stream_that_ends_early_never_looks_finished(length):
    reader, events = read([STREAM[:length]])
    told = STREAM.index(b'"finish_reason": "tool_calls"') + len(b'"finish_reason": "tool_calls"}]}')
    if length < told:
        assert reader.failed
        assert not any(isinstance(event, Finish) for event in events)
    assert reader.done


def test_a_whole_answer():
    body = {
        "choices": [
            {
                "index": 0,
                "message": {
                    "content": "hi",
                    "reasoning": "hm",
                    "tool_calls": [call(None, '{"x":1}', id="c", name="f")],
                },
                "finish_reason": "tool_calls",
            }
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2},
    }
    assert plain(ChatEvents().whole(json.dumps(body).encode())) == [
        ("thought", "hm"),
        ("text", "hi"),
        ("tool", "c", "f"),
        ("arguments", '{"x":1}'),
        ("finish", Reason.TOOL, None),
        ("counts", 1, 2, None, None),
    ]


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        ([[call(None, '{"a":1}', id="c1", name="f")], [call(None, "{}", id="c2", name="g")]], ["c1", "c2"]),  # no index
        ([[call(0, '{"a"', id="c1", name="f")], [call(0, ":1}", id="c1", name="f")]], ["c1"]),  # repeated id and name
        ([[call(0, '{"a":1}', name="f"), call(1, "{}", name="g")]], ["call_1", "call_2"]),  # no ids, all in one chunk
        ([[call(0, {"a": 1}, id="c1", name="f")]], ["c1"]),  # arguments as an object
    ],
)
def test_engines_tell_calls_in_their_own_ways(calls, expected):
    _, events = read([sse(*(delta(tool_calls=one) for one in calls), delta("stop"), "[DONE]")])
    found = plain(events)
    assert [item[1] for item in found if item[0] == "tool"] == expected
    assert json.loads(next(item[1] for item in found if item[0] == "arguments")) == {"a": 1}
    assert found[-1] == ("finish", Reason.TOOL, None)


@pytest.mark.parametrize(
    ("finish", "more", "reason", "sequence"),
    [
        ("stop", {}, Reason.END, None),
        ("stop", {"stop_reason": "END"}, Reason.STOP_SEQUENCE, "END"),
        ("stop", {"stop_reason": 128009}, Reason.END, None),
        ("stop", {"stop_reason": "other"}, Reason.END, None),
        ("length", {}, Reason.LENGTH, None),
        ("content_filter", {}, Reason.FILTER, None),
        ("abort", {}, Reason.END, None),
    ],
)
def test_reasons(finish, more, reason, sequence):
    chunk = {"choices": [{"index": 0, "delta": {}, "finish_reason": finish, **more}]}
    assert plain(read([sse(chunk, "[DONE]")], stop=["END"])[1]) == [("finish", reason, sequence)]


def test_the_mark_after_output_is_the_end_of_hosts_that_give_no_reason():
    assert plain(read([sse(delta(content="a"), "[DONE]")])[1])[-1] == ("finish", Reason.END, None)


@pytest.mark.parametrize(
    "broken",
    [
        sse(delta(content="a"), {"error": {"message": "out of memory"}}),
        sse(delta(content="a"), {"error": "out of memory"}),
        sse(delta(content="a"), "{not json"),
        sse(delta(content="a"), delta(content=["parts"])),
        sse(delta(content="a"), delta(tool_calls=[call(0, "{}")])),  # a call without a name
        sse(delta(content="a"), delta(tool_calls=[call(0, "{", id="1", name="f")]), delta("tool_calls")),
        sse(delta(content="a"), delta(tool_calls=[call(0, '{"a"]', id="1", name="f")]), delta("stop")),
        sse(delta(content="a"), delta(tool_calls=[call(0, "{}{}", id="1", name="f")]), delta("tool_calls")),
        sse(delta(content="a"), delta(tool_calls=[call(0, "{}", id="1", name="f"), call(0, "}")]), delta("tool_calls")),
        sse(delta(content="a"), delta(tool_calls=[call(0, "[1]", id="1", name="f")]), delta("tool_calls")),
        sse(delta(content="a"), delta(content=[{"type": "image_url", "image_url": {"url": "data:"}}])),
        sse(delta(content="a"), {"object": "error", "message": "too long", "code": 400}),
        sse(delta(), "[DONE]"),
        sse(delta(content="a")),
        b"data: " + b"x" * (MOST_HELD + 1),
        b'{"error":"bare"}\n\n',
    ],
)
def test_what_can_t_be_read_fails_once_and_never_finishes(broken):
    reader, events = read([broken])
    if reader.done and not reader.failed:
        events += reader.finish()
    assert [type(event) for event in events].count(Failed) == 1
    assert not any(isinstance(event, Finish) for event in events)


def test_nothing_follows_the_end():
    _, events = read([STREAM + sse(delta(content="more"))])
    assert plain(events) == EVENTS


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], [("text", "ab")]),
        ({"type": "text", "text": "a"}, [("text", "a")]),
        ([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "a"}], [("thought", "hm"), ("text", "a")]),
        ([{"type": "refusal", "refusal": "no"}], [("text", "no")]),
        ([], []),
    ],
)  # fmt: skip
def test_content_as_parts(content, expected):
    assert plain(read([sse(delta(content=content), delta("stop"), "[DONE]")])[1])[:-1] == expected


def test_members_of_other_types_are_no_failure():
    chunk = {
        "choices": [{"index": None, "delta": {"content": "a", "reasoning": {"effort": "low"}}, "finish_reason": None}],
        "usage": "none",
        "error": None,
    }
    assert plain(read([sse(chunk, delta("stop"), "[DONE]")])[1])[0] == ("text", "a")


def test_a_stream_that_nobody_asked_for_is_read():
    assert plain(ChatEvents().whole(STREAM)) == EVENTS


def test_the_engine_s_error_is_kept_with_its_status():
    reader, _ = read([sse({"error": {"message": "loading the model", "code": 503}})])
    assert (reader.error.status, b"loading" in reader.error.body) == (503, True)
    assert read([sse({"object": "error", "message": "too long"})])[0].error is not None
    assert read([sse("{not json")])[0].error is None


def test_a_call_as_a_function_call():
    _, events = read([sse(
        delta(function_call={"name": "f", "arguments": ""}),
        delta(function_call={"arguments": '{"a":1}'}),
        delta("function_call"),
    )])  # fmt: skip
    assert plain(events) == [("tool", "call_1", "f"), ("arguments", '{"a":1}'), ("finish", Reason.TOOL, None)]
