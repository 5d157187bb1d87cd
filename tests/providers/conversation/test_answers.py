"""An answer written in a dialect is read back as it was; its stream says what its whole says; any cut, any end."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.conversation.conversation import (
    Citation,
    Cited,
    Counts,
    Dialect,
    Failed,
    Finish,
    Probabilities,
    Reason,
    ReasoningDelta,
    RefusalDelta,
    Seal,
    Sealed,
    TextDelta,
    TokenProbability,
    Tool,
    ToolDelta,
    ToolStart,
)
from providers.conversation.writing import AnswerWriter
from providers.dialect import Family
from tests.providers.conversation.answers import read_stream, read_whole, streamed, told, whole
from tests.strategies import pieces

ONE_TEXT = b'{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}'
TOOLS = (Tool("f", ""), Tool("patch", "", ONE_TEXT, one_text=True), Tool("crm__find", "", namespace="crm"))
ENDS = {
    Dialect.CHAT: b"[DONE]",
    Dialect.RESPONSES: b"response.completed",
    Dialect.MESSAGES: b"message_stop",
    Dialect.GEMINI: b"finishReason",
}
WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=9)
SEALS = st.builds(Seal, st.sampled_from(Family), st.text("abcXYZ09", min_size=4, max_size=8)) | st.builds(
    Seal, st.just(Family.ANTHROPIC), st.text("abc", min_size=4), st.just(""), st.just(True)
)
THOUGHTS = st.tuples(st.lists(WORDS, max_size=2), SEALS).map(
    lambda told: [*map(ReasoningDelta, [] if told[1].redacted else told[0]), Sealed(told[1])]
)
TEXTS = st.lists(WORDS, min_size=1, max_size=3).map(lambda texts: [TextDelta(text) for text in texts])


def cut(text):
    return [ToolDelta(text[at : at + 5]) for at in range(0, len(text), 5)]


CALLS = st.tuples(st.sampled_from(["f", "crm__find"]), st.dictionaries(WORDS, st.integers() | WORDS, max_size=2)).map(
    lambda call: (call[0], cut(json.dumps(call[1], ensure_ascii=False)))
) | WORDS.map(lambda text: ("patch", cut(json.dumps({"input": text}))))


@st.composite
def answers(draw):
    """Thoughts, then text, then calls: chat has no other order."""
    events = [event for thought in draw(st.lists(THOUGHTS, max_size=2)) for event in thought]
    events += draw(TEXTS)
    if draw(st.booleans()):
        events.append(Cited(Citation("https://a.test/b", "B")))
    calls = draw(st.lists(CALLS, max_size=2))
    for number, (name, arguments) in enumerate(calls):
        events += [ToolStart(f"call_{number}", name), *arguments]
    prompt, completion = draw(st.integers(10, 99)), draw(st.integers(10, 99))
    events.append(Finish(Reason.TOOL if calls else draw(st.sampled_from([Reason.END, Reason.LENGTH, Reason.FILTER]))))
    return [*events, Counts(prompt, completion, draw(st.integers(0, 9)), draw(st.integers(0, 5)))]


def said(events):
    """As `told`; an absent count is none, and no dialect counts everything."""
    blocks, finish, counts, failed = told(events)
    return blocks, finish, (counts.input, counts.output, counts.reasoning or 0, counts.cached or 0), failed


@pytest.mark.parametrize("dialect", Dialect)
@settings(max_examples=40)
@given(answers(), st.data())
def test_there_and_back_streamed_and_whole_and_in_every_cut(dialect, events, data):
    expected = said(events)
    stream = streamed(dialect, events, tools=TOOLS)
    found, reader = read_stream(dialect, stream)
    assert said(found) == expected
    assert (reader.done, reader.failed) == (True, False)
    assert said(read_whole(dialect, whole(dialect, events, tools=TOOLS))[0]) == expected
    assert said(read_whole(dialect, stream)[0]) == expected  # a stream that nobody asked for
    parts = data.draw(pieces(stream))
    reader = type(reader)()
    again = [event for part in parts for event in reader.feed(part)]
    assert said([*again, *([] if reader.done else reader.finish())]) == expected


@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize("source", Dialect)
@settings(max_examples=15)
@given(answers())
def test_from_every_dialect_to_every_other(source, dialect, events):
    """What a provider says in its dialect reaches the caller in its own, one event at a time."""
    found, _ = read_stream(source, streamed(source, events, tools=TOOLS))
    assert said(read_stream(dialect, streamed(dialect, found, tools=TOOLS))[0]) == said(events)


def probable(text):
    return TokenProbability(text, -0.25, ((text, -0.25), ("é", -2.5)))


def tokens(events):
    answer = AnswerWriter()
    answer.write(events)
    return [
        (one.token, one.logprob, one.alternatives) for block in answer.blocks for one in block.tokens
    ], answer.finish and answer.finish.reason


PROBABLE = (Dialect.CHAT, Dialect.RESPONSES, Dialect.GEMINI)


@pytest.mark.parametrize("target", PROBABLE)
@pytest.mark.parametrize("source", PROBABLE)
def test_probabilities_of_tokens_are_told(source, target):
    events = [
        TextDelta("Gr"),
        Probabilities((probable("G"), probable("r"))),
        TextDelta("üße"),
        Probabilities((probable("üße"),)),
    ]
    events += [ToolStart("t", "f"), ToolDelta("{}"), Finish(Reason.TOOL), Counts(1, 2)]
    expected = tokens(events)
    assert len(expected[0]) == 3
    for found in (read_stream(source, streamed(source, events))[0], read_whole(source, whole(source, events))[0]):
        assert tokens(found) == expected
        assert tokens(read_stream(target, streamed(target, found))[0]) == expected
        assert tokens(read_whole(target, whole(target, found))[0]) == expected
        assert said(read_stream(target, streamed(target, found))[0]) == said(events)
    streamed(Dialect.MESSAGES, events)  # which has no place for them


JUNK = [None, 1, "x", [], {}, [None], [{}], [{"token": 1}], [{"token": "a"}], [{"token": "a", "logprob": True}]]


@pytest.mark.parametrize("junk", JUNK, ids=str)
def test_probabilities_of_another_form_are_left_out(junk):
    for held in (junk, {"content": junk}, {"chosenCandidates": junk, "topCandidates": junk}):
        choice = {"index": 0, "message": {"content": "a"}, "logprobs": held, "finish_reason": "stop"}
        candidate = {"content": {"parts": [{"text": "a"}]}, "logprobsResult": held, "finishReason": "STOP"}
        part = {"type": "output_text", "text": "a", "logprobs": held}
        item = {"type": "message", "content": [part]}
        for dialect, body in (
            (Dialect.CHAT, {"choices": [choice]}),
            (Dialect.GEMINI, {"candidates": [candidate]}),
            (Dialect.RESPONSES, {"status": "completed", "output": [item]}),
        ):
            found, reader = read_whole(dialect, json.dumps(body).encode())
            assert not reader.failed
            assert told(found)[0][0][3] == "a"


@pytest.mark.parametrize("dialect", Dialect)
def test_the_words_of_a_refusal_reach_everybody(dialect):
    events = [RefusalDelta("I can't "), RefusalDelta("help."), Finish(Reason.END), Counts(1, 2)]
    for found in (read_stream(dialect, streamed(dialect, events))[0], read_whole(dialect, whole(dialect, events))[0]):
        [(kind, *_, text, _, _)] = told(found)[0]
        assert text == "I can't help."
        assert kind == ("refusal" if dialect in {Dialect.CHAT, Dialect.RESPONSES} else "text")


@pytest.mark.parametrize("dialect", Dialect)
def test_a_stream_that_is_cut_anywhere_never_looks_whole(dialect):
    events = [ReasoningDelta("hm"), TextDelta("Grüße"), ToolStart("t", "f"), ToolDelta('{"a":1}'), Finish(Reason.TOOL)]
    stream = streamed(dialect, [*events, Counts(1, 2)])
    for length in range(0, len(stream) - 1, 3):
        found, reader = read_stream(dialect, stream[:length])
        if reader.failed:
            assert isinstance(found[-1], Failed)
            assert ENDS[dialect] not in streamed(dialect, found)
        else:  # what is left of the stream has nothing of the answer
            assert told(found)[:2] == told(events)[:2]


@pytest.mark.parametrize("dialect", Dialect)
@settings(max_examples=60)
@given(st.data())
def test_whatever_comes_is_an_answer_or_a_failure(dialect, data):
    """Mutations of a stream are read or fail; nothing raises, and a failure says nothing of the content."""
    events = [TextDelta("secret"), ToolStart("t", "f"), ToolDelta('{"a":1}'), Finish(Reason.TOOL), Counts(1, 2)]
    stream = bytearray(streamed(dialect, events))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(stream) - 1))
        stream[at : at + data.draw(st.integers(0, 9))] = data.draw(st.sampled_from([b"", b'"', b"{", b"null", b"\xff"]))
    for found, reader in (read_stream(dialect, bytes(stream)), read_whole(dialect, bytes(stream))):
        assert reader.failed == any(isinstance(event, Failed) for event in found)
        assert reader.failed or any(isinstance(event, Finish) for event in found)
        streamed(dialect, found)
        whole(dialect, found)


ERRORS = {
    Dialect.CHAT: (b'{"error":{"message":"x","type":"server_error","code":503}}', 503),
    Dialect.RESPONSES: (b'{"type":"error","error":{"type":"insufficient_quota","message":"x"}}', 429),
    Dialect.MESSAGES: (b'{"type":"error","error":{"type":"overloaded_error","message":"x"}}', 529),
    Dialect.GEMINI: (b'{"error":{"code":503,"message":"x","status":"UNAVAILABLE"}}', 503),
}


@pytest.mark.parametrize("dialect", Dialect)
def test_an_error_inside_a_stream_is_the_answer_s_error(dialect):
    body, status = ERRORS[dialect]
    begun = streamed(dialect, [TextDelta("a"), TextDelta("b"), Finish(Reason.END)])
    begun = begun[: begun.index(b"\n", begun.index(b'"b"')) + 1] + b"\n"
    found, reader = read_stream(dialect, begun + b"data: " + body + b"\n\n")
    assert (reader.failed, reader.error.status) == (True, status)
    assert not any(isinstance(event, Finish) for event in found)
    assert read_whole(dialect, body)[1].error.status == status
