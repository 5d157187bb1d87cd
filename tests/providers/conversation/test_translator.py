"""From one dialect to the other and back: the request, the stream in any cut, the whole answer, the error."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.conversation.conversation import Conversation, Counts, TextDelta
from providers.conversation.failures import UNREADABLE, translate_error, translate_error_event
from providers.conversation.translator import translate
from providers.dialect import Family, Operation, Refusal
from tests.strategies import every_byte, pieces

ASK = {
    Operation.ANTHROPIC_MESSAGES: {
        "model": "m",
        "max_tokens": 9,
        "stream": True,
        "messages": [{"role": "user", "content": "hi"}],
    },
    Operation.GEMINI_STREAM: {"contents": [{"parts": [{"text": "hi"}]}]},
    Operation.OPENAI_RESPONSES: {"model": "m", "stream": True, "input": "hi"},
}
CHAT = b"".join(
    b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n"
    for chunk in (
        {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]},
        {"choices": [{"index": 0, "delta": {"content": "Grüße 😀\n"}}]},
        {
            "choices": [
                {
                    "index": 0,
                    "delta": {
                        "tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": '{"é":1}'}}]
                    },
                }
            ]
        },
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
        {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}},
    )
)
DONE = b"data: [DONE]\n\n"
ENDS = {
    Operation.ANTHROPIC_MESSAGES: b"message_stop",
    Operation.GEMINI_STREAM: b"finishReason",
    Operation.OPENAI_RESPONSES: b"response.completed",
}
STREAMS = [
    (Operation.ANTHROPIC_MESSAGES, True),
    (Operation.GEMINI_STREAM, True),
    (Operation.GEMINI_STREAM, False),
    (Operation.OPENAI_RESPONSES, True),
]


def translation(operation, sse=True, **members):
    body = json.dumps(ASK[operation] | members).encode()
    return translate(operation, body, model="mine", target="theirs", identity="id1", sse=sse)


def passed(made, parts):
    stream = made.stream()
    out = b"".join(stream.feed(part) for part in parts)
    return stream, out if stream.ended else out + stream.finish()


@pytest.mark.parametrize("operation", ASK)
def test_the_request_names_the_target_and_asks_for_the_usage(operation):
    body = json.loads(translation(operation).body)
    assert body["model"] == "theirs"
    assert body["messages"] == [{"role": "user", "content": "hi"}]
    assert body["stream_options"] == {"include_usage": True}


@given(st.data(), st.sampled_from(STREAMS))
def test_a_stream_is_translated_alike_in_every_cut(data, kind):
    made = translation(*kind)
    stream, whole = passed(made, [CHAT + DONE])
    assert stream.ended
    assert passed(made, data.draw(pieces(CHAT + DONE)))[1] == whole
    assert passed(made, every_byte(CHAT + DONE))[1] == whole
    assert passed(made, [CHAT])[1] == whole  # some engines leave [DONE] out


@pytest.mark.parametrize("kind", STREAMS, ids=str)
@pytest.mark.parametrize("length", range(0, len(CHAT), 3))
def test_a_stream_that_is_cut_has_no_end(kind, length):
    made = translation(*kind)
    stream = made.stream()
    out = stream.feed(CHAT[:length])
    assert not stream.ended
    assert ENDS[kind[0]] not in out
    if kind[1] and out:
        assert out.endswith((b"\n\n", b"\r\n\r\n"))  # an error event can follow


def test_a_stream_that_fails_has_no_end():
    for kind in STREAMS:
        stream, out = passed(translation(*kind), [CHAT[:200] + b'data: {"error":{"message":"x"}}\n\n' + DONE])
        assert (stream.error.status, stream.ended) == (502, False)
        assert ENDS[kind[0]] not in out


@pytest.mark.parametrize(
    "operation", [Operation.ANTHROPIC_MESSAGES, Operation.GEMINI_GENERATE, Operation.OPENAI_RESPONSES]
)
def test_a_whole_answer(operation):
    asked = {} if operation is Operation.GEMINI_GENERATE else {"stream": False}
    body = json.dumps((ASK.get(operation) or ASK[Operation.GEMINI_STREAM]) | asked).encode()
    made = translate(operation, body, model="mine", target="theirs", identity="id1", sse=False)
    assert json.loads(made.body)["stream"] is False
    answer = {
        "choices": [{"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2},
    }
    found = json.loads(made.whole(json.dumps(answer).encode()) or b"")
    assert found["modelVersion" if operation is Operation.GEMINI_GENERATE else "model"] == "mine"
    assert "hi" in json.dumps(found)
    assert made.whole(b"{}") is UNREADABLE
    assert made.whole(b"not json") is UNREADABLE
    busy = made.whole(b'{"error":{"message":"loading the model","type":"unavailable_error","code":503}}')
    assert busy.status == 503
    assert b"loading the model" in translate_error(Family.ANTHROPIC, busy.status, busy.body, rid="req_1")


def test_a_refused_request():
    with pytest.raises(Refusal):
        translation(Operation.ANTHROPIC_MESSAGES, messages="none")


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ({"error": {"message": "too long", "code": "context_length_exceeded"}}, "context_length_exceeded", "too long"),
        ({"error": {"message": "bad", "type": "invalid_request_error", "code": 400}}, "upstream_error", "bad"),
        ({"error": {"message": "bad", "type": "invalid_request_error"}}, "invalid_request_error", "bad"),
        ({"error": "model is broken"}, "upstream_error", "model is broken"),
        ({"object": "error", "message": "old form"}, "upstream_error", "old form"),
        ({"detail": "fastapi"}, "upstream_error", "fastapi"),
        ({"detail": [{"loc": []}]}, "upstream_error", "did not say why"),
        ("text", "upstream_error", "did not say why"),
    ],
)
def test_errors_keep_their_sentence(body, code, message):
    data = json.dumps(body).encode()
    anthropic = json.loads(translate_error(Family.ANTHROPIC, 400, data, rid="req_1"))
    assert (anthropic["type"], anthropic["error"]["type"]) == ("error", "invalid_request_error")
    assert message in anthropic["error"]["message"]
    assert anthropic["error"]["details"]["error_code"] == code
    google = json.loads(translate_error(Family.GOOGLE, 503, data, rid="req_1"))["error"]
    assert (google["code"], google["status"]) == (503, "UNAVAILABLE")
    assert message in google["message"]


@pytest.mark.parametrize("kind", STREAMS, ids=str)
@pytest.mark.parametrize(
    "opening",
    [
        b"",
        b": a comment\n\n",
        b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n',
        b'data: {"choices":[],"usage":{"prompt_tokens":3}}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":{}}]}}]}\n\n',
    ],
)
@pytest.mark.parametrize("rest", [b"", DONE, b'data: {"error":"out of memory"}\n\n', b"<html>", b'{"detail":"x"}'])
def test_what_opens_an_answer_gives_nothing_and_its_failure_is_no_answer(kind, opening, rest):
    stream, out = passed(translation(*kind), [opening, rest])
    assert (out, stream.begun, stream.ended) == (b"", False, False)
    assert stream.error is not None
    assert (b"out of memory" in stream.error.body) is (b"memory" in rest)


def test_an_error_inside_a_stream_keeps_its_sentence():
    stream, _ = passed(
        translation(Operation.ANTHROPIC_MESSAGES),
        [CHAT[: CHAT.index(b"\n\n") + 2] + b'data: {"error":"no memory"}\n\n'],
    )
    event = translate_error_event(Operation.ANTHROPIC_MESSAGES, stream.error, rid="req_1", sse=True)
    assert event.startswith(b"event: error\n")
    assert b"no memory" in event
    assert translate_error_event(Operation.GEMINI_STREAM, stream.error, rid="req_1", sse=False) == b""


def test_a_choice_of_one_tool_as_a_string_is_that_tool_alone():
    tools = [{"name": name, "input_schema": {"type": "object"}} for name in ("f", "g")]
    made = translation(Operation.ANTHROPIC_MESSAGES, tools=tools, tool_choice={"type": "tool", "name": "g"})
    assert json.loads(made.body)["tool_choice"] == {"type": "function", "function": {"name": "g"}}
    again = json.loads(made.with_string_choice("theirs").body)
    assert again["tool_choice"] == "required"
    assert [tool["function"]["name"] for tool in again["tools"]] == ["g"]
    assert made.names_choice


def test_what_holds_content_does_not_show_it():
    for holder in (
        TextDelta("secret"),
        Conversation(turns=(), system="secret"),
        translation(Operation.ANTHROPIC_MESSAGES),
    ):
        assert "secret" not in repr(holder)
        assert "object at" in repr(holder)
    assert repr(Counts(1)).startswith("Counts(input=1, output=None, reasoning=None, cached=None")
