from __future__ import annotations

import json

import pytest

from providers.dialect import Refusal, Target
from providers.openai.responses import COMPACT, INPUT_TOKENS, RESPONSES
from providers.steps import at_once
from tests.refused_requests import OPENAI_RESPONSES

ENCRYPTED = "reasoning.encrypted_content"


def body(**members):
    return json.dumps({"model": "gpt", "input": "hi"} | members).encode()


def refusal(raw, wire=RESPONSES):
    with pytest.raises(Refusal) as refused:
        at_once(wire.read(raw, None))
    return refused.value


def spliced(raw, wire=RESPONSES, **target):
    return at_once(wire.splice(raw, at_once(wire.read(raw, None)), Target("real", **target)))


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"conversation": {"id": "conv_1"}}, "conversation"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"background": True}, "background"),
        *((members, next(iter(members))) for members in OPENAI_RESPONSES if "memory_limit" not in str(members)),
    ],
)
@pytest.mark.parametrize("wire", [RESPONSES, COMPACT, INPUT_TOKENS])
def test_what_would_live_at_the_provider_is_refused_with_the_mend(wire, members, param):
    refused = refusal(body(**members), wire)

    assert (refused.code, refused.param) == ("privacy_unsupported", param)
    assert ":" in refused.message


@pytest.mark.parametrize(
    "tools",
    [
        [{"type": "code_interpreter", "container": {"type": "auto", "memory_limit": "4g"}}],
        [{"type": "code_interpreter", "container": {"type": "auto", "memory_limit": 4}}],
        [{"type": "shell", "environment": {"type": "container_auto", "memory_limit": "64g"}}],
    ],
)
def test_a_container_of_a_size_without_a_price_is_refused(tools):
    for members in ({"tools": tools}, {"input": [{"type": "tool_search_output", "tools": tools}]}):
        refused = refusal(body(**members))
        assert (refused.code, refused.param) == ("unsupported_feature", "tools")
        assert "memory_limit" in refused.message


@pytest.mark.parametrize(
    "members",
    [
        {"tools": [{"type": "code_interpreter", "container": {"type": "auto", "memory_limit": "1g"}}]},
        {"tools": [{"type": "code_interpreter", "container": {"type": "auto", "memory_limit": None}}]},
        {"previous_response_id": None, "conversation": None, "prompt": None, "background": False},
        {"input": "item_reference file_id"},
        {"input": [{"role": "user", "content": "item_reference"}]},
        {"input": [{"type": "reasoning", "id": "rs_1", "encrypted_content": "x", "summary": []}]},
        {"input": [{"id": "msg_1", "role": "assistant", "content": [{"type": "output_text", "text": "x"}]}]},
        {"input": [{"type": "message", "role": "user", "content": [{"type": "input_file", "file_data": "x"}]}]},
        {"input": [{"type": "message", "role": "user", "content": [{"type": "input_image", "file_id": None}]}]},
        {
            "input": [
                {
                    "role": "assistant",
                    "content": [{"type": "output_text", "annotations": [{"type": "file_citation", "file_id": "f"}]}],
                }
            ]
        },
        {"input": [{"type": "function_call", "arguments": '{"type":"item_reference"}'}]},
        {"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]},
    ],
)
def test_what_only_looks_like_it_passes(members):
    at_once(RESPONSES.read(body(**members), None))


@pytest.mark.parametrize("value", [5, [5], ["text"], [None], [[]], [{"role": "user", "content": [None]}]])
@pytest.mark.parametrize("name", ["input", "tools", "tool_choice", "instructions"])
def test_what_is_of_another_form_than_the_api_s_is_refused(name, value):
    assert refusal(body(**{name: value})).code == "invalid_request"


def test_a_reference_is_found_however_it_is_escaped():
    raw = b'{"model":"m","input":[{"t\\u0079pe":"item\\u005freference","id":"x"}]}'

    assert refusal(raw).param == "input"


@pytest.mark.parametrize(
    ("include", "sent"),
    [
        ("", [ENCRYPTED]),
        (',"include":null', [ENCRYPTED]),
        (',"include":[]', [ENCRYPTED]),
        (',"include":[ ]', [ENCRYPTED]),
        (',"include":["file_search_call.results"]', ["file_search_call.results", ENCRYPTED]),
        (',"include":["reasoning.encrypted_content" ]', [ENCRYPTED]),
        (',"include":["reasoning\\u002eencrypted_content"]', [ENCRYPTED]),
        (',"include":"odd"', "odd"),
    ],
)
def test_reasoning_travels_with_the_items_when_storing_was_not_off(include, sent):
    raw = b'{"model":"m","input":"x"' + include.encode() + b"}"

    assert json.loads(spliced(raw, reasons=True)) == {"model": "m", "input": "x", "store": False, "include": sent}


def test_reasoning_is_not_asked_for_when_the_caller_does_without_storing_or_the_model_does_not_reason():
    raw = b'{"model":"m","input":"x","store":false}'

    assert spliced(raw, reasons=True) is raw
    raw = b'{"model":"m","input":"x"}'
    assert json.loads(spliced(raw)) == {"model": "m", "input": "x", "store": False}


def test_the_other_operations_get_no_members_that_they_do_not_know():
    raw = b'{"model":"m","input":"x"}'

    for wire in (COMPACT, INPUT_TOKENS):
        assert spliced(raw, wire, reasons=True) is raw
        assert spliced(b'{"model":"m","input":"x","store":true}', wire) == raw


def test_the_head_of_each_operation():
    raw = body(stream=True, max_output_tokens=9)

    assert [at_once(RESPONSES.read(raw, None)).stream, at_once(COMPACT.read(raw, None)).stream] == [True, False]
    assert [at_once(wire.read(raw, None)).output_limit for wire in (RESPONSES, COMPACT, INPUT_TOKENS)] == [9, 9, 0]
    assert [wire.billed for wire in (RESPONSES, COMPACT, INPUT_TOKENS)] == [True, True, False]
    assert [wire.path("m") for wire in (RESPONSES, COMPACT, INPUT_TOKENS)] == [
        "/v1/responses",
        "/v1/responses/compact",
        "/v1/responses/input_tokens",
    ]
    assert at_once(RESPONSES.read(raw, None)).wants_usage


def test_tools_that_come_with_the_conversation_count_too():
    raw = body(
        tools=[{"type": "function", "name": "f"}],
        input=[{"type": "additional_tools", "role": "developer", "tools": [{"type": "web_search"}]}],
    )

    assert at_once(RESPONSES.read(raw, None)).server_tools == {"openai_web_search"}


def test_people_go_out_here_too():
    raw = b'{"model":"m","user":"bob","input":[],"metadata":{"a":"b"},"prompt_cache_key":"k","store":false}'

    assert spliced(raw, pseudonym="p") == b'{"model":"m","input":[],"prompt_cache_key":"p","store":false}'
