"""Events as a Messages answer, whole and streamed."""

import json

from anthropic.types import Message

from providers.anthropic.writer import MessageWriter, write_message
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

EVENTS = [
    ReasoningDelta("hm"),
    TextDelta("a"),
    TextDelta("b"),
    ToolStart("t1", "f"),
    ToolDelta('{"x"'),
    ToolDelta(":1}"),
    ToolStart("t2", "g"),
    TextDelta("after"),
    Finish(Reason.TOOL),
    Counts(10, 5, 2, 4),
]


def events_of(data):
    found = []
    for block in data.decode().split("\n\n")[:-1]:
        name, text = block.split("\n")
        event = json.loads(text.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        found.append(event)
    return found


def stream(events, reasoning=True):
    writer = MessageWriter("msg_1", "m", reasoning=reasoning)
    return events_of(writer.write(events) + writer.end())


def test_a_stream():
    found = stream(EVENTS)
    assert [event["type"] for event in found] == [
        "message_start",
        *("content_block_start", "content_block_delta", "content_block_stop"),
        *("content_block_start", "content_block_delta", "content_block_delta", "content_block_stop"),
        *("content_block_start", "content_block_delta", "content_block_delta", "content_block_stop"),
        *("content_block_start", "content_block_stop"),
        *("content_block_start", "content_block_delta", "content_block_stop"),
        "message_delta",
        "message_stop",
    ]
    assert [event["index"] for event in found if event["type"] == "content_block_start"] == [0, 1, 2, 3, 4]
    assert [event["content_block"]["type"] for event in found if event["type"] == "content_block_start"] == [
        "thinking",
        "text",
        "tool_use",
        "tool_use",
        "text",
    ]
    assert found[-2]["delta"] == {"stop_reason": "tool_use", "stop_sequence": None}
    assert found[-2]["usage"] == {
        "input_tokens": 6,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 4,
        "output_tokens": 5,
        "output_tokens_details": {"thinking_tokens": 2},
    }


def test_a_stream_without_thoughts():
    assert '"thinking"' not in json.dumps(stream(EVENTS, reasoning=False))


def test_an_answer_without_a_word_is_still_a_message():
    assert [event["type"] for event in stream([Finish(Reason.LENGTH)])] == [
        "message_start",
        "message_delta",
        "message_stop",
    ]


def test_a_failed_stream_has_no_end():
    writer = MessageWriter("msg_1", "m", reasoning=False)
    sent = writer.write([TextDelta("a"), Failed(), TextDelta("b"), Finish(Reason.END)]) + writer.end()
    assert [event["type"] for event in events_of(sent)] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
    ]


def test_an_unfinished_stream_has_no_end():
    writer = MessageWriter("msg_1", "m", reasoning=False)
    writer.write([TextDelta("a")])
    assert writer.end() == b""


def test_a_whole_message():
    body = write_message(EVENTS, "msg_1", "m", reasoning=True)
    assert body is not None
    message = Message.model_validate_json(body)
    assert [block.type for block in message.content] == ["thinking", "text", "tool_use", "tool_use", "text"]
    assert json.loads(body)["content"][1:4] == [
        {"type": "text", "text": "ab"},
        {"type": "tool_use", "id": "t1", "name": "f", "input": {"x": 1}},
        {"type": "tool_use", "id": "t2", "name": "g", "input": {}},
    ]
    assert (message.stop_reason, message.usage.output_tokens) == ("tool_use", 5)


def test_reasons():
    for reason, named in ((Reason.END, "end_turn"), (Reason.LENGTH, "max_tokens"), (Reason.FILTER, "refusal")):
        assert json.loads(write_message([Finish(reason)], "i", "m", reasoning=False) or b"")["stop_reason"] == named
    found = json.loads(write_message([Finish(Reason.STOP_SEQUENCE, "END")], "i", "m", reasoning=False) or b"")
    assert (found["stop_reason"], found["stop_sequence"]) == ("stop_sequence", "END")


def test_what_can_t_be_a_message():
    call = [ToolStart("t", "f"), ToolDelta('{"x":'), Finish(Reason.TOOL)]
    for events in (call, [TextDelta("a")], [Failed()]):
        assert write_message(events, "i", "m", reasoning=False) is None


def test_a_call_that_was_cut_at_the_limit_of_its_length_is_left_out():
    events = [TextDelta("a"), ToolStart("t", "f"), ToolDelta('{"x":'), Finish(Reason.LENGTH)]
    found = json.loads(write_message(events, "i", "m", reasoning=False) or b"")
    assert (found["content"], found["stop_reason"]) == ([{"type": "text", "text": "a"}], "max_tokens")


def test_counts_and_failures_begin_no_message():
    writer = MessageWriter("msg_1", "m", reasoning=False)
    assert writer.write([Counts(3), Failed()]) == b""
