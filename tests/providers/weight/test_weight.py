"""Every place where a request may carry media, text or definitions, in every dialect."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.dialect import Operation, Refusal
from providers.measures import Detail, Kind
from providers.steps import at_once
from providers.wires import WIRES
from tests.providers.media.files import mp4, pdf, png, text_of, url_of, wav

PICTURE = png(640, 480, b"\x00\x01\x02\x03" * 200_000)
URL, DATA = url_of(PICTURE), text_of(PICTURE)
CHAT, RESPONSES, MESSAGES, GEMINI = (
    Operation.OPENAI_CHAT,
    Operation.OPENAI_RESPONSES,
    Operation.ANTHROPIC_MESSAGES,
    Operation.GEMINI_GENERATE,
)


def weigh(operation, body):
    named = body if operation.value.startswith("gemini") else body | {"model": "m"}
    return at_once(WIRES[operation].read(json.dumps(named).encode(), "m")).weight


def chat(*parts, role="user"):
    return {"messages": [{"role": role, "content": list(parts)}]}


def item(**members):
    return {"input": [members]}


def blocks(*blocks_):
    return {"messages": [{"role": "user", "content": list(blocks_)}]}


def parts(*parts_):
    return {"contents": [{"role": "user", "parts": list(parts_)}]}


BASE64 = {"type": "base64", "media_type": "image/png", "data": DATA}
IMAGES = {
    "chat": (CHAT, chat({"type": "image_url", "image_url": {"url": URL}})),
    "chat, as a string": (CHAT, chat({"type": "image_url", "image_url": URL})),
    "chat, in a tool's result": (CHAT, chat({"type": "image_url", "image_url": {"url": URL}}, role="tool")),
    "responses": (RESPONSES, item(role="user", content=[{"type": "input_image", "image_url": URL}])),
    "responses, a function's output": (
        RESPONSES,
        item(type="function_call_output", call_id="c", output=[{"type": "input_image", "image_url": URL}]),
    ),
    "responses, a computer's output": (
        RESPONSES,
        item(type="computer_call_output", call_id="c", output={"type": "computer_screenshot", "image_url": URL}),
    ),
    "responses, generated before": (RESPONSES, item(type="image_generation_call", id="i", result=DATA)),
    "compact": (Operation.OPENAI_COMPACT, item(role="user", content=[{"type": "input_image", "image_url": URL}])),
    "messages": (MESSAGES, blocks({"type": "image", "source": BASE64})),
    "messages, in a tool's result": (
        MESSAGES,
        blocks({"type": "tool_result", "tool_use_id": "t", "content": [{"type": "image", "source": BASE64}]}),
    ),
    "messages, in a document": (
        MESSAGES,
        blocks({"type": "document", "source": {"type": "content", "content": [{"type": "image", "source": BASE64}]}}),
    ),
    "messages, in a document in a tool's result": (
        MESSAGES,
        blocks(
            {
                "type": "tool_result",
                "tool_use_id": "t",
                "content": [
                    {
                        "type": "document",
                        "source": {"type": "content", "content": [{"type": "image", "source": BASE64}]},
                    }
                ],
            }
        ),
    ),
    "messages, instructions": (MESSAGES, {"messages": [], "system": [{"type": "image", "source": BASE64}]}),
    "gemini": (GEMINI, parts({"inlineData": {"mimeType": "image/png", "data": DATA}})),
    "gemini, snake case": (GEMINI, parts({"inline_data": {"mime_type": "image/png", "data": DATA}})),
    "gemini, mixed": (GEMINI, parts({"inline_data": {"mimeType": "image/png", "data": DATA}})),
    "gemini, a lone part": (GEMINI, {"contents": {"parts": {"inlineData": {"mimeType": "image/png", "data": DATA}}}}),
    "gemini, a function's response": (
        GEMINI,
        parts(
            {
                "functionResponse": {
                    "name": "f",
                    "response": {},
                    "parts": [{"inlineData": {"mimeType": "image/png", "data": DATA}}],
                }
            }
        ),
    ),
    "gemini, instructions": (
        GEMINI,
        {"contents": [], "systemInstruction": {"parts": [{"inlineData": {"mimeType": "image/png", "data": DATA}}]}},
    ),
    "gemini, counting": (
        Operation.GEMINI_COUNT_TOKENS,
        {"generateContentRequest": parts({"inlineData": {"mimeType": "image/png", "data": DATA}})},
    ),
    "gemini, embedding": (
        Operation.GEMINI_BATCH_EMBED,
        {"requests": [{"content": {"parts": [{"inlineData": {"mimeType": "image/png", "data": DATA}}]}}]},
    ),
}


@pytest.mark.parametrize("place", IMAGES)
def test_an_image_is_an_image_wherever_it_stands_and_no_text(place):
    weight = weigh(*IMAGES[place])
    (medium,) = weight.media
    assert (medium.kind, medium.width, medium.height) == (Kind.IMAGE, 640, 480)
    assert medium.size == pytest.approx(len(PICTURE), abs=3)
    assert weight.text.size + weight.data.size < 100
    assert weight.rest < 400


def test_text_that_looks_like_an_image_is_text():
    for operation, body in (
        (CHAT, chat({"type": "text", "text": URL})),
        (CHAT, {"messages": [{"role": "user", "content": URL}]}),
        (RESPONSES, {"input": URL}),
        (MESSAGES, blocks({"type": "text", "text": URL})),
        (GEMINI, parts({"text": URL})),
    ):
        weight = weigh(operation, body)
        assert weight.media == ()
        assert weight.text.size == pytest.approx(len(URL), rel=0.05)


@pytest.mark.parametrize(
    ("operation", "body", "kind", "field", "value"),
    [
        (CHAT, chat({"type": "input_audio", "input_audio": {"data": text_of(wav(3)), "format": "wav"}}), "audio", "milliseconds", 3_000),
        (CHAT, chat({"type": "file", "file": {"file_data": url_of(pdf(4), "application/pdf")}}), "pdf", "pages", 4),
        (RESPONSES, item(role="user", content=[{"type": "input_file", "file_data": url_of(pdf(4), "application/pdf")}]), "pdf", "pages", 4),
        (RESPONSES, item(role="user", content=[{"type": "input_file", "file_url": "https://a/b.pdf"}]), "pdf", "pages", 0),
        (RESPONSES, item(role="user", content=[{"type": "input_file", "file_data": url_of(b"a,b\n" * 900, "text/csv")}]), "text", "size", 3_600),
        (MESSAGES, blocks({"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": text_of(pdf(4))}}), "pdf", "pages", 4),
        (MESSAGES, blocks({"type": "document", "source": {"type": "url", "url": "https://a/b"}}), "pdf", "size", 0),
        (MESSAGES, blocks({"type": "image", "source": {"type": "url", "url": "https://a/b"}}), "image", "size", 0),
        (GEMINI, parts({"inlineData": {"mimeType": "audio/wav", "data": text_of(wav(3))}}), "audio", "milliseconds", 3_000),
        (GEMINI, parts({"inlineData": {"mimeType": "video/mp4", "data": text_of(mp4(9))}}), "video", "milliseconds", 9_000),
        (GEMINI, parts({"fileData": {"mimeType": "video/mp4", "fileUri": "https://youtu.be/x"}}), "video", "size", 0),
        (GEMINI, parts({"file_data": {"mime_type": "application/pdf", "file_uri": "gs://b/c"}}), "pdf", "size", 0),
    ],
)  # fmt: skip
def test_other_media(operation, body, kind, field, value):
    (medium,) = weigh(operation, body).media
    assert medium.kind == kind
    assert getattr(medium, field) == pytest.approx(value, abs=3)


def test_detail_is_read():
    assert weigh(CHAT, chat({"image_url": {"url": URL, "detail": "low"}})).media[0].detail is Detail.LOW
    assert weigh(RESPONSES, item(role="user", content=[{"image_url": URL, "detail": "original"}])).media[0].detail is Detail.ORIGINAL  # fmt: skip
    body = parts({"inlineData": {"mimeType": "image/png", "data": DATA}})
    body["generationConfig"] = {"mediaResolution": "MEDIA_RESOLUTION_LOW"}
    assert weigh(GEMINI, body).media[0].detail is Detail.LOW
    body["contents"][0]["parts"][0]["mediaResolution"] = {"level": "MEDIA_RESOLUTION_ULTRA_HIGH"}
    assert weigh(GEMINI, body).media[0].detail is Detail.ORIGINAL


TOOL = {"name": "f", "description": "Does it.", "parameters": {"type": "object", "properties": {}}}


@pytest.mark.parametrize(
    ("operation", "body", "expected"),
    [
        (
            CHAT,
            {
                "messages": [
                    {"role": "system", "content": "abc"},
                    {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]},
                    {"role": "tool", "content": "de"},
                ],
                "tools": [{"type": "function", "function": TOOL}] * 2,
            },
            (3, 2, 1, 5 + 1),
        ),
        (
            RESPONSES,
            {
                "instructions": "abc",
                "input": [
                    {"type": "function_call", "name": "f", "arguments": "{}"},
                    {"type": "function_call_output", "output": "de"},
                ],
                "tools": [TOOL] * 2,
            },
            (1, 2, 2, 5 + 1),
        ),
        (
            MESSAGES,
            {
                "system": "abc",
                "messages": [
                    {"role": "assistant", "content": [{"type": "tool_use", "input": {"a": 1}}]},
                    {"role": "user", "content": [{"type": "tool_result", "content": "de"}]},
                ],
                "tools": [TOOL] * 2,
            },
            (2, 2, 2, 5 + 1),
        ),
        (
            GEMINI,
            {
                "systemInstruction": {"parts": [{"text": "abc"}]},
                "contents": [
                    {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"a": 1}}}]},
                    {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"b": 2}}}]},
                    {"role": "user", "parts": [{"text": "de"}]},
                ],
                "tools": [{"functionDeclarations": [TOOL] * 2}],
            },
            (4, 2, 2, 5 + 1),
        ),
    ],
)
def test_messages_calls_and_tools_are_counted(operation, body, expected):
    weight = weigh(operation, body)
    assert (weight.turns, weight.tools, weight.calls, weight.text.size) == expected
    assert weight.definitions.size > 100
    assert weight.data.size > 0


@pytest.mark.parametrize(
    ("value", "size", "tokens"),
    [("abc", 3, 0), (["abc", "de"], 6, 0), ([1, 2, 3], 0, 3), ([[1, 2], [3]], 0, 3), ([], 0, 1), (7, 0, 0)],
)
def test_embeddings_take_text_or_tokens(value, size, tokens):
    weight = weigh(Operation.OPENAI_EMBEDDINGS, {"input": value})
    assert (weight.text.size, weight.tokens) == (size, tokens)


def test_reasoning_of_earlier_turns_is_dropped():
    signed = {"type": "thinking", "thinking": "a" * 90, "signature": "b" * 98}
    call = {"type": "tool_use", "input": {}}
    result = {"role": "user", "content": [{"type": "tool_result", "content": "c"}]}
    under_way = [{"role": "user", "content": "q"}, {"role": "assistant", "content": [signed, call]}, result]
    over = [*under_way, {"role": "user", "content": "next"}]
    assert (weigh(MESSAGES, {"messages": under_way}).signed, weigh(MESSAGES, {"messages": over}).signed) == (100, 0)
    assert weigh(MESSAGES, {"messages": over}).text.size < 20
    reasoning = {"type": "reasoning", "encrypted_content": "x" * 98}
    output = {"type": "function_call_output", "output": "y"}
    assert weigh(RESPONSES, {"input": [{"role": "user", "content": "q"}, reasoning, output]}).signed == 100
    assert weigh(RESPONSES, {"input": [reasoning, {"role": "user", "content": "q"}]}).signed == 0


def test_more_media_than_are_looked_at_are_counted():
    weight = weigh(CHAT, chat(*[{"image_url": {"url": url_of(png(8, 8))}}] * 300))
    assert sum(medium.number for medium in weight.media) == 300
    assert len(weight.media) == 257


@pytest.mark.parametrize("value", [None, 7, "x", [], {}, [7], [None], {"url": 7}, [[[]]], {"parts": [None]}])
@pytest.mark.parametrize(
    ("operation", "name"),
    [
        (CHAT, "messages"),
        (CHAT, "tools"),
        (CHAT, "response_format"),
        (RESPONSES, "input"),
        (RESPONSES, "text"),
        (RESPONSES, "instructions"),
        (MESSAGES, "messages"),
        (MESSAGES, "system"),
        (MESSAGES, "output_format"),
        (GEMINI, "contents"),
        (GEMINI, "systemInstruction"),
        (GEMINI, "tools"),
        (Operation.OPENAI_COMPLETIONS, "prompt"),
        (Operation.OPENAI_EMBEDDINGS, "input"),
    ],
)
def test_odd_values_weigh_nothing_or_are_refused_as_such(operation, name, value):
    try:
        weight = weigh(operation, {"messages": []} | {name: value})
    except Refusal:
        return
    assert weight.media == ()


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ("content", "type", "text", "image_url", "url", "source", "data", "parts", "inlineData", "input", "output",
             "arguments", "function", "tool_calls", "file", "input_audio", "role", "functionCall", "args", "thinking")
        ),
        inner,
        max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=200)
@given(st.sampled_from(sorted(WIRES)), ODD)
def test_any_body_weighs_something(operation, value):
    body = {"model": "m", "messages": value, "input": value, "system": value, "contents": value, "tools": value}
    try:
        head = at_once(WIRES[operation].read(json.dumps(body).encode(), "m"))
    except Refusal:
        return
    weight = head.weight
    assert min(weight.text.size, weight.turns, weight.calls, weight.signed, weight.tokens, weight.rest) >= 0
