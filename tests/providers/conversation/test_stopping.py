"""An answer ends where a stop sequence is complete, however its text was cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.conversation.conversation import (
    Counts,
    Event,
    Failed,
    Finish,
    Reason,
    ReasoningDelta,
    TextDelta,
    ToolDelta,
    ToolStart,
)
from providers.conversation.stopping import StopSequences

END = Finish(Reason.END)


def shown(stop: list[str], *events: Event) -> tuple[str, list[Event]]:
    """The text that is passed on, and what else."""
    found = list(StopSequences(stop).cut(events))
    text = "".join(event.text for event in found if isinstance(event, TextDelta))
    return text, [event for event in found if not isinstance(event, TextDelta)]


@pytest.mark.parametrize(
    ("stop", "pieces", "text", "met"),
    [
        (["STOP"], ["before STOP after"], "before ", "STOP"),
        (["STOP"], ["before S", "TO", "P after", " more"], "before ", "STOP"),
        (["STOP"], ["before STO"], "before STO", None),
        (["STOP"], ["STSTOP"], "ST", "STOP"),
        (["aab"], ["aa", "a", "ab"], "aa", "aab"),
        (["abcd", "bc"], ["abcd"], "a", "bc"),  # complete first
        (["bc", "abc"], ["abc"], "", "abc"),  # at the same character, the longest
        (["\n\n"], ["one\n", "\ntwo"], "one", "\n\n"),
        ([""], ["text"], "text", None),
        ([], ["text"], "text", None),
        (["\u00e9\U0001f600"], ["caf\u00e9", "\U0001f600 au lait"], "caf", "\u00e9\U0001f600"),
    ],
)
def test_where_it_ends(stop: list[str], pieces: list[str], text: str, met: str | None) -> None:
    found, others = shown(stop, *map(TextDelta, pieces), Counts(output=9), END)
    assert found == text
    assert others[0] == Counts(output=9)
    (end,) = others[1:]
    assert isinstance(end, Finish)
    assert (end.reason, end.sequence) == ((Reason.STOP_SEQUENCE, met) if met else (Reason.END, None))


def test_after_it_only_counts_a_failure_and_the_end_pass() -> None:
    rest = [ToolStart("1", "f"), ToolDelta("{}"), ReasoningDelta("x"), TextDelta("y"), Counts(), Failed()]
    found = list(StopSequences(["."]).cut([TextDelta("a."), *rest]))
    assert [type(event) for event in found] == [TextDelta, Counts, Failed]


def test_something_else_ends_what_may_have_begun() -> None:
    found = list(StopSequences(["ab"]).cut([TextDelta("xa"), ToolStart("1", "f"), TextDelta("b"), Finish(Reason.TOOL)]))
    assert [type(event) for event in found] == [TextDelta, TextDelta, ToolStart, TextDelta, Finish]
    assert "".join(event.text for event in found if isinstance(event, TextDelta)) == "xab"


@given(
    text=st.text("ab.", max_size=30),
    stop=st.lists(st.text("ab.", min_size=1, max_size=4), min_size=1, max_size=3),
    cuts=st.lists(st.integers(0, 30), max_size=6),
)
def test_the_cut_does_not_matter(text: str, stop: list[str], cuts: list[int]) -> None:
    places = sorted({0, len(text), *(at for at in cuts if at < len(text))})
    pieces = [text[start:end] for start, end in pairwise(places)]
    found, others = shown(stop, *map(TextDelta, pieces), END)
    complete = [(end, -len(one), one) for one in stop for end in range(len(text) + 1) if text[:end].endswith(one)]
    if not complete:
        assert (found, others) == (text, [END])
        return
    end, _, met = min(complete)
    assert found == text[: end - len(met)]
    assert others == [Finish(Reason.STOP_SEQUENCE, met)]
