"""Content comes inside of the request, or not at all."""

import json

import pytest

from providers.dialect import Operation, Refusal
from providers.local.remote_references import refuse_remote_references

URL = "https://example.test/a.png"
DATA = "data:image/png;base64,AA=="


def chat(url):
    return {
        "messages": [
            {
                "role": "user",
                "content": [{"type": "text", "text": URL}, {"type": "image_url", "image_url": {"url": url}}],
            }
        ]
    }


def chat_string(url):
    return {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": url}]}]}


def video(url):
    return {"messages": [{"role": "user", "content": [{"type": "video_url", "video_url": {"url": url}}]}]}


def responses(url):
    return {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": url}]}]}


def responses_file(url):
    return {"input": [{"role": "user", "content": [{"type": "input_file", "file_url": url}]}]}


def responses_output(url):
    return {"input": [{"type": "function_call_output", "output": [{"type": "input_image", "image_url": url}]}]}


def anthropic(url):
    source = {"type": "url", "url": url} if url == URL else {"type": "base64", "data": "AA=="}
    return {"messages": [{"role": "user", "content": [{"type": "image", "source": source}]}]}


def anthropic_result(url):
    [message] = anthropic(url)["messages"]
    return {"messages": [{"role": "user", "content": [{"type": "tool_result", "content": message["content"]}]}]}


CASES = [
    (Operation.OPENAI_CHAT, chat),
    (Operation.OPENAI_CHAT, chat_string),
    (Operation.OPENAI_CHAT, video),
    (Operation.OPENAI_RESPONSES, responses),
    (Operation.OPENAI_RESPONSES, responses_file),
    (Operation.OPENAI_RESPONSES, responses_output),
    (Operation.ANTHROPIC_MESSAGES, anthropic),
    (Operation.ANTHROPIC_MESSAGES, anthropic_result),
    (Operation.ANTHROPIC_COUNT_TOKENS, anthropic),
]


@pytest.mark.parametrize(("operation", "make"), CASES)
def test_an_address_is_refused_and_data_is_not(operation, make):
    refuse_remote_references(operation, json.dumps(make(DATA)).encode())
    with pytest.raises(Refusal) as caught:
        refuse_remote_references(operation, json.dumps(make(URL)).encode())
    assert caught.value.code == "unsupported_feature"


@pytest.mark.parametrize("url", ["http://127.0.0.1/x", "file:///etc/passwd", "//host/x", "ftp://x", ""])
def test_no_other_scheme_than_data(url):
    with pytest.raises(Refusal):
        refuse_remote_references(Operation.OPENAI_CHAT, json.dumps(chat(url)).encode())


def test_what_tools_are_called_with_is_text():
    body = {
        "messages": [
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "input": {"image_url": URL, "source": {"type": "url", "url": URL}}}],
            },
            {"role": "user", "content": URL},
        ],
        "tools": [{"input_schema": {"properties": {"url": {"type": "string"}}}}],
    }
    refuse_remote_references(Operation.ANTHROPIC_MESSAGES, json.dumps(body).encode())


def test_odd_forms_are_left_to_the_engine():
    for body in (b'{"messages":1}', b'{"messages":[1,{"content":[1,null]}]}', b'{"input":"text"}', b"{}"):
        for operation in (Operation.OPENAI_CHAT, Operation.OPENAI_RESPONSES, Operation.ANTHROPIC_MESSAGES):
            refuse_remote_references(operation, body)
