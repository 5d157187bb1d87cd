from __future__ import annotations

import json

import pytest

from metering.usage import Geography, Speed, Variant
from providers.anthropic.messages import COUNT_TOKENS, MESSAGES, check_betas
from providers.dialect import Refusal, Target
from providers.steps import at_once
from providers.tools.catalog import UNKNOWN
from tests.refused_requests import ANTHROPIC_MESSAGES, FILE

TARGET = Target("claude", pseudonym="p-1")


def body(**members):
    return json.dumps({"model": "claude", "max_tokens": 10, "messages": []} | members).encode()


def user(*blocks):
    return {"messages": [{"role": "user", "content": list(blocks)}]}


def refusal(raw, wire=MESSAGES):
    with pytest.raises(Refusal) as refused:
        at_once(wire.read(raw, None))
    return refused.value


@pytest.mark.parametrize(
    "members",
    [
        {"container": "container_1"},
        {"container": {"id": None, "skills": [{"type": "anthropic", "skill_id": "pptx"}]}},
        *ANTHROPIC_MESSAGES,
    ],
)
@pytest.mark.parametrize("wire", [MESSAGES, COUNT_TOKENS])
def test_what_would_live_at_the_provider_is_refused_with_the_mend(wire, members):
    refused = refusal(body(**members), wire)

    assert refused.code == "privacy_unsupported"
    assert ":" in refused.message


@pytest.mark.parametrize(
    "members",
    [
        {"container": None, "thread": None},
        user({"type": "text", "text": '{"source":{"type":"file"}} container_upload'}),
        user({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "file"}}),
        user({"type": "document", "source": {"type": "url", "url": "https://example.org/file"}}),
        user({"type": "tool_use", "id": "t", "name": "n", "input": {"source": FILE, "type": "file"}}),
        user({"type": "tool_result", "tool_use_id": "t", "content": "plain"}),
        user({"type": "search_result", "source": "https://example.org", "content": []}),
        {"messages": [{"role": "user", "content": "plain"}], "system": "plain"},
    ],
)
def test_what_only_looks_like_it_passes(members):
    assert at_once(MESSAGES.read(body(**members), None)).server_tools == frozenset()


@pytest.mark.parametrize(
    "members",
    [
        {"messages": "odd"},
        {"messages": [5]},
        {"messages": [{"content": [None, {"type": "document", "source": FILE}]}]},
        {"system": ["odd"]},
        {"tools": [None]},
        {"fallbacks": [None]},
        user({"type": "image", "source": 5}),
    ],
)
def test_what_is_of_another_form_than_the_api_s_is_refused(members):
    assert refusal(body(**members)).code == "invalid_request"


def test_what_stands_deeper_than_any_block_is_refused():
    block = '{"type":"tool_result","content":[' * 150 + "]}" * 150
    raw = f'{{"model":"m","messages":[{{"content":[{block}]}}]}}'.encode()

    assert "deeply" in refusal(raw).message


def test_the_head_of_each_operation():
    raw = body(stream=True, speed="fast", inference_geo="us", service_tier="auto")

    head = at_once(MESSAGES.read(raw, None))
    assert (head.model, head.stream, head.output_limit, head.choices) == ("claude", True, 10, 1)
    assert head.variant == Variant(speed=Speed.FAST, geography=Geography.US)
    counted = at_once(COUNT_TOKENS.read(raw, None))
    assert (counted.stream, counted.output_limit) == (False, 0)
    assert [wire.billed for wire in (MESSAGES, COUNT_TOKENS)] == [True, False]
    assert [wire.path("m") for wire in (MESSAGES, COUNT_TOKENS)] == ["/v1/messages", "/v1/messages/count_tokens"]


def test_an_unknown_place_is_another_place():
    assert at_once(MESSAGES.read(body(inference_geo="mars"), None)).variant.geography is Geography.OTHER
    assert at_once(MESSAGES.read(body(inference_geo=None, speed="standard"), None)).variant == Variant()


def test_the_users_id_becomes_the_pseudonym_and_nothing_else_changes():
    raw = b'{"model" : "alias", "metadata": { "user_id" : "user_abc_account_def_session_ghi" }, "messages":[ ]}'
    head = at_once(MESSAGES.read(raw, None))

    assert at_once(MESSAGES.splice(raw, head, TARGET)) == (
        b'{"model" : "alias", "metadata": { "user_id" : "p-1" }, "messages":[ ]}'
    )
    assert at_once(MESSAGES.splice(raw, head, Target("real", alias=True))) == (
        b'{"model" : "real", "metadata": { }, "messages":[ ]}'
    )


