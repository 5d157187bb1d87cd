"""What a generateContent request says, as a conversation, in either spelling."""

import json

import pytest

from providers.conversation.conversation import OMITTED, Image, Role, Text, ToolResult, ToolUse, Use
from providers.dialect import Refusal
from providers.gemini.reader import json_schema, read_conversation


def read(stream=False, **members):
    return read_conversation(json.dumps({"contents": [], **members}).encode(), stream=stream)


def parts(*items, role="user"):
    [turn] = read(contents=[{"role": role, "parts": list(items)}]).turns
    return turn.parts


def test_texts_and_roles():
    found = read(
        systemInstruction={"parts": [{"text": "be"}, {"text": "brief"}]},
        contents=[
            {"parts": [{"text": "hi"}]},
            {"role": "model", "parts": [{"text": "yo"}]},
            {"role": "user", "parts": {"text": "lone"}},
        ],
    )
    assert found.system == "be\n\nbrief"
    assert [(turn.role, turn.parts[0].text) for turn in found.turns] == [
        (Role.USER, "hi"),
        (Role.ASSISTANT, "yo"),
        (Role.USER, "lone"),
    ]


@pytest.mark.parametrize("name", ["inlineData", "inline_data"])
def test_an_image_in_either_spelling(name):
    key = "mimeType" if name == "inlineData" else "mime_type"
    [image] = parts({name: {key: "image/png", "data": "-_AA"}})
    assert isinstance(image, Image)
    assert (image.media_type, image.data) == ("image/png", "+/AA")


def test_calls_and_results_without_ids_find_each_other():
    found = read(
        contents=[
            {
                "role": "model",
                "parts": [
                    {"functionCall": {"name": "f", "args": {"a": 1}}},
                    {"functionCall": {"name": "f", "args": {"a": 2}}},
                    {"functionCall": {"name": "g"}},
                ],
            },
            {
                "role": "user",
                "parts": [
                    {"functionResponse": {"name": "g", "response": {"r": 0}}},
                    {"functionResponse": {"name": "f", "response": {"r": 1}}},
                    {"functionResponse": {"name": "f", "response": {"r": 2}}},
                ],
            },
        ]
    )
    calls, results = found.turns[0].parts, found.turns[1].parts
    assert all(isinstance(part, ToolUse) for part in calls)
    assert all(isinstance(part, ToolResult) for part in results)
    assert [(call.id, call.name, call.arguments) for call in calls] == [
        ("call_1", "f", b'{"a":1}'),
        ("call_2", "f", b'{"a":2}'),
        ("call_3", "g", b"{}"),
    ]
    assert [(result.id, result.text) for result in results] == [
        ("call_3", '{"r":0}'),
        ("call_1", '{"r":1}'),
        ("call_2", '{"r":2}'),
    ]


def test_ids_that_were_sent_are_kept():
    found = read(
        contents=[
            {
                "role": "model",
                "parts": [{"functionCall": {"id": "x1", "name": "f"}}, {"functionCall": {"id": "x2", "name": "f"}}],
            },
            {
                "role": "user",
                "parts": [
                    {"functionResponse": {"id": "x2", "name": "f", "response": {}}},
                    {"functionResponse": {"name": "f", "response": {}}},
                ],
            },
        ]
    )
    assert [part.id for part in found.turns[1].parts] == ["x2", "x1"]


def test_files_that_no_engine_takes_are_left_out_in_words():
    pdf = {"inlineData": {"mimeType": "application/pdf", "data": "AA=="}}
    image = {"inlineData": {"mimeType": "image/png", "data": "A-_="}}
    call = {"functionCall": {"name": "read", "args": {}}}
    result = {"functionResponse": {"name": "read", "response": {"output": "see"}, "parts": [pdf, image]}}
    found = read(contents=[{"role": "model", "parts": [call]}, {"role": "user", "parts": [result, pdf]}])
    told, left = found.turns[1].parts
    assert told.text == "see\n\n" + OMITTED
    assert [(one.media_type, one.data) for one in told.images] == [("image/png", "A+/=")]
    assert left.text == OMITTED


