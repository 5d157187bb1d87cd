from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.usage import ServiceTier, Usage, Variant
from providers.dialect import Head
from providers.gemini.answer import GenerateArray, GenerateStream, _State, read_counted, read_generated
from tests.strategies import cut_up, every_byte

HEAD = Head(model="m", stream=True)
SEARCHING = Head(model="m", stream=True, server_tools=frozenset({"gemini_google_search"}))
FORGED = {"usageMetadata": {"promptTokenCount": 999, "candidatesTokenCount": 999}}


def chunk(tokens: int | None, *, finish: str | None = None, part: dict | None = None, **more: object) -> dict:
    candidate: dict = {"content": {"parts": [part or {"text": 'é "usageMetadata" {'}], "role": "model"}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    found: dict = {"candidates": [candidate], **more}
    if tokens is not None:
        found["usageMetadata"] = {"promptTokenCount": 7, "candidatesTokenCount": tokens, "trafficType": "ON_DEMAND"}
    return found


CALL = {"functionCall": {"name": "f", "args": {"a": [FORGED], **FORGED}}}
RESULT = {"functionResponse": {"name": "f", "response": FORGED}}
CHUNKS = st.lists(
    st.builds(
        chunk,
        st.none() | st.integers(100, 500),
        finish=st.sampled_from([None, "STOP", "MAX_TOKENS"]),
        part=st.sampled_from([None, CALL, RESULT]),
    ),
    max_size=5,
)


def sse(chunks: list[dict], end: str = "\r\n") -> bytes:
    return "".join(f"data: {json.dumps(found, ensure_ascii=False)}{end}{end}" for found in chunks).encode()


def array(chunks: list[dict]) -> bytes:
    return ("[" + "\n,\r\n".join(json.dumps(found, indent=1) for found in chunks) + "]").encode()


def expected(chunks: list[dict]) -> tuple[Usage | None, bool]:
    stated = [found["usageMetadata"]["candidatesTokenCount"] for found in chunks if "usageMetadata" in found]
    usage = Usage(in_uncached=7, out_visible=stated[-1]) if stated else None
    return usage, bool(chunks) and "finishReason" in chunks[-1]["candidates"][0]


@given(CHUNKS, st.sampled_from(["\r\n", "\n"]), st.sampled_from([HEAD, SEARCHING]), st.data())
def test_a_stream_cut_anywhere(chunks, end, head, data):
    _, pieces = data.draw(cut_up(st.just(sse(chunks, end))))
    scanner = GenerateStream(head)
    for piece in pieces:
        assert scanner.feed(piece) is piece
    assert scanner.at_boundary
    scanner.finish()
    assert (scanner.report().usage, scanner.ended) == expected(chunks)
    assert scanner.events == len(chunks)
    assert scanner.error is None


def lines(chunks: list[dict], ends: list[str]) -> bytes:
    """Chunks without a blank line between most of them."""
    return "".join(
        f"data: {json.dumps(found, ensure_ascii=False)}{end}" for found, end in zip(chunks, ends, strict=True)
    ).encode()


@given(CHUNKS, st.sampled_from([HEAD, SEARCHING]), st.data())
def test_lines_of_data_are_a_chunk_each(chunks, head, data):
    ends = data.draw(
        st.lists(st.sampled_from(["\n", "\r\n", "\n\n", "\r\n\r\n"]), min_size=len(chunks), max_size=len(chunks))
    )
    _, pieces = data.draw(cut_up(st.just(lines(chunks, ends))))
    scanner = GenerateStream(head)
    for piece in pieces:
        assert scanner.feed(piece) is piece
    usage, ended = expected(chunks)
    assert (scanner.report().usage, scanner.ended) == (usage, ended)
    assert scanner.finish() == b""
    assert (scanner.report().usage, scanner.ended, scanner.events) == (usage, ended, len(chunks))


def test_the_first_of_several_lines_is_output_as_soon_as_the_next_begins():
    scanner = GenerateStream(HEAD)
    scanner.feed(lines([chunk(3)], ["\n"]))
    assert not scanner.begun  # it may still go on
    scanner.feed(b"data:")
    assert scanner.begun
    assert not scanner.at_boundary
    scanner.feed(lines([chunk(4)], ["\n"])[5:])
    assert scanner.at_boundary  # for those who read lines


@pytest.mark.parametrize("size", [1, 7, 100_000])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("between", ["\n", "\n\n"])
def test_a_line_too_large_to_keep(size: int, first: bool, between: str):
    image = chunk(5, part={"inlineData": {"mimeType": "image/png", "data": "QUJD" * 100_000}})
    found = [image, chunk(9, finish="STOP")] if first else [chunk(2), image, chunk(9, finish="STOP")]
    body = lines(found, ["\n", *[between] * (len(found) - 1)])
    if size == 1:
        pieces = [body[:-400], *every_byte(body[-400:])]
    else:
        pieces = [body[start : start + size * 1_000] for start in range(0, len(body), size * 1_000)]
    scanner = GenerateStream(HEAD)
    for piece in pieces:
        scanner.feed(piece)
    assert scanner.ended
    assert scanner.report().usage == Usage(in_uncached=7, out_visible=9)
    assert scanner.finish() == b""
    assert scanner.events == len(found)


def test_one_value_on_several_lines_stays_one_event():
    written = json.dumps(chunk(9, finish="STOP"), indent=0)
    body = ("".join(f"data: {line}\n" for line in written.splitlines()) + "\n").encode()
    assert b"}\ndata:" in body
    for pieces in ([body], every_byte(body)):
        scanner = GenerateStream(HEAD)
        for piece in pieces:
            scanner.feed(piece)
        assert scanner.ended
        assert scanner.report().usage == Usage(in_uncached=7, out_visible=9)


@given(CHUNKS, st.data())
def test_an_array_cut_anywhere(chunks, data):
    _, pieces = data.draw(cut_up(st.just(array(chunks))))
    scanner = GenerateArray(HEAD)
    for piece in pieces:
        assert not scanner.ended
        assert scanner.feed(piece) is piece
    assert scanner.finish() == b""
    assert scanner.report().usage == expected(chunks)[0]
    assert scanner.ended == expected(chunks)[1]
    assert scanner.events == len(chunks)
    assert not scanner.at_boundary


@given(CHUNKS.filter(bool), st.data())
def test_an_array_that_was_cut_off(chunks, data):
    whole = array(chunks)
    scanner = GenerateArray(HEAD)
    scanner.feed(whole[: data.draw(st.integers(0, len(whole) - 1))])
    seen = chunks[: scanner.events]
    assert not scanner.ended
    assert scanner.report().usage == expected(seen)[0]


def test_ordinary_chunks_are_not_decoded(monkeypatch):
    scanner = GenerateStream(HEAD)
    scanner.feed(sse([chunk(1)]))
    decoded = []
    original = _State.read
    monkeypatch.setattr(_State, "read", lambda *given, **named: decoded.append(1) or original(*given, **named))
    for tokens in range(1, 100):
        scanner.feed(sse([chunk(tokens)]))
    assert decoded == []
    assert scanner.report().usage == Usage(in_uncached=7, out_visible=99)
    assert len(decoded) == 2


def test_a_chunk_after_the_last_count():
    scanner = GenerateStream(HEAD)
    for found in (chunk(4), chunk(None), chunk(None, finish="STOP")):
        scanner.feed(sse([found]))
    assert scanner.report().usage == Usage(in_uncached=7, out_visible=4)
    assert scanner.ended


def test_only_the_last_chunk_says_whether_it_is_the_end():
    scanner = GenerateStream(HEAD)
    for found in (chunk(4), chunk(None, finish="STOP"), chunk(5)):
        scanner.feed(sse([found]))
    assert not scanner.ended


@pytest.mark.parametrize("part", [CALL, RESULT])
def test_a_forged_count_does_not_displace_a_true_one(part):
    for split in (True, False):
        blocks = [sse([chunk(4)]), sse([chunk(None, part=part)])]
        scanner = GenerateStream(HEAD)
        for block in blocks if split else [b"".join(blocks)]:
            scanner.feed(block)
        assert scanner.report().usage == Usage(in_uncached=7, out_visible=4)


def test_a_blocked_prompt_is_an_end():
    scanner = GenerateStream(HEAD)
    scanner.feed(sse([{"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 7}}]))
    assert scanner.ended
    assert scanner.report().usage == Usage(in_uncached=7)


@pytest.mark.parametrize(
    "error", [b'data: {"error":{"code":503}}\r\n\r\n', b'{"error":{\n  "code": 503\n}}\n', b'{"error":{"code":503}}']
)
def test_an_error_inside_the_stream(error):
    for pieces in ([sse([chunk(4)]), error], every_byte(sse([chunk(4)]) + error)):
        scanner = GenerateStream(HEAD)
        for piece in pieces:
            scanner.feed(piece)
        assert scanner.error is not None
        assert not scanner.ended
        assert scanner.report().usage == Usage(in_uncached=7, out_visible=4)


def test_an_error_inside_an_array():
    scanner = GenerateArray(HEAD)
    scanner.feed(b'[{"error":{"code":503}}]')
    assert scanner.error is not None


def test_a_huge_image_before_the_count():
    image = {"inlineData": {"data": "QUJD" * 500_000}}
    for scanner, whole in (
        (GenerateStream(HEAD), sse([chunk(4), chunk(5, part=image, finish="STOP")])),
        (GenerateArray(HEAD), array([chunk(4), chunk(5, part=image, finish="STOP")])),
    ):
        for start in range(0, len(whole), 65_536):
            scanner.feed(whole[start : start + 65_536])
        scanner.finish()
        assert scanner.report().usage == Usage(in_uncached=7, out_visible=5)
        assert scanner.ended


def grounded(*queries: str, model: str) -> dict:
    found = chunk(4, finish="STOP", modelVersion=model)
    found["candidates"][0]["groundingMetadata"] = {"webSearchQueries": list(queries)}
    return found


@pytest.mark.parametrize(("model", "searches"), [("gemini-3-pro", 2), ("gemini-2.5-flash", 1)])
def test_searches_count_as_they_are_billed(model, searches):
    found = grounded("a", "b", "", model=model)
    assert read_generated(json.dumps(found).encode(), SEARCHING).report.usage.searches == searches
    for last in (None, 4):
        scanner = GenerateStream(SEARCHING)
        for block in (sse([found]), sse([chunk(last, finish="STOP")])):
            scanner.feed(block)
        assert scanner.report().usage == Usage(in_uncached=7, out_visible=4, searches=searches)
    scanner = GenerateArray(SEARCHING)
    scanner.feed(array([found, chunk(4, finish="STOP")]))
    assert scanner.report().usage.searches == searches


def test_a_whole_body():
    body = chunk(5, finish="STOP", part=CALL)
    answer = read_generated(json.dumps(body).encode(), HEAD)
    assert answer.report.usage == Usage(in_uncached=7, out_visible=5)
    assert answer.report.variant == Variant(tier=ServiceTier.STANDARD)
    assert answer.error is None
    assert read_generated(b"[", HEAD) is None


def test_an_embedding():
    body = b'{"embedding":{"values":[0.1,0.2]},"usageMetadata":{"promptTokenCount":11}}'
    assert read_generated(body, HEAD).report.usage == Usage(in_uncached=11)


def test_a_token_count():
    assert read_counted(b'{"totalTokens":12}', HEAD).report.usage == Usage(in_uncached=12)
    assert read_counted(b"", HEAD) is None


@pytest.mark.parametrize("sse", [True, False])
@pytest.mark.parametrize(
    ("shown", "thoughts", "candidates", "expected"),
    [
        (0, None, None, 40),  # the text that came
        (30, None, None, 40 + 90),  # and what was thought, of which a third is shown
        (30, 100, None, 40 + 100),  # thoughts are stated before the first word
        (0, 100, None, 40 + 100),
        (30, 100, 44, 144),
        (30, None, 44, 44),  # no thoughts are not stated
    ],
)
def test_what_was_thought_before_a_cut_counts_beside_what_was_said(
    *, sse: bool, shown: int, thoughts: int | None, candidates: int | None, expected: int
) -> None:
    head = Head(model="m", stream=True)
    scanner = GenerateStream(head) if sse else GenerateArray(head)
    parts = [{"text": " word" * shown, "thought": True}] * (shown > 0) + [{"text": " word"}] * 40
    usage = {"promptTokenCount": 5, "thoughtsTokenCount": thoughts, "candidatesTokenCount": candidates}
    usage = {name: count for name, count in usage.items() if count is not None}
    usage["totalTokenCount"] = 5 + (thoughts or 0) + (candidates or 0)
    for number, part in enumerate(parts):
        chunk = {"candidates": [{"content": {"parts": [part]}}], "usageMetadata": usage}
        data = json.dumps(chunk).encode()
        scanner.feed(b"data: %b\r\n\r\n" % data if sse else b"[,"[number > 0 :][:1] + data)
    assert scanner.estimated_output() == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize("sse", [True, False])
def test_a_stream_that_was_cut_has_what_its_last_chunk_states(sse: bool) -> None:
    head = Head(model="m", stream=True)
    scanner = GenerateStream(head) if sse else GenerateArray(head)
    for number in range(1, 4):
        chunk = {
            "candidates": [{"content": {"parts": [{"text": "many words at once " * 9}]}}],
            "usageMetadata": {
                "promptTokenCount": 5,
                "candidatesTokenCount": 11 * number,
                "totalTokenCount": 5 + 11 * number,
            },
        }
        data = json.dumps(chunk).encode()
        scanner.feed(b"data: %b\r\n\r\n" % data if sse else (b"[" if number == 1 else b",") + data)
    assert scanner.estimated_output() == 33
