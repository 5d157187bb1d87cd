"""What a Messages request says, as a conversation; what chat has no place for is refused."""

import contextlib
import json

import pytest

from providers.anthropic.reader import read_conversation
from providers.conversation.conversation import OMITTED, Image, Role, Text, ToolResult, ToolUse, Use
from providers.dialect import Refusal


def read(**members):
    return read_conversation(json.dumps({"model": "m", "max_tokens": 10, "messages": [], **members}).encode())


def parts(*blocks, role="user"):
    [turn] = read(messages=[{"role": role, "content": list(blocks)}]).turns
    return turn.parts


def test_strings_are_texts():
    found = read(
        system="be brief", messages=[{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo"}]
    )
    assert found.system == "be brief"
    assert [(turn.role, turn.parts[0].text) for turn in found.turns] == [(Role.USER, "hi"), (Role.ASSISTANT, "yo")]


def test_a_system_prompt_of_blocks():
    assert (
        read(
            system=[
                {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}},
                {"type": "text", "text": "b"},
            ]
        ).system
        == "a\n\nb"
    )


def test_an_image_and_a_plain_document():
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
    document = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}}
    [first, second] = parts(image, document)
    assert isinstance(first, Image)
    assert (first.media_type, first.data) == ("image/png", "AAAA")
    assert isinstance(second, Text)
    assert second.text == "words"


def test_a_call_keeps_the_bytes_of_its_arguments():
    body = b'{"model":"m","max_tokens":1,"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"t1","name":"f","input":{"n": 1.0, "big":12345678901234567890123}}]}]}'
    [call] = read_conversation(body).turns[0].parts
    assert isinstance(call, ToolUse)
    assert call.arguments == b'{"n": 1.0, "big":12345678901234567890123}'


@pytest.mark.parametrize(
    ("content", "text", "images"),
    [
        (None, "", 0),
        ("plain", "plain", 0),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "a\n\nb", 0),
        ([{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}], "", 1),
    ],
)
def test_a_result(content, text, images):
    [result] = parts({"type": "tool_result", "tool_use_id": "t1", "content": content, "is_error": True})
    assert isinstance(result, ToolResult)
    assert (result.id, result.text, len(result.images)) == ("t1", text, images)


PDF = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AA=="}, "title": "t"}