def test_a_result_without_a_call():
    with pytest.raises(Refusal) as caught:
        parts({"functionResponse": {"name": "f", "response": {}}})
    assert caught.value.code == "invalid_request"


def test_thoughts_are_left_out():
    [text] = parts({"text": "hm", "thought": True}, {"text": "said", "thoughtSignature": "AA=="}, role="model")
    assert isinstance(text, Text)
    assert text.text == "said"


@pytest.mark.parametrize(
    ("config", "use", "name", "tools"),
    [
        ({}, None, "", ["f", "g"]),
        ({"mode": "AUTO"}, Use.AUTO, "", ["f", "g"]),
        ({"mode": "ANY"}, Use.REQUIRED, "", ["f", "g"]),
        ({"mode": "ANY", "allowedFunctionNames": ["g"]}, Use.REQUIRED, "g", ["g"]),
        ({"mode": "NONE"}, Use.NONE, "", ["f", "g"]),
    ],
)
def test_tools(config, use, name, tools):
    declared = [
        {
            "name": "f",
            "description": "d",
            "parameters": {"type": "OBJECT", "properties": {"a": {"type": "STRING", "nullable": True}}},
        },
        {"name": "g", "parametersJsonSchema": {"type": "object"}},
    ]
    found = read(tools=[{"functionDeclarations": declared}], toolConfig={"functionCallingConfig": config})
    assert (found.use, found.tool, [tool.name for tool in found.tools]) == (use, name, tools)
    if "f" in tools:
        assert json.loads(found.tools[0].parameters) == {
            "type": "object",
            "properties": {"a": {"type": ["string", "null"]}},
        }


def test_sampling():
    config = {
        "maxOutputTokens": 5,
        "temperature": 1,
        "top_p": 0.5,
        "topK": 3.0,
        "seed": 7,
        "stopSequences": ["x"],
        "presencePenalty": 0.1,
        "frequencyPenalty": 0.2,
        "thinkingConfig": {"includeThoughts": True},
        "responseMimeType": "application/json",
        "responseSchema": {"type": "INTEGER"},
    }
    found = read(generationConfig=config, stream=True)
    sampling = found.sampling
    assert (sampling.max_tokens, sampling.temperature, sampling.top_p, sampling.top_k, sampling.seed) == (
        5,
        1.0,
        0.5,
        3,
        7,
    )
    assert (sampling.presence_penalty, sampling.frequency_penalty, sampling.stop) == (0.1, 0.2, ("x",))
    assert (found.reasoning, found.json, found.schema, found.stream) == (True, True, b'{"type":"integer"}', True)


@pytest.mark.parametrize(
    "members",
    [
        {"contents": [{"parts": [{"fileData": {"fileUri": "https://example.test/a"}}]}]},
        {
            "contents": [
                {"parts": [{"functionResponse": {"name": "f", "parts": [{"fileData": {"fileUri": "gs://a"}}]}}]}
            ]
        },
        {"contents": [{"parts": [{"executableCode": {"code": "1"}}]}]},
        {"tools": [{"googleSearch": {}}]},
        {"generationConfig": {"responseModalities": ["AUDIO"]}},
    ],
)
def test_what_chat_has_no_place_for(members):
    with pytest.raises(Refusal) as caught:
        read(**members)
    assert caught.value.code == "unsupported_feature"


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"{",
        b'{"contents":[{"parts":[1]}]}',
        b'{"contents":[1]}',
        b'{"generationConfig":{"topK":"x"}}',
        b'{"tools":[{"functionDeclarations":[{}]}]}',
    ],
)
def test_another_form(body):
    with pytest.raises(Refusal) as caught:
        read_conversation(body, stream=False)
    assert caught.value.code == "invalid_request"


def test_a_schema_of_google_s():
    google = {
        "type": "ARRAY",
        "min_items": 1,
        "items": {"anyOf": [{"type": "NUMBER", "format": "float"}, {"type": "STRING", "enum": ["A"]}]},
        "propertyOrdering": ["x"],
    }
    assert json_schema(google) == {
        "type": "array",
        "minItems": 1,
        "items": {"anyOf": [{"type": "number", "format": "float"}, {"type": "string", "enum": ["A"]}]},
    }
