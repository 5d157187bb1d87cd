"""The state machine of the writers: blocks, calls that are no object, and no end after a failure."""

from providers.conversation.conversation import (
    Citation,
    Cited,
    Failed,
    Finish,
    Reason,
    Reasoning,
    ReasoningDelta,
    RefusalDelta,
    RefusalText,
    Seal,
    Sealed,
    Text,
    TextDelta,
    ToolDelta,
    ToolStart,
    ToolUse,
)
from providers.conversation.writing import AnswerWriter
from providers.dialect import Family

SEAL = Seal(Family.ANTHROPIC, "s")


def told(*events, reasoning=True):
    answer = AnswerWriter(reasoning=reasoning)
    answer.write(events)
    return answer


def parts(*events, reasoning=True):
    return [block.part() for block in told(*events, reasoning=reasoning).blocks]


def test_one_block_is_open_at_a_time():
    cited = Cited(Citation("https://a.test"))
    events = [ReasoningDelta("h"), ReasoningDelta("m"), Sealed(SEAL), ReasoningDelta("again"), TextDelta("a"), cited]
    events += [TextDelta("b"), RefusalDelta("no"), ToolStart("t", "f"), ToolDelta('{"a":'), ToolDelta("1}")]
    assert parts(*events, Finish(Reason.TOOL)) == [
        Reasoning("hm", SEAL),
        Reasoning("again"),
        Text("ab"),
        RefusalText("no"),
        ToolUse("t", "f", b'{"a":1}'),
    ]
    assert told(*events).blocks[2].citations == [cited.citation]


def test_seals_are_told_to_those_who_did_not_ask_for_thoughts():
    events = [ReasoningDelta("hm"), Sealed(SEAL), TextDelta("a"), Finish(Reason.END)]
    assert parts(*events, reasoning=False) == [Reasoning("", SEAL), Text("a")]


def test_only_a_call_that_was_cut_at_the_limit_may_be_no_object():
    cut = [TextDelta("a"), ToolStart("t", "f"), ToolDelta('{"x":')]
    assert [block.part() for block in told(*cut, Finish(Reason.LENGTH)).blocks] == [Text("a")]
    assert told(*cut, Finish(Reason.LENGTH)).finished
    assert told(*cut, Finish(Reason.TOOL)).failed
    assert told(*cut, ToolStart("u", "g"), Finish(Reason.TOOL)).failed


def test_after_a_failure_nothing_counts():
    answer = told(TextDelta("a"), Failed(), TextDelta("b"), Finish(Reason.END))
    assert ([block.text for block in answer.blocks], answer.finished, answer.end()) == (["a"], False, b"")
