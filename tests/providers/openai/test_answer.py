from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.usage import ServiceTier, Usage, Variant
from providers.dialect import Head
from providers.openai.answer import ChatStream, ResponsesStream, read_chat, read_counted, read_embeddings, read_response
from tests.strategies import cut_up, every_byte

HEAD = Head(model="m", stream=True, variant=Variant(tier=ServiceTier.PRIORITY))
FORGED = {"usage": {"prompt_tokens": 999, "completion_tokens": 999, "input_tokens": 999, "output_tokens": 999}}
USAGE = {"input_tokens": 7, "output_tokens": 3, "input_tokens_details": {"cached_tokens": 2}, "total_tokens": 10}
COUNTED = Usage(in_uncached=5, cache_read=2, out_visible=3)


def named(kind: str, **members: object) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **members})}\n\n".encode()


def response(status: str = "completed", **members: object) -> dict:
    return {"id": "resp_1", "status": status, "error": None, "max_output_tokens": None, "output": [], **members}


CREATED = named("response.created", response=response("in_progress", usage=None))
DELTA = named("response.output_text.delta", delta='{"usage":{"input_tokens":1}}', logprobs=[])
ITEM = named("response.output_item.done", item={"type": "mcp_call", "arguments": json.dumps(FORGED), **FORGED})


def responses(*blocks: bytes, head: Head = HEAD) -> ResponsesStream:
    scanner = ResponsesStream(head)
    for block in blocks:
        assert scanner.feed(block) is block
    scanner.finish()
    return scanner


@pytest.mark.parametrize(
    ("body", "shaped"),
    [
        ({"data": [{"embedding": [0.1]}]}, True),
        ({"data": [], "usage": {"prompt_tokens": 3, "total_tokens": 3}}, True),
        ({"data": []}, False),
        ({"data": [], "usage": {}}, False),
        ({"data": None, "usage": {"prompt_tokens": 3}}, False),
    ],
)
def test_embeddings_without_vectors_and_counts_are_no_answer(body, shaped):
    assert read_embeddings(json.dumps(body).encode(), HEAD).shaped is shaped


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": 3, "total_tokens": 3}, 3),
        ({"total_tokens": 3}, 3),
        ({"total_tokens": 3, "completion_tokens": None}, 3),
        ({}, None),
    ],
)
def test_the_total_of_embeddings_is_their_input(usage, tokens):
    found = read_embeddings(json.dumps({"data": [{}], "usage": usage}).encode(), HEAD).report
    assert (None if found.usage is None else found.usage.in_uncached, found.suspect) == (tokens, False)


@given(
    st.sampled_from(["completed", "incomplete", "failed"]).flatmap(
        lambda end: st.tuples(
            st.just(end),
            cut_up(
                st.just(
                    CREATED
                    + DELTA * 3
                    + ITEM
                    + named(
                        f"response.{end}", response=response(end, usage=USAGE, service_tier="flex", output=[FORGED])
                    )
                )
            ),
        )
    )
)
def test_a_responses_stream(case):
    end, (_, pieces) = case
    scanner = responses(*pieces)
    assert scanner.report().usage == COUNTED
    assert scanner.report().variant == Variant(tier=ServiceTier.FLEX)
    assert scanner.ended == (end != "failed")
    assert (scanner.error is not None) == (end == "failed")
    assert scanner.events == 6


def test_only_a_terminal_event_counts():
    for kind in ("response.created", "response.in_progress", "response.queued", "response.output_item.done"):
        scanner = responses(named(kind, response=response(usage=USAGE), usage=USAGE))
        assert scanner.report().usage is None
        assert not scanner.ended


def test_usage_beside_the_response_is_not_the_response_s():
    scanner = responses(named("response.completed", response=response(usage=None, x=FORGED), **FORGED))
    assert scanner.report().usage is None
    assert scanner.ended


def test_an_error_and_then_the_failure():
    error = named("error", error={"type": "insufficient_quota", "code": "insufficient_quota"})
    assert responses(CREATED, error).error is not None
    assert not responses(CREATED, error).ended
    ended = responses(CREATED, error, named("response.failed", response=response("failed", usage=None)))
    assert ended.error is not None
    assert not ended.ended
    assert ended.report().usage is None


