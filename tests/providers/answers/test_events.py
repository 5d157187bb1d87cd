"""What every event stream has in common, shown on the chat dialect."""

from __future__ import annotations

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.usage import Usage
from providers.answers.events import CARRY_LIMIT, HOLD_LIMIT, EventStream
from providers.answers.sse import BOM
from providers.dialect import Head
from providers.openai.answer import ChatStream
from tests.strategies import cut_up, every_byte

ASKED = Head(model="m", stream=True)
NOT_ASKED = Head(model="m", stream=True, wants_usage=False)
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
COUNTED = Usage(in_uncached=7, out_visible=3)


def event(chunk: object, end: str = "\n") -> bytes:
    return f"data: {chunk if isinstance(chunk, str) else json.dumps(chunk, ensure_ascii=False)}{end}{end}".encode()


def content(text: str, **more: object) -> dict:
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}], "usage": None, **more}


FINISH = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": None}
USAGE_CHUNK = {"choices": [], "usage": USAGE}


def scanned(pieces: list[bytes], head: Head = ASKED) -> tuple[ChatStream, bytes]:
    scanner = ChatStream(head)
    out = [scanner.feed(piece) for piece in pieces]
    return scanner, b"".join(out) + scanner.finish()


def says(block: bytes) -> bool:
    """Output, or a reason to stop."""
    return b'"delta"' in block and (b'"content": ""' not in block or b'"stop"' in block)


@st.composite
def chat_streams(draw: st.DrawFn) -> tuple[list[bytes], bytes, dict]:
    """Blocks of a stream, the usage chunk among them, and what must be found in it."""
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    line = end.encode()
    texts = st.sampled_from(['plain "quoted" \\', "é\u2028\U0001f600", '"usage":{"prompt_tokens":99}', "_tokens", ""])
    blocks = [event(content(draw(texts)), end) for _ in range(draw(st.integers(0, 4)))]
    expected = {"usage": None, "ended": False, "failed": False, "events": len(blocks)}
    if draw(st.booleans()):
        blocks.append(event(FINISH, end))
        expected["ended"] = True
        expected["events"] += 1
    usage_chunk = b""
    if draw(st.booleans()):
        usage_chunk = event(USAGE_CHUNK, end)
        expected["usage"] = COUNTED
        expected["events"] += 1
        blocks.append(usage_chunk)
    if draw(st.booleans()):
        blocks.append(event({"error": {"message": "x", "code": 500}}, end))
        expected["failed"] = True
        expected["ended"] = False
        expected["events"] += 1
    if draw(st.booleans()):
        blocks.append(event("[DONE]", end))
        expected["ended"] = not expected["failed"] and any(map(says, blocks))
        expected["events"] += 1
    for _ in range(draw(st.integers(0, 2))):
        aside = draw(st.sampled_from([b": wait" + line * 2, b"event: ping" + line * 2, b"id: 1" + line * 2, line]))
        blocks.insert(draw(st.integers(0, len(blocks))), aside)
    if draw(st.booleans()):
        blocks.insert(0, BOM)
    return blocks, usage_chunk, expected


def begun() -> ChatStream:
    """Output has come: from here on chunks are taken at a glance."""
    scanner = ChatStream(ASKED)
    scanner.feed(event(content("begun")))
    assert scanner.begun
    return scanner


def facts(scanner: ChatStream) -> dict:
    return {
        "usage": scanner.report().usage,
        "ended": scanner.ended,
        "failed": scanner.error is not None,
        "events": scanner.events,
    }


@given(chat_streams(), st.data())
def test_any_stream_cut_anywhere(stream, data):
    blocks, _, expected = stream
    whole, pieces = data.draw(cut_up(st.just(b"".join(blocks))))
    scanner = ChatStream(ASKED)
    for piece in pieces:
        assert scanner.feed(piece) is piece
    assert scanner.at_boundary
    assert scanner.finish() == b""
    assert facts(scanner) == expected
    assert scanner.size == len(whole)


