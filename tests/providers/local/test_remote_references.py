"""Content comes inside of the request, or not at all, however its members are spelled."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.dialect import Refusal
from providers.local.remote_references import refuse_remote_references

URL = "https://example.test/a.png"
DATA = "data:image/png;base64,AA=="
BASE64 = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwC"


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


def gemini(url):
    return {"contents": [{"parts": [{"fileData": {"mimeType": "image/png", "fileUri": url}}]}]}


def part(value):
    return {"messages": [{"role": "user", "content": [value]}]}


def lone_item(url):
    return {"input": {"role": "user", "content": {"type": "input_image", "image_url": url}}}


FORMS = [chat, chat_string, video, responses, responses_file, responses_output, anthropic, anthropic_result, gemini]
FORMS += [
    lone_item,
    lambda url: part({"type": "input_image", "input_image": url}),
    lambda url: part({"image_url": None, "image": url}),
    lambda url: part({"image": {"url": url}}),
    lambda url: part({"type": "image_file", "imageFile": url}),
    lambda url: part({"video": [url]}),
    lambda url: part({"type": "text", "text": "x", "href": url}),
    lambda url: {"messages": [{"role": "user", "content": "x", "images": [url]}]},
    lambda url: {"messages": [], "options": {"deep": [{"picture": url}]}},
]
SPELLED = [
    b'{"messages":[{"content":[{"type":"image_url","IMAGE_URL":{"url":"%s"}}]}]}',
    b'{"messages":[{"content":[{"type":"image_url","image_url":{"URL":"%s"}}]}]}',
    b'{"messages":[{"content":[{"type":"image_url","image_\\u0075rl":{"url":"%s"}}]}]}',
    b'{"messages":[{"content":[{"image_url":{"url":"%s"},"image_url":{"url":"data:image/png;base64,AA=="}}]}]}',
    b'{"messages":[{"content":[{"image_url":{"url":"%s","url":"data:image/png;base64,AA=="}}]}]}',
    b'{"messages":[{"content":[{"image_url":{"url":"data:image/png;base64,AA==","url":"%s"}}]}]}',
    b'{"Messages":[{"Content":[{"image_url":{"url":"%s"}}]}]}',
    b'{"messages":[{"content":[{"type":"tool_use","type":"text","input":{"url":"%s"}}]}]}',
]
ADDRESSES = [
    *(URL, "HTTP://x.test/a", "http:x.test", "file:///etc/passwd", "//host.test/x", "\\\\host.test\\x", "ftp://x", ""),
    *("\thttps://x.test", "gs://bucket/a", "a.png", "/etc/passwd", "data:@http://x.test/a.png", "data:,http://x.test"),
    *("data:image/png;base64,AA==@http://x.test", "\uff48ttps://x.test/a"),
]


def refused(body):
    with pytest.raises(Refusal) as caught:
        refuse_remote_references(body if isinstance(body, bytes) else json.dumps(body).encode())
    return caught.value.code


@pytest.mark.parametrize("make", FORMS)
def test_an_address_is_refused_and_data_is_not(make):
    refuse_remote_references(json.dumps(make(DATA)).encode())
    assert refused(make(URL)) == "unsupported_feature"


@pytest.mark.parametrize("template", SPELLED)
def test_an_address_under_a_name_that_some_reader_takes_for_the_known_one(template):
    assert refused(template % URL.encode()) in {"unsupported_feature", "invalid_request"}


@pytest.mark.parametrize("url", ADDRESSES)
def test_no_other_scheme_than_data(url):
    assert refused(chat(url)) == "unsupported_feature"


@pytest.mark.parametrize("url", [*ADDRESSES[:3], *ADDRESSES[4:6], ADDRESSES[-1]])
def test_an_address_is_one_under_every_name(url):
    assert refused({"documents": [{"place": url}]}) == "unsupported_feature"
    assert refused(part({"type": "made_up", "made_up": {"deep": [url]}})) == "unsupported_feature"


@pytest.mark.parametrize("name", ["mcp_servers", "MCP_SERVERS", "mcpServers", "kv_transfer_params", "server_url"])
def test_no_member_names_another_machine(name):
    assert refused({"messages": [], name: [{"port": 80}]}) == "unsupported_feature"
    assert refused({"messages": [], "extra": {name: {"port": 80}}}) == "unsupported_feature"
    refuse_remote_references(json.dumps({"messages": [], name: None}).encode())


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "user", "content": "x", "images": [BASE64]}]},
        part({"type": "input_audio", "input_audio": {"data": "//NkxAAAAANIAAAAAExB", "format": "mp3"}}),
        part({"type": "file", "file": {"filename": "C:\\a.pdf", "file_data": BASE64}}),
        part({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": URL}}),
        part({"type": "search_result", "source": URL, "title": URL, "content": [{"type": "text", "text": URL}]}),
        part({"type": "output_text", "text": URL, "annotations": [{"type": "url_citation", "url": URL}]}),
        {"messages": [{"role": "user", "content": [URL]}], "model": "hf.co/a/b:Q4", "stop": [URL]},
        {"input": [{"type": "function_call", "arguments": URL}, {"type": "function_call_output", "output": URL}]},
        {"contents": [{"parts": [{"functionResponse": {"name": "x", "response": {"url": URL}}}]}]},
        {"prompt": [URL], "response_format": {"type": "json_schema", "json_schema": {"schema": {"$schema": URL}}}},
        {"tools": [{"type": "function", "function": {"description": URL, "parameters": {"$id": URL}}}]},
    ],
)
def test_text_and_data_pass(body):
    refuse_remote_references(json.dumps(body).encode())


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
    refuse_remote_references(json.dumps(body).encode())


def test_odd_forms_are_left_to_the_engine():
    for body in (b'{"messages":1}', b'{"messages":[1,{"content":[1,null]}]}', b'{"input":"text"}', b"{}"):
        refuse_remote_references(body)


def _other_case(draw, name):
    return "".join(draw(st.sampled_from((letter.lower(), letter.upper()))) for letter in name)


def _mutated(draw, value):
    """The same request in other spellings: case, an underscore less, a list around a value, an unknown object around."""
    if isinstance(value, dict):
        changed = {}
        for name, inner in value.items():
            spelled = draw(st.sampled_from((name, _other_case(draw, name), name.replace("_", ""))))
            changed[spelled] = _mutated(draw, inner)
        return changed
    if isinstance(value, list):
        return [_mutated(draw, inner) for inner in value]
    return draw(st.sampled_from((value, [value], {"unheard_of": value}))) if value == URL else value


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_spelling_of_a_refused_request_passes(data):
    body = _mutated(data.draw, data.draw(st.sampled_from(FORMS))(URL))
    refused(body)