@pytest.mark.parametrize(
    ("block", "text"),
    [
        (PDF, "t\n\n" + OMITTED),
        ({"type": "tool_reference", "tool_name": "write"}, "Tool: write"),
        (
            {
                "type": "search_result",
                "source": "https://a.test",
                "title": "A",
                "content": [{"type": "text", "text": "b"}],
            },
            "A\nhttps://a.test\n\nb",
        ),
        ({"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "c"}]}}, "c"),
        ({"type": "document", "source": {"type": "content", "content": "c"}, "context": "d"}, "d\n\nc"),
    ],
)
def test_what_results_hold_is_told_as_text(block, text):
    [result] = parts({"type": "tool_result", "tool_use_id": "t1", "content": [block]})
    assert result.text == text


def test_a_document_of_the_user_s_is_left_out_in_words():
    assert [part.text for part in parts(PDF, {"type": "text", "text": "what?"})] == ["t", OMITTED, "what?"]


def test_system_messages_join_the_system_prompt_in_order():
    found = read(
        system=[{"type": "text", "text": "a"}],
        messages=[
            {"role": "system", "content": [{"type": "text", "text": "b"}]},
            {"role": "user", "content": "hi"},
            {"role": "system", "content": "c"},
            {"role": "user", "content": "again"},
            {"role": "assistant", "content": "yo"},
        ],
    )
    assert found.system == "a\n\nb\n\nc"
    assert [(turn.role, [part.text for part in turn.parts]) for turn in found.turns] == [
        (Role.USER, ["hi", "again"]),
        (Role.ASSISTANT, ["yo"]),
    ]


@pytest.mark.parametrize("depth", [300, 5_000])
def test_nesting_is_refused_and_never_raises(depth):
    body = (
        b'{"messages":[{"role":"user","content":' + b'[{"type":"document","source":{"type":"content","content":' * depth
    )
    body += b'"x"' + b"}}]" * depth + b"}]}"
    with contextlib.suppress(Refusal):
        read_conversation(body)


def test_earlier_thoughts_are_left_out():
    assert (
        parts(
            {"type": "thinking", "thinking": "hm", "signature": "s"},
            {"type": "redacted_thinking", "data": "x"},
            role="assistant",
        )
        == ()
    )


@pytest.mark.parametrize(
    ("choice", "use", "name", "parallel"),
    [
        ({"type": "auto"}, Use.AUTO, "", None),
        ({"type": "any", "disable_parallel_tool_use": True}, Use.REQUIRED, "", False),
        ({"type": "tool", "name": "f", "disable_parallel_tool_use": False}, Use.REQUIRED, "f", True),
        ({"type": "none"}, Use.NONE, "", None),
    ],
)
def test_tools_and_their_choice(choice, use, name, parallel):
    found = read(tools=[{"name": "f", "description": "d", "input_schema": {"type": "object"}}], tool_choice=choice)
    assert (found.use, found.tool, found.parallel) == (use, name, parallel)
    assert (found.tools[0].name, found.tools[0].description, found.tools[0].parameters) == (
        "f",
        "d",
        b'{"type": "object"}',
    )


def test_sampling_and_form():
    schema = {"type": "object", "properties": {}}
    found = read(
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        stop_sequences=["END"],
        stream=True,
        output_config={"format": {"type": "json_schema", "schema": schema}},
    )
    sampling = found.sampling
    assert (sampling.max_tokens, sampling.temperature, sampling.top_p, sampling.top_k, sampling.stop) == (
        10,
        0.5,
        0.9,
        40,
        ("END",),
    )
    assert (found.stream, found.json, json.loads(found.schema)) == (True, True, schema)


@pytest.mark.parametrize(
    ("thinking", "shown"),
    [
        (None, False),
        ({"type": "disabled"}, False),
        ({"type": "enabled", "budget_tokens": 1024}, True),
        ({"type": "adaptive"}, True),
        ({"type": "adaptive", "display": "omitted"}, False),
    ],
)
def test_thoughts_are_shown_to_who_asked(thinking, shown):
    assert read(thinking=thinking).reasoning is shown


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image", "source": {"type": "url", "url": "https://example.test/a.png"}},
        {"type": "document", "source": {"type": "url", "url": "https://example.test/a.pdf"}},
        {"type": "document", "source": {"type": "file", "file_id": "f"}},
        {"type": "search_result", "source": {"type": "text"}, "content": []},
        {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "browser_state", "tabs": []}]},
        {"type": "tool_use", "id": "t", "name": "f", "input": {}},
        {"type": "something_new"},
    ],
)
def test_what_chat_has_no_place_for(block):
    with pytest.raises(Refusal) as caught:
        parts(block)
    assert caught.value.code == "unsupported_feature"


def test_a_tool_of_anthropic_s_own():
    with pytest.raises(Refusal) as caught:
        read(tools=[{"type": "bash_20250124", "name": "bash"}])
    assert (caught.value.code, caught.value.param) == ("unsupported_feature", "tools")


@pytest.mark.parametrize(
    "members",
    [
        {"messages": 1},
        {"messages": [{"role": "king", "content": "x"}]},
        {"tool_choice": {"type": "x"}},
        {"tool_choice": {"type": "tool", "name": "f"}, "tools": [{"name": "g", "input_schema": {}}]},
        {"messages": [{"role": "system", "content": 1}]},
        {"max_tokens": "ten"},
    ],
)
def test_another_form(members):
    with pytest.raises(Refusal) as caught:
        read(**members)
    assert caught.value.code == "invalid_request"
    assert caught.value.__cause__ is None
