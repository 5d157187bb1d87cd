"""A conversation as a chat request."""

import json

from providers.conversation.conversation import (
    Conversation,
    Image,
    Role,
    Sampling,
    Text,
    Tool,
    ToolResult,
    ToolUse,
    Turn,
    Use,
)
from providers.openai.chat_writer import write_request


def write(*turns, **members):
    return json.loads(write_request(Conversation(turns=turns, **members), "m"))


def user(*parts):
    return Turn(Role.USER, parts)


def assistant(*parts):
    return Turn(Role.ASSISTANT, parts)


def test_the_least():
    assert write(user(Text("hi"))) == {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": False}


def test_a_conversation_with_a_tool():
    body = write(
        user(Text("a"), Text("b")),
        assistant(Text("I look."), ToolUse("t1", "f", b'{"n": 1.0}'), ToolUse("t2", "f", b"{}")),
        user(ToolResult("t1", "one"), ToolResult("t2", "two"), Text("go on")),
        assistant(ToolUse("t3", "f", b"{}")),
        user(ToolResult("t3", "three")),
        system="brief",
    )
    assert body["messages"] == [
        {"role": "system", "content": "brief"},
        {"role": "user", "content": "a\n\nb"},
        {
            "role": "assistant",
            "content": "I look.",
            "tool_calls": [
                {"id": "t1", "type": "function", "function": {"name": "f", "arguments": '{"n": 1.0}'}},
                {"id": "t2", "type": "function", "function": {"name": "f", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "t1", "content": "one"},
        {"role": "tool", "tool_call_id": "t2", "content": "two"},
        {"role": "user", "content": "go on"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "t3", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "t3", "content": "three"},
    ]


def test_images_stay_in_their_place_and_follow_a_result():
    body = write(
        user(ToolResult("t", "seen", (Image("image/png", "AA=="),)), Text("what?"), Image("image/gif", "BB=="))
    )
    assert body["messages"] == [
        {"role": "tool", "tool_call_id": "t", "content": "seen"},
        {
            "role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
                {"type": "text", "text": "what?"},
                {"type": "image_url", "image_url": {"url": "data:image/gif;base64,BB=="}},
            ],
        },
    ]


def test_tools():
    tools = (Tool("f", "d", b'{"type": "object"}'), Tool("g", ""))
    body = write(user(Text("x")), tools=tools, use=Use.REQUIRED, tool="f", parallel=False)
    assert body["tools"] == [
        {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}},
        {"type": "function", "function": {"name": "g"}},
    ]
    assert body["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    assert body["parallel_tool_calls"] is False
    assert write(tools=tools, use=Use.REQUIRED)["tool_choice"] == "required"
    strings = json.loads(
        write_request(Conversation((), tools=tools, use=Use.REQUIRED, tool="g"), "m", named_choice=False)
    )
    assert (strings["tools"], strings["tool_choice"]) == ([{"type": "function", "function": {"name": "g"}}], "required")
    assert "tool_choice" not in write(use=Use.AUTO)  # without tools a choice is an error


def test_sampling_and_form():
    sampling = Sampling(9, 0.0, 0.5, 3, 4, 0.1, 0.2, ("END",))
    body = write(sampling=sampling, json=True, schema=b'{"type":"integer"}', stream=True)
    assert {name: body[name] for name in ("max_tokens", "temperature", "top_p", "top_k", "seed", "presence_penalty", "frequency_penalty", "stop")} == {
        "max_tokens": 9, "temperature": 0.0, "top_p": 0.5, "top_k": 3, "seed": 4, "presence_penalty": 0.1, "frequency_penalty": 0.2, "stop": ["END"],
    }  # fmt: skip
    assert body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": {"type": "integer"}, "strict": True},
    }
    assert body["stream_options"] == {"include_usage": True}
    assert write(json=True)["response_format"] == {"type": "json_object"}
