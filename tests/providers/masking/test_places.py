"""Where a string of a request or an answer stands decides what is done with it; its look and its name do not."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.dialect import Family
from providers.masking.places import ANSWERS, DEEPEST, NOWHERE, REQUESTS, Treatment, places

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)


def strings(value):
    """Every string of a value, names too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)


def found(document, tree=NOWHERE):
    return [place for place in places(document, tree) if place is not None]


def treated(family, value, tree=REQUESTS):
    """The treatment of each value of a document that is no plain text, by the value."""
    document = json.dumps(value).encode()
    return {
        json.loads(document[place.start : place.end]): place.treatment
        for place in found(document, tree[family])
        if place.treatment is not Treatment.TEXT
    }


@given(VALUES, st.sampled_from([None, 1]), st.booleans())
def test_every_string_of_a_document_is_given_once(value, indent, ascii_only):
    document = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode()
    given_ = found(document)
    assert sorted(json.loads(document[place.start : place.end]) for place in given_) == sorted(strings(value))
    assert all(place.treatment is Treatment.TEXT for place in given_)


@given(VALUES, st.sampled_from(list(Family)))
def test_places_of_a_dialect_give_the_same_strings(value, family):
    document = json.dumps({"messages": value, "input": value, "contents": value}).encode()
    plain = {(place.start, place.end) for place in found(document)}
    assert {(place.start, place.end) for place in found(document, REQUESTS[family])} == plain


@given(st.binary(max_size=60) | st.text('[]{}":,\\ \nab', max_size=60).map(str.encode))
def test_what_is_no_json_never_raises_and_nothing_of_it_is_left_out(document):
    given_ = found(document)
    for place in given_:
        assert 0 <= place.start < place.end <= len(document)
    rest = [place for place in given_ if place.treatment is Treatment.REST]
    assert len(rest) <= 1
    assert all(place.end == len(document) for place in rest)


EXACT, TEXT, JSON = Treatment.EXACT, Treatment.TEXT, Treatment.JSON
MEDIA, ADDRESS = Treatment.MEDIA, Treatment.ADDRESS


def message(*content, **members):
    return {"messages": [{"role": "user", "content": list(content), **members}]}


@pytest.mark.parametrize(
    ("family", "request_", "expected"),
    [
        # Thinking is left if it is signed, whatever the order of its members.
        (Family.ANTHROPIC, message({"type": "thinking", "thinking": "t", "signature": "s"}), {"t": EXACT, "s": EXACT}),
        (Family.ANTHROPIC, message({"signature": "s", "thinking": "t", "type": "thinking"}), {"t": EXACT, "s": EXACT}),
        (Family.ANTHROPIC, message({"type": "thinking", "thinking": "t", "signature": ""}), {"": EXACT}),
        (Family.ANTHROPIC, message({"type": "thinking", "thinking": "t"}), {}),
        (Family.ANTHROPIC, message({"type": "text", "text": "x", "thinking": "t", "signature": "s"}), {"s": EXACT}),
        (Family.ANTHROPIC, message({"type": "redacted_thinking", "data": "d"}), {"d": EXACT}),
        (Family.ANTHROPIC, message({"type": "text", "data": "d"}), {}),
        (Family.ANTHROPIC, message({"type": "compaction", "content": "c", "signature": "s"}), {"c": EXACT, "s": EXACT}),
        (Family.ANTHROPIC, message({"type": "tool_result", "content": "c", "signature": "s", "tool_use_id": "i"}), {"s": EXACT, "i": EXACT}),
        # A tool's input may use any name.
        (Family.ANTHROPIC, message({"type": "tool_use", "id": "i", "name": "n", "input": {"id": "a", "signature": "b", "data": "c", "type": "thinking", "thinking": "d"}}), {"i": EXACT}),
        (Family.ANTHROPIC, message({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "d"}}), {"d": MEDIA}),
        (Family.ANTHROPIC, message({"type": "document", "source": {"type": "text", "data": "d"}}), {}),
        (Family.ANTHROPIC, message({"type": "tool_result", "content": [{"type": "image", "source": {"data": "d", "type": "base64"}}]}), {"d": MEDIA}),
        (Family.OPENAI, {"messages": [{"role": "assistant", "tool_calls": [{"id": "i", "function": {"name": "n", "arguments": "{}"}}]}, {"role": "tool", "tool_call_id": "j", "name": "k", "content": "c"}]}, {"i": EXACT, "{}": JSON, "j": EXACT}),
        (Family.OPENAI, message({"type": "image_url", "image_url": {"url": "u"}}, {"type": "file", "file": {"filename": "f", "file_data": "d"}}, {"type": "input_audio", "input_audio": {"data": "a", "format": "wav"}}), {"u": ADDRESS, "d": ADDRESS, "a": MEDIA}),
        (Family.OPENAI, {"messages": [{"role": "assistant", "reasoning_details": [{"type": "reasoning.text", "text": "t", "signature": "s"}, {"type": "reasoning.encrypted", "data": "d"}, {"type": "reasoning.text", "text": "u"}]}]}, {"t": EXACT, "s": EXACT, "d": EXACT}),
        (Family.OPENAI, {"input": [{"type": "reasoning", "id": "i", "summary": [{"type": "summary_text", "text": "t"}], "encrypted_content": "e"}, {"type": "function_call", "call_id": "c", "arguments": "{}", "name": "n"}, {"type": "image_generation_call", "result": "r"}, {"type": "other", "result": "q"}]}, {"i": EXACT, "e": EXACT, "c": EXACT, "{}": JSON, "r": MEDIA}),
        (Family.OPENAI, {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "u"}]}, {"type": "function_call_output", "output": [{"type": "input_file", "file_data": "d"}]}]}, {"u": ADDRESS, "d": ADDRESS}),
        (Family.GOOGLE, {"contents": [{"parts": [{"text": "t", "thought": True, "thoughtSignature": "s"}, {"text": "u", "thought": True}, {"text": "v", "thoughtSignature": "w"}]}]}, {"t": EXACT, "s": EXACT, "w": EXACT}),
        (Family.GOOGLE, {"contents": {"parts": {"inline_data": {"data": "d", "mime_type": "image/png"}, "function_call": {"id": "i", "args": {"id": "a"}}}}}, {"d": MEDIA, "i": EXACT}),
        (Family.GOOGLE, {"contents": [{"parts": [{"functionResponse": {"id": "i", "response": {"data": "x"}, "parts": [{"inlineData": {"mimeType": "image/png", "data": "d"}}]}}]}]}, {"i": EXACT, "d": MEDIA}),
    ],
)  # fmt: skip
def test_documented_places_of_requests(family, request_, expected):
    assert treated(family, request_) == expected