@pytest.mark.parametrize("metadata", ["{}", '{"user_id":null}', "null"])
def test_metadata_without_a_user_passes_as_it_is(metadata):
    raw = f'{{"model":"m","metadata":{metadata}}}'.encode()

    assert at_once(MESSAGES.splice(raw, at_once(MESSAGES.read(raw, None)), TARGET)) is raw


@pytest.mark.parametrize("metadata", ['"bob"', "5", '[{"user_id":"bob"}]', "true"])
def test_metadata_that_is_no_object_is_refused(metadata):
    refused = refusal(f'{{"model":"m","metadata":{metadata}}}'.encode())
    assert (refused.code, refused.param) == ("invalid_request", "metadata")


def test_metadata_that_two_parsers_could_read_differently_is_refused():
    assert refusal(b'{"model":"m","metadata":{"user_id":"a","user_id":"b"}}').code == "invalid_request"


@pytest.mark.parametrize(
    ("members", "tools"),
    [
        ({"tools": [{"name": "f", "input_schema": {"type": "object"}}]}, set()),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, {"anthropic_web_search"}),
        ({"mcp_servers": [{"type": "url", "url": "https://example.org"}]}, {"anthropic_mcp"}),
        ({"mcp_servers": []}, set()),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {
                                "type": "tool_addition",
                                "tool": {"type": "tool_definition", "definition": {"type": "web_fetch_20250910"}},
                            }
                        ],
                    }
                ]
            },
            {"anthropic_web_fetch"},
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "tool_addition", "tool": {"definition": {"type": "new_20300101"}}}],
                    }
                ]
            },
            {UNKNOWN},
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "tool_addition", "tool": {"type": "tool_reference", "name": "f"}}],
                    }
                ]
            },
            set(),
        ),
    ],
)
def test_server_tools_are_named_wherever_they_are_defined(members, tools):
    assert at_once(MESSAGES.read(body(**members), None)).server_tools == tools


@pytest.mark.parametrize(
    "beta",
    [
        "files-api-2025-04-14",
        "skills-2025-10-02",
        "code-execution-2025-08-25",
        "message-batches-2024-09-24",
        "mcp-client-2025-11-20",
        "mcp-tunnels-2026-06-22",
        "managed-agents-2026-04-01",
        "agent-memory-2026-07-22",
        "files-api",
        "context-1m-2025-08-07, files-api-2025-04-14",
        "context-1m-2025-08-07,Files-API-2030-01-01 ",
    ],
)
def test_a_beta_that_asks_for_what_is_kept_is_refused(beta):
    with pytest.raises(Refusal) as refused:
        check_betas(["interleaved-thinking-2025-05-14", beta])

    assert (refused.value.code, refused.value.param) == ("privacy_unsupported", "anthropic-beta")


def test_a_thread_is_refused_with_the_code_that_the_sdk_acts_on():
    for raw in (body(thread={"type": "create"}), body(thread={"type": "continue", "previous_message_id": "m"})):
        assert (refusal(raw).code, refusal(raw).param) == ("thread_unsupported_request", "thread")
    with pytest.raises(Refusal) as refused:
        check_betas(["context-1m-2025-08-07,message-threads-2026-08-12"])
    assert (refused.value.code, refused.value.param) == ("thread_unsupported_request", "anthropic-beta")


@pytest.mark.parametrize(
    "beta",
    [
        "",
        "interleaved-thinking-2025-05-14",
        "context-1m-2025-08-07,structured-outputs-2025-11-13",
        "prompt-caching-2024-07-31",
        "claude-code-20250219",
        "fine-grained-tool-streaming-2025-05-14",
        "never-heard-of-2030-01-01",
    ],
)
def test_other_betas_pass(beta):
    check_betas([beta])


def test_a_beta_follows_the_tool_that_it_is_for():
    check_betas(["mcp-client-2025-11-20"], frozenset(("anthropic_mcp",)))
    check_betas(["code-execution-2025-08-25"], frozenset(("anthropic_code_execution",)))
    with pytest.raises(Refusal):
        check_betas(["files-api-2025-04-14"], frozenset(("anthropic_mcp",)))
