"""Events as generateContent answers, whole and streamed."""

import json

from google.genai.types import GenerateContentResponse

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
from providers.gemini.writer import ResponseStream, write_response

EVENTS = [
    ReasoningDelta("hm"),
    TextDelta("a"),
    TextDelta("b"),
    ToolStart("t1", "f"),
    ToolDelta('{"x"'),
    ToolDelta(":1}"),
    ToolStart("t2", "g"),
    Finish(Reason.TOOL),
    Counts(10, 5, 2, 4),
]
CALLS = [
    {"functionCall": {"id": "t1", "name": "f", "args": {"x": 1}}},
    {"functionCall": {"id": "t2", "name": "g", "args": {}}},
]
USAGE = {
    "promptTokenCount": 10,
    "candidatesTokenCount": 3,
    "totalTokenCount": 15,
    "thoughtsTokenCount": 2,
    "cachedContentTokenCount": 4,
}


def parts(responses):
    return [part for response in responses for part in response["candidates"][0]["content"]["parts"]]


def stream(events, *, sse=True, reasoning=True):
    writer = ResponseStream("r1", "m", reasoning=reasoning, sse=sse)
    data = (writer.write(events) + writer.end()).decode()
    if not sse:
        return json.loads(data)
    assert data.endswith("\r\n\r\n")
    return [json.loads(block.removeprefix("data: ")) for block in data.split("\r\n\r\n")[:-1]]


def test_a_stream_of_events_and_an_array_say_the_same():
    found = stream(EVENTS)
    assert stream(EVENTS, sse=False) == found
    assert parts(found) == [{"text": "hm", "thought": True}, {"text": "a"}, {"text": "b"}, *CALLS, {"text": ""}]
    assert found[-1]["candidates"][0]["finishReason"] == "STOP"
    assert found[-1]["usageMetadata"] == USAGE
    assert all("finishReason" not in response["candidates"][0] for response in found[:-1])


def test_a_stream_without_thoughts():
    assert parts(stream(EVENTS, reasoning=False))[0] == {"text": "a"}


def test_a_failed_stream_has_no_end():
    for events in (
        [TextDelta("a"), Failed(), Finish(Reason.END)],
        [ToolStart("t", "f"), ToolDelta("{"), Finish(Reason.TOOL)],
    ):
        writer = ResponseStream("r", "m", reasoning=False, sse=True)
        writer.write(events)
        assert writer.failed
        assert writer.end() == b""


def test_a_call_that_was_cut_at_the_limit_of_its_length_is_left_out():
    events = [TextDelta("a"), ToolStart("t", "f"), ToolDelta("{"), Finish(Reason.LENGTH)]
    found = json.loads(write_response({0: events}, "r", "m", reasoning=False) or b"")
    assert (parts([found]), found["candidates"][0]["finishReason"]) == ([{"text": "a"}], "MAX_TOKENS")
    assert stream(events)[-1]["candidates"][0]["finishReason"] == "MAX_TOKENS"


def test_a_whole_response():
    body = write_response({0: EVENTS}, "r1", "m", reasoning=True)
    assert body is not None
    found = json.loads(body)
    assert parts([found])[-2:] == CALLS
    assert found["usageMetadata"] == USAGE
    parsed = GenerateContentResponse.model_validate_json(body)
    assert parsed.function_calls is not None
    assert [call.name for call in parsed.function_calls] == ["f", "g"]


def test_reasons():
    for reason, named in ((Reason.LENGTH, "MAX_TOKENS"), (Reason.FILTER, "SAFETY"), (Reason.STOP_SEQUENCE, "STOP")):
        body = json.loads(write_response({0: [Finish(reason)]}, "r", "m", reasoning=False) or b"")
        assert body["candidates"][0]["finishReason"] == named
        assert parts([body]) == [{"text": ""}]


def test_what_can_t_be_a_response():
    for events in ([TextDelta("a")], [Failed()], [ToolStart("t", "f"), ToolDelta("{"), Finish(Reason.TOOL)]):
        assert write_response({0: events}, "r", "m", reasoning=False) is None