@given(chat_streams(), st.data())
def test_the_usage_chunk_is_hidden_and_every_other_byte_passes(stream, data):
    blocks, usage_chunk, expected = stream
    _, pieces = data.draw(cut_up(st.just(b"".join(blocks))))
    scanner, out = scanned(pieces, NOT_ASKED)
    assert out == b"".join(block for block in blocks if block != usage_chunk)
    assert facts(scanner) == expected


def framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@given(chat_streams(), st.data(), st.booleans())
def test_chunks_that_are_taken_at_a_glance_count_like_any(stream, data, by_event):
    blocks, usage_chunk, expected = stream
    pieces = blocks if by_event else data.draw(cut_up(st.just(b"".join(blocks))))[1]
    for head, shown in ((ASKED, blocks), (NOT_ASKED, [block for block in blocks if block != usage_chunk])):
        scanner = ChatStream(head)
        out = [piece if scanner.glance(framed(piece), len(piece)) else scanner.feed(piece) for piece in pieces]
        assert b"".join(out) + scanner.finish() == b"".join(shown)
        assert facts(scanner) == expected
        assert scanner.size == sum(map(len, blocks))


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("lead", [b"", b"event: chunk\n", b": a comment\n"])
def test_an_ordinary_chunk_is_taken_at_a_glance_and_not_decoded(monkeypatch, lead, end):
    decoded = []
    scanner = begun()
    monkeypatch.setattr(ChatStream, "_event", lambda _, data: decoded.append(data))
    first, last = (lead.replace(b"\n", end.encode()) + event(content(text), end) for text in ("first", "last"))
    scanner.feed(first)
    for chunk in (first, b'{"choices":[],"usage": null}' + (end * 2).encode(), last):
        assert scanner.glance(framed(chunk), len(chunk))
    assert scanner.events == 5
    assert decoded == []
    assert not scanner.ended
    assert decoded == [last.rstrip().removeprefix(lead.replace(b"\n", end.encode()))[6:]]


@pytest.mark.parametrize(
    "chunk",
    [
        event(USAGE_CHUNK),
        event("[DONE]"),
        event(content("a"))[:-1],
        event(content("a")) + event(content("b")),
        b": wait\n\n",
        b"\n" + event(content("a")) + b"\n",
    ],
)
def test_what_is_not_taken_at_a_glance_leaves_no_trace(chunk):
    scanner = begun()
    assert scanner.glance(framed(event(FINISH)), len(event(FINISH)))
    before = {name: getattr(scanner, name) for name in (*EventStream.__slots__,)}
    assert not scanner.glance(framed(chunk), len(chunk))
    assert {name: getattr(scanner, name) for name in (*EventStream.__slots__,)} == before


def test_a_chunk_whose_line_end_is_wrong_is_not_taken():
    chunk = event(content("a"))
    assert not ChatStream(ASKED).glance(framed(chunk)[:-1] + b"x", len(chunk))


def test_an_error_without_a_field_name_is_read_behind_its_size_line():
    error = b'{"error":{"message":"overloaded","code":503},"usage": null}\n\n'
    scanner = begun()
    assert scanner.glance(framed(error), len(error))
    assert scanner.error is not None


@given(chat_streams(), st.data())
def test_it_may_be_asked_at_any_time(stream, data):
    blocks, _, expected = stream
    _, pieces = data.draw(cut_up(st.just(b"".join(blocks))))
    scanner = ChatStream(ASKED)
    for piece in pieces:
        scanner.feed(piece)
        assert scanner.report().usage in (None, expected["usage"])
        assert expected["failed"] or scanner.error is None
        facts(scanner)
    scanner.finish()
    assert facts(scanner) == expected


@given(chat_streams(), st.data())
def test_a_cut_is_at_a_boundary_exactly_between_two_events(stream, data):
    whole = b"".join(stream[0])
    position = data.draw(st.integers(0, len(whole)))
    for head in (ASKED, NOT_ASKED):
        scanner = ChatStream(head)
        passed = scanner.feed(whole[:position])
        ends = (b"\n\n", b"\r\r", b"\r\n\r\n", b"\r\n\r", b"\n\r", b"\n\r\n")
        assert scanner.at_boundary == (not passed.removeprefix(BOM).strip(b"\r\n") or passed.endswith(ends))