@pytest.mark.parametrize(
    ("family", "answer", "expected"),
    [
        (Family.ANTHROPIC, {"content": [{"type": "thinking", "thinking": "t"}, {"type": "tool_use", "input": {"thinking": "x"}}]}, {"t": EXACT}),
        (Family.ANTHROPIC, {"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": "t"}}, {"t": EXACT}),
        (Family.ANTHROPIC, {"type": "content_block_delta", "delta": {"type": "compaction_delta", "content": "t"}}, {"t": EXACT}),
        (Family.ANTHROPIC, {"type": "content_block_delta", "delta": {"type": "input_json_delta", "partial_json": "{"}}, {"{": JSON}),
        (Family.GOOGLE, {"candidates": [{"content": {"parts": [{"text": "t", "thought": True}, {"text": "u"}]}}]}, {"t": EXACT}),
        (Family.OPENAI, {"choices": [{"message": {"reasoning_details": [{"text": "t"}], "tool_calls": [{"function": {"arguments": "{}"}}]}}]}, {"t": EXACT, "{}": JSON}),
        (Family.OPENAI, {"type": "response.completed", "response": {"output": [{"type": "function_call", "arguments": "{}"}]}}, {"{}": JSON}),
    ],
)  # fmt: skip
def test_documented_places_of_answers(family, answer, expected):
    assert treated(family, answer, ANSWERS) == expected


def test_the_type_that_an_object_states_comes_with_its_media():
    document = json.dumps({"contents": [{"parts": [{"inlineData": {"data": "d", "mimeType": "text/x"}}]}]}).encode()
    assert [place.media for place in found(document, REQUESTS[Family.GOOGLE]) if place.treatment is MEDIA] == [
        b"text/x"
    ]


@pytest.mark.parametrize("depth", [DEEPEST - 1, DEEPEST, DEEPEST + 1, 20_000, 300_000])
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}"), (b'{"a":[', b"]}")])
def test_depth_is_not_bounded_and_needs_no_memory(depth, opening, closing):
    document = b'{"messages":' + opening * depth + b'"deep words"' + closing * depth + b',"model":"m"}'
    texts = [document[place.start : place.end] for place in found(document, REQUESTS[Family.OPENAI])]
    assert texts.count(b'"deep words"') == 1
    assert treated(Family.OPENAI, {"model": "m"}) == {"m": EXACT}
    model = [place for place in found(document, REQUESTS[Family.OPENAI]) if document[place.start : place.end] == b'"m"']
    assert [place.treatment for place in model] == [EXACT]


@pytest.mark.parametrize(
    "document",
    [
        b"[" * 500_000,
        b'"' + b"\\n" * 500_000 + b'"',
        b'"' + b"a" * 1_000_000 + b'"',
        b"1," * 500_000,
        b'"a",' * 250_000,
    ],
    ids=["brackets", "escapes", "text", "numbers", "strings"],
)
def test_work_is_done_in_small_steps(document):
    run = longest = 0
    for place in places(document, NOWHERE):
        run = 0 if place is None else run + 1
        longest = max(longest, run)
    assert longest <= 200
    pauses = [place for place in places(document, NOWHERE) if place is None]
    assert len(pauses) >= len(document) // 70_000
