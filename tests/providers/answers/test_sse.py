from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.answers.sse import (
    BOM,
    LargeEvent,
    count_events,
    data_of,
    event_spans,
    events_backwards,
    first_boundary,
    has_next_lines,
    last_boundary,
    next_lines,
    with_blank_lines,
)
from tests.strategies import cut_up, every_byte

LINE_ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])
LINES = st.sampled_from(
    [
        b'data: {"a":"\xc3\xa9 \\n \\u00e9"}',
        b'data:{"a":1}',
        b"data:  two spaces",
        b"data",
        b"data: [DONE]",
        b": comment",
        b":",
        b"event: error",
        b"id: 7",
        b"retry: 10",
        b"datax: no",
        b" data: no",
    ]
)


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Events with any line end, also mixed ones; the last may lack its blank line."""
    ends = draw(st.sampled_from([st.just(b"\n"), st.just(b"\r\n"), st.just(b"\r"), LINE_ENDS]))
    out = [draw(st.sampled_from([b"", BOM]))]
    for lines in draw(st.lists(st.lists(LINES, min_size=1, max_size=4), max_size=6)):
        out += [line + draw(ends) for line in lines]
        out += [draw(ends) for _ in range(draw(st.integers(1, 3)))]
    out += [line + draw(ends) for line in draw(st.lists(LINES, max_size=2))]
    return b"".join(out)


def dispatched(stream: bytes) -> list[bytes]:
    """The data of each event, by the letter of the standard, one character after the other."""
    text = stream.removeprefix(BOM).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    events, data = [], []
    for line in text.split(b"\n")[:-1]:
        if not line:
            if data:
                events.append(b"\n".join(data))
            data = []
            continue
        name, _, value = line.partition(b":")
        if name == b"data":
            data.append(value[1:] if value[:1] == b" " else value)
    return events


def closed(stream: bytes) -> bytes:
    """The stream up to its last blank line, after which a CR can no longer become a CRLF."""
    return stream[: last_boundary(stream + b"x")]


@given(streams())
def test_events_are_those_of_the_standard(stream):
    whole = closed(stream)
    expected = [data for data in dispatched(stream) if data]
    assert [data for start, end in event_spans(whole) if (data := data_of(whole[start:end]))] == expected
    assert [data for event in events_backwards(whole) if (data := data_of(event))] == expected[::-1]


@given(streams())
def test_spans_cover_the_whole(stream):
    spans = list(event_spans(stream))
    assert b"".join(stream[start:end] for start, end in spans) == stream


@given(streams())
def test_the_first_boundary_ends_the_first_event(stream):
    end = first_boundary(stream)
    assert (end > 0) == (last_boundary(stream) > 0)
    assert end <= last_boundary(stream)
    if end:
        assert next(event_spans(stream)) == (0, end)


def test_a_return_at_the_end_waits_for_what_follows():
    assert last_boundary(b"data: 1\r\n\r") == 0
    assert last_boundary(b"data: 1\r\n\r\n") == 11
    assert last_boundary(b"data: 1\r\r") == 0
    assert last_boundary(b"data: 1\r\rd") == 9
    assert last_boundary(b"data: 1\n") == 0
    assert last_boundary(b"data: 1\r\n") == 0


@pytest.mark.parametrize(
    ("block", "events"),
    [
        (b"data: 1\n\ndata: 2\n\n", 2),
        (b": wait\n\ndata:2\n\n", 1),
        (b"event: a\r\ndata: 1\r\n\r\n: wait\r\n\r\n", 1),
        (b"data: 1\r\rdata: 2\r\r", 2),
        (BOM + b"data: 1\n\n", 1),
        (b'data: {"text":"data: 1"}\n\n', 1),
        (b"", 0),
    ],
)
def test_events_are_counted_by_their_data(block, events):
    assert count_events(block) == events


def test_a_bare_object_counts_as_data():
    assert data_of(b'{"error":{"code":500}}\n') == b'{"error":{"code":500}}'
    assert data_of(b'event: error\n{"no": 1}\n\n') == b""


@given(cut_up(st.lists(LINES, max_size=3)
    .flatmap(lambda before: st.tuples(st.just(before), LINE_ENDS, st.booleans()))
    .map(lambda drawn: (BOM if drawn[2] else b"")
        + b"".join(line + drawn[1] for line in [line for line in drawn[0] if not line.startswith(b"data")])
        + b'data: {"usage":' + drawn[1] + b'data:{"x":"\xc3\xa9"}, "y": 2}' + drawn[1] + drawn[1])))  # fmt: skip
def test_a_large_event_is_read_line_by_line(case):
    _, pieces = case
    large = LargeEvent({b"usage": None})
    for piece in pieces:
        large.feed(piece)
    result = large.result()
    assert result is not None
    assert result.decode() == '{"usage":{"x":"é"}}'


def test_a_large_event_without_its_end_has_no_result():
    large = LargeEvent({b"usage": None})
    for piece in every_byte(b'data: {"usage":{"x":1},'):
        large.feed(piece)
    assert large.result() is None


@given(st.lists(st.sampled_from([b"}", b"{", b"\r", b"\n", b"\r\n", b"data:", b"x"]), max_size=8).map(b"".join))
def test_the_fast_look_finds_next_lines_wherever_the_exact_one_does(block):
    assert has_next_lines(block) or not next_lines(block)
    assert with_blank_lines(block) == block or has_next_lines(block)