def test_an_emulation_without_event_names_and_with_the_end_of_chat():
    completed = json.dumps({"type": "response.completed", "response": response(usage=USAGE)})
    scanner = responses(f"data: {completed}\n\ndata: [DONE]\n\n".encode())
    assert scanner.ended
    assert scanner.report().usage == COUNTED


def test_calls_of_server_tools():
    output = [
        {"type": kind}
        for kind in ("web_search_call", "file_search_call", "code_interpreter_call", "shell_call", "message")
    ]
    whole = response(usage=USAGE, output=output)
    assert read_response(json.dumps(whole).encode(), HEAD).report.usage == Usage(
        in_uncached=5, cache_read=2, out_visible=3, searches=2, file_searches=1, code_runs=1
    )
    shell = Head(model="m", server_tools=frozenset({"openai_shell"}))
    assert read_response(json.dumps(whole).encode(), shell).report.usage.code_runs == 2
    whole["tool_usage"] = {"web_search": {"num_requests": 4}}
    assert read_response(json.dumps(whole).encode(), HEAD).report.usage.searches == 5
    whole["output"] = [{"type": "web_search_call"}]
    assert read_response(json.dumps(whole).encode(), HEAD).report.usage.searches == 4


@pytest.mark.parametrize("delta", [{"tool_calls": [{"function": {"arguments": json.dumps(FORGED)}}]}, {"x": FORGED}])
def test_counts_inside_a_chat_chunk_s_content_are_content(delta):
    chunk = {"choices": [{"delta": delta, "finish_reason": None, "logprobs": FORGED}], "usage": None}
    whole = f"data: {json.dumps(chunk)}\n\n".encode()
    for pieces in ([whole], every_byte(whole)):
        for head in (HEAD, Head(model="m", wants_usage=False)):
            scanner = ChatStream(head)
            assert b"".join([*map(scanner.feed, pieces), scanner.finish()]) == whole
            assert scanner.report().usage is None
            assert not scanner.ended


def test_an_error_inside_a_chat_stream():
    scanner = ChatStream(HEAD)
    scanner.feed(b'data: {"choices":[{"delta":{"content":"a"},"finish_reason":null}]}\n\n')
    assert scanner.error is None
    scanner.feed(b'event: error\ndata: {"error":{"message":"m","status_code":400}}\n\n')
    assert scanner.error is not None
    assert not scanner.ended


def test_a_null_error_is_none():
    scanner = ChatStream(HEAD)
    scanner.feed(b'data: {"choices":[{"finish_reason":"stop"}],"error":null}\n\n')
    assert scanner.error is None
    assert scanner.ended


def test_the_tier_that_served():
    scanner = ChatStream(HEAD)
    assert scanner.report().variant is None
    scanner.feed(b'data: {"choices":[],"service_tier":"default","usage":{"prompt_tokens":1}}\n\n')
    assert scanner.report().variant == Variant(tier=ServiceTier.STANDARD)


def test_a_whole_chat_body():
    body = {
        "choices": [{"message": {"content": "x", "function_call": FORGED}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3},
        "service_tier": "scale",
    }
    answer = read_chat(json.dumps(body).encode(), HEAD)
    assert answer.report.usage == Usage(in_uncached=7, out_visible=3)
    assert answer.report.variant == Variant(tier=ServiceTier.PROVISIONED)
    assert answer.error is None


def test_an_error_with_a_good_status():
    assert read_chat(b'{"error":{"message":"filtered"}}', HEAD).error is not None
    assert read_response(b'{"status":"failed","error":{"code":"x"}}', HEAD).error is not None
    assert read_response(json.dumps(response(usage=USAGE)).encode(), HEAD).error is None


def test_a_token_count():
    assert read_counted(b'{"object":"response.input_tokens","input_tokens":41}', HEAD).report.usage == Usage(
        in_uncached=41
    )
    assert read_counted(b'{"input_tokens":"forty"}', HEAD).report.usage is None


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"7", b'{"a":1', b"\xff"])
@pytest.mark.parametrize("reader", [read_chat, read_response, read_counted])
def test_what_is_no_whole_object(body, reader):
    assert reader(body, HEAD) is None