def test_ordinary_chunks_are_not_decoded(monkeypatch):
    scanner = begun()
    decoded = []
    monkeypatch.setattr(ChatStream, "_event", lambda _, data: decoded.append(data))
    chunk = event(content('text with _tokens and "usage":{ in it'))
    for _ in range(100):
        assert scanner.feed(chunk) is chunk
    assert decoded == []
    assert scanner.events == 101
    assert not scanner.ended
    assert len(decoded) == 1


def test_the_last_line_end_may_be_missing():
    for tail in (b"data: [DONE]", b"data: [DONE]\n", b"data: [DONE] \n"):
        scanner, _ = scanned([event(content("a")), tail])
        assert scanner.ended
    whole = event(content("a")) + event(USAGE_CHUNK)
    for end in (whole[:-1], whole[:-2]):
        assert scanned([end])[0].report().usage == COUNTED
        scanner, out = scanned(every_byte(end), NOT_ASKED)
        assert out == event(content("a"))
        assert scanner.report().usage == COUNTED


def test_a_cut_inside_an_event_passes_on_what_came():
    whole = event(content("a")) + event(content("b"))
    scanner, out = scanned(every_byte(whole[:-9]), NOT_ASKED)
    assert out == whole[:-9]
    assert not scanner.ended


def test_an_end_inside_a_fragment_is_seen():
    whole = event(FINISH) + event("[DONE]") + b": bye\n\n"
    assert scanned([whole])[0].ended
    assert scanned([event(content("a")) + event("[DONE]")])[0].ended


def test_what_comes_after_the_end_takes_it_back():
    end, comment, more = event("[DONE]"), b": wait\n\n", event(content("a"))
    for pieces in ([end, more], [end + more], [end, comment, more], [end, comment[:3], comment[3:], more]):
        assert not scanned(pieces)[0].ended
    assert scanned([more, end, comment])[0].ended


def test_events_are_held_until_they_end():
    scanner = ChatStream(NOT_ASKED)
    first, second = event(content("a")), event(content("b"))
    assert scanner.feed(first) is first
    assert scanner.feed(second[:10]) == b""
    assert scanner.at_boundary
    assert scanner.feed(second[10:] + first[:5]) == second
    assert scanner.feed(first[5:]) == first
    assert scanner.feed(second[:10]) == b""
    assert scanner.finish() == second[:10]


def test_a_held_event_is_released_beyond_the_bound():
    whole = event(content("x" * (HOLD_LIMIT + 5000)))
    for step in (1000, 7):
        scanner = ChatStream(NOT_ASKED)
        passed, fed = 0, 0
        for start in range(0, len(whole), step):
            piece = whole[start : start + step]
            fed += len(piece)
            passed += len(scanner.feed(piece))
            assert fed - passed <= HOLD_LIMIT
        assert passed == len(whole)
        assert scanner.feed(event(USAGE_CHUNK)) == b""
        assert scanner.report().usage == COUNTED


def test_a_usage_chunk_beyond_the_bound_is_passed_on_whole():
    whole = event({**USAGE_CHUNK, "padding": "x" * (HOLD_LIMIT + 5000)})
    pieces = [whole[start : start + 1000] for start in range(0, len(whole), 1000)]
    scanner, out = scanned([*pieces, event(USAGE_CHUNK)], NOT_ASKED)
    assert out == whole
    assert scanner.report().usage == COUNTED


def test_after_a_released_event_hiding_goes_on():
    large = event(content("x" * (HOLD_LIMIT + 100)))
    whole = large + event(USAGE_CHUNK) + event(content("b")) + event("[DONE]")
    expected = large + event(content("b")) + event("[DONE]")
    for step in (len(whole), HOLD_LIMIT, 999):
        pieces = [whole[start : start + step] for start in range(0, len(whole), step)]
        scanner, out = scanned(pieces, NOT_ASKED)
        assert out == expected
        assert scanner.ended


