from __future__ import annotations

import json

import pytest

from metering.usage import ServiceTier
from providers.dialect import Operation, Refusal, Target
from providers.openai.chat import WIRE
from providers.steps import at_once
from tests.refused_requests import OPENAI_CHAT

TARGET = Target("gpt-real", pseudonym="p-1")


def body(**members):
    return json.dumps({"model": "gpt", "messages": [{"role": "user", "content": "hi"}]} | members).encode()


def spliced(raw, target=TARGET):
    return at_once(WIRE.splice(raw, at_once(WIRE.read(raw, None)), target))


def refusal(raw):
    with pytest.raises(Refusal) as refused:
        at_once(WIRE.read(raw, None))
    return refused.value


def test_the_head_holds_what_is_acted_on():
    head = at_once(
        WIRE.read(
            body(
                stream=True,
                max_tokens=10,
                max_completion_tokens=20,
                n=3,
                service_tier="flex",
                stream_options={"include_usage": True},
                tools=[{"type": "function", "function": {"name": "f"}}],
            ),
            None,
        )
    )

    assert (head.model, head.stream, head.output_limit, head.choices) == ("gpt", True, 20, 3)
    assert head.wants_usage
    assert head.variant.tier is ServiceTier.FLEX
    assert head.server_tools == frozenset()
    assert WIRE.operation is Operation.OPENAI_CHAT
    assert WIRE.path("gpt") == "/v1/chat/completions"


@pytest.mark.parametrize(
    ("members", "wants"),
    [
        ({}, True),
        ({"stream": True}, False),
        ({"stream": True, "stream_options": None}, False),
        ({"stream": True, "stream_options": {}}, False),
        ({"stream": True, "stream_options": {"include_usage": False}}, False),
        ({"stream": True, "stream_options": {"include_usage": 1}}, False),
        ({"stream": True, "stream_options": {"include_usage": True}}, True),
        ({"stream": False, "stream_options": {"include_usage": False}}, True),
    ],
)
def test_only_a_stream_that_asked_sees_the_usage_chunk(members, wants):
    assert at_once(WIRE.read(body(**members), None)).wants_usage is wants


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        ("", {"include_usage": True}),
        (', "stream_options": null', {"include_usage": True}),
        (', "stream_options": {}', {"include_usage": True}),
        (', "stream_options": {"include_usage": false}', {"include_usage": True}),
        (
            ', "stream_options": {"include_obfuscation": false}',
            {"include_usage": True, "include_obfuscation": False},
        ),
    ],
)
def test_the_usage_switch_is_turned_on_for_streams(options, sent):
    raw = b'{"model": "gpt", "stream": true, "store": false' + options.encode() + b"}"

    assert json.loads(spliced(raw)) == {"model": "gpt", "stream": True, "store": False, "stream_options": sent}


def test_the_usage_switch_is_left_alone_where_nothing_streams_or_the_host_does_not_know_it():
    raw = b'{"model":"gpt","stream":true,"store":false}'

    assert spliced(raw, Target("gpt", include_usage=False)) is raw
    raw = b'{"model":"gpt","store":false}'
    assert spliced(raw) is raw


def test_a_usage_switch_that_two_parsers_could_read_differently_is_refused():
    raw = b'{"model":"gpt","stream":true,"stream_options":{"include_usage":false,"include_usage":true}}'

    assert refusal(raw).code == "invalid_request"


@pytest.mark.parametrize(
    ("sent", "knows", "forwarded"),
    [
        ("", True, {"store": False}),
        (', "store": true', True, {"store": False}),
        (', "store": null', True, {"store": False}),
        (', "store": false', True, {"store": False}),
        ("", False, {}),
        (', "store": true', False, {}),
        (', "store": false', False, {}),
    ],
)
def test_storing_is_forced_off(sent, knows, forwarded):
    raw = b'{"model": "gpt"' + sent.encode() + b"}"

    assert json.loads(spliced(raw, Target("gpt", store=knows))) == {"model": "gpt"} | forwarded