@pytest.mark.parametrize("head", [ASKED, NOT_ASKED])
@pytest.mark.parametrize("step", [4096, 65536, 10**9])
def test_usage_at_the_end_of_a_huge_event_is_found(head, step):
    huge = {"choices": [{"delta": {"image": "QUJD" * 500_000}, "finish_reason": "stop"}], "usage": USAGE}
    before, after = event(content("a")), event(content("b"))
    whole = before + event(huge) + after + event("[DONE]")
    pieces = [whole[start : start + step] for start in range(0, len(whole), step)]
    scanner, out = scanned(pieces, head)
    assert out == whole
    assert scanner.report().usage == COUNTED
    assert scanner.ended
    assert scanner.events == 4


def test_memory_of_a_huge_event_is_bounded():
    piece = b"QUJD" * 4096
    scanner = ChatStream(ASKED)
    scanner.feed(b'data: {"choices":[{"delta":{"image":"')
    tracemalloc.start()
    try:
        for _ in range(CARRY_LIMIT // len(piece) * 20):
            scanner.feed(bytes(bytearray(piece)))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < CARRY_LIMIT
    scanner.feed(b'"}}],"usage":' + json.dumps(USAGE).encode() + b"}\n\n")
    assert scanner.report().usage == COUNTED


def test_the_first_chunk_of_some_hosts_has_no_choices_and_no_usage():
    first = event({"choices": [], "prompt_filter_results": [{"tokens_read": 1, "x_tokens": 2}]})
    nulled = event({"choices": [], "usage": None, "max_tokens": 3, "x": "_tokens"})
    for block in (first, nulled):
        scanner, out = scanned([block, event(content("a"))], NOT_ASKED)
        assert out == block + event(content("a"))
        assert scanner.report().usage is None


def test_usage_on_a_chunk_with_choices_is_not_hidden():
    block = event({"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": USAGE})
    scanner, out = scanned([event(content("a")), block], NOT_ASKED)
    assert out == event(content("a")) + block
    assert scanner.report().usage == COUNTED
    assert scanner.ended


def test_usage_on_every_chunk_the_last_one_counts():
    blocks = [event(content("a", usage=USAGE | {"completion_tokens": n, "total_tokens": 7 + n})) for n in range(5)]
    assert scanned(blocks)[0].report().usage == Usage(in_uncached=7, out_visible=4)
    assert scanned([b"".join(blocks)])[0].report().usage == Usage(in_uncached=7, out_visible=4)


def test_a_later_chunk_without_counts_does_not_take_them_back():
    blocks = [event(USAGE_CHUNK), event({"choices": [], "usage": {"prompt_tokens": "7"}})]
    assert scanned(blocks)[0].report().usage == COUNTED


@pytest.mark.parametrize(
    "broken",
    [b'data: {"usage":{"prompt_tokens":\n\n', b'data: {prompt_tokens"}\n\n', b'data: [1,"_tokens"]\n\n', b'data: "_tokens"\n\n'],
)  # fmt: skip
def test_what_cannot_be_read_is_passed_over(broken):
    for head in (ASKED, NOT_ASKED):
        scanner, out = scanned([broken, event(content("a")), event(USAGE_CHUNK)], head)
        assert out.startswith(broken + event(content("a")))
        assert scanner.report().usage == COUNTED


def test_what_is_not_strictly_json_does_not_cost_the_counts():
    block = b'data: {"choices":[{"logprobs":[NaN],"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":3}}\n\n'
    scanner, _ = scanned([block])
    assert scanner.report().usage == COUNTED
    assert scanner.ended


@given(
    cut_up(st.sampled_from([b": ping\n", b": ping\r\n", b"\n: a\n: b\n", b": \xc3\xa9 data: {\n: [DONE]\n"])),
    st.booleans(),
)
def test_whole_lines_of_comments_pass_when_they_arrive(cut, opened):
    """Also while the usage chunk is to be hidden, which can be the very next event."""
    comments, pieces = cut
    before = event(content("hi")) if opened else b""
    scanner = ChatStream(NOT_ASKED)
    assert scanner.feed(before) == before
    assert b"".join(map(scanner.feed, pieces)) == comments
    assert scanner.at_boundary
    usage = event(USAGE_CHUNK)
    assert b"".join(map(scanner.feed, every_byte(usage))) == b""
    assert scanner.finish() == b""
    assert scanner.report().usage == COUNTED
    assert scanner.events == opened + 1