def test_what_identifies_people_goes_out_or_becomes_the_pseudonym():
    raw = b"""{
  "user": "bob@example.org",
  "model": "gpt",
  "metadata": {"repo": "/home/bob/secret"},
  "client_metadata": {"x": "y"},
  "prompt_cache_key": "bob",
  "safety_identifier": "bob",
  "store": false,
  "messages": [ ]
}"""

    assert (
        spliced(raw)
        == b"""{
  "model": "gpt",
  "prompt_cache_key": "p-1",
  "safety_identifier": "p-1",
  "store": false,
  "messages": [ ]
}"""
    )


def test_without_a_pseudonym_its_members_go_out_and_null_stays():
    raw = b'{"model":"gpt","store":false,"prompt_cache_key":"bob","safety_identifier":null}'

    assert spliced(raw, Target("gpt")) == b'{"model":"gpt","store":false,"safety_identifier":null}'


def test_the_alias_becomes_the_providers_name():
    raw = b'{ "model" : "alias" , "store": false }'

    assert spliced(raw, Target("real", alias=True)) == b'{ "model" : "real" , "store": false }'
    assert spliced(raw, Target("real")) is raw


@pytest.mark.parametrize("members", OPENAI_CHAT)
def test_a_file_that_the_provider_keeps_is_refused(members):
    assert refusal(body(**members)).code == "privacy_unsupported"


@pytest.mark.parametrize(
    "messages",
    [
        None,
        [],
        [{"role": "assistant", "content": None}],
        [{"role": "user", "content": 'the words file_id and {"file":{"file_id":"f"}}'}],
        [{"role": "user", "content": [{"type": "file", "file": {"file_data": "data:...", "filename": "f"}}]}],
        [{"role": "user", "content": [{"type": "file", "file": {"file_id": None, "file_data": "x"}}]}],
    ],
)
def test_what_only_looks_like_a_file_passes(messages):
    at_once(WIRE.read(body(messages=messages), None))


@pytest.mark.parametrize(
    "messages",
    [
        "not a list",
        [1, 2],
        [{"role": "user", "content": 5}],
        [{"role": "user", "content": [5]}],
        [{"role": "user", "content": [{"type": "text", "text": "x"}, None]}],
        [{"role": "user", "content": [{"type": "file", "file": 5}]}],
        [{"role": "user", "content": [{"type": "file", "file": "file-1"}]}],
    ],
)
def test_what_is_of_another_form_than_the_api_s_is_refused(messages):
    assert refusal(body(messages=messages)).code == "invalid_request"


def test_a_file_id_is_found_however_it_is_escaped():
    raw = b'{"model":"m","messages":[{"content":[{"f\\u0069le":{"file\\u005fid":"f"}}]}]}'

    assert refusal(raw).code == "privacy_unsupported"


@pytest.mark.parametrize(
    ("members", "tools"),
    [
        ({"web_search_options": {}}, {"openai_web_search"}),
        ({"web_search_options": None}, set()),
        ({"plugins": [{"id": "web"}]}, {"openrouter_plugins"}),
        ({"plugins": []}, set()),
        ({"enable_search": True}, {"qwen_search"}),
        ({"enable_search": False}, set()),
        ({"search_parameters": {"mode": "auto"}}, {"xai_live_search"}),
        ({"tools": [{"type": "openrouter:web_search"}]}, {"openrouter_web_search"}),
    ],
)
def test_members_that_switch_on_server_tools_are_named(members, tools):
    assert at_once(WIRE.read(body(**members), None)).server_tools == tools


def test_a_list_of_further_models_is_refused():
    assert refusal(body(models=["other"])).code == "unsupported_feature"
    at_once(WIRE.read(body(models=[]), None))


def test_odd_types_are_the_providers_business():
    raw = body(temperature="hot", brand_new=[{"x": 1}], max_tokens="many", n=None, tools=[], store=False)

    head = at_once(WIRE.read(raw, None))
    assert (head.output_limit, head.choices) == (None, 1)
    assert spliced(raw) is raw


def test_a_stream_flag_of_another_type_is_refused():
    assert refusal(body(stream="yes")).param == "stream"
