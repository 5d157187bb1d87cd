"""The official Anthropic SDK finds in the simulator what it finds at the provider."""

import anthropic
import pytest

from benchmarks.simulator import MARK, SimulatorProcess

TOOL = {"name": "lookup", "input_schema": {"type": "object", "properties": {"query": {"type": "string"}}}}
HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture(scope="module")
def sim():
    with SimulatorProcess() as simulator:
        yield simulator


@pytest.fixture
def client(sim):
    sim.reset()
    with anthropic.Anthropic(base_url=sim.url, api_key="test", max_retries=0) as sdk:
        yield sdk


def ask(client, **options):
    return client.messages.create(
        **({"model": "claude-haiku-4-5+chunks=3", "max_tokens": 100, "messages": HELLO} | options)
    )


def test_message(client, sim):
    answer = ask(client)
    assert answer.content[0].text.count(MARK) == 3
    assert answer.usage.output_tokens == 3
    assert answer.stop_reason == "end_turn"
    assert sim.bills()[-1]["id"] == answer._request_id


def test_stream_in_recorded_order(client):
    events = [event.type for event in ask(client, stream=True)]
    # the SDK swallows the ping that follows the first block's start
    assert events == [
        "message_start",
        "content_block_start",
        *["content_block_delta"] * 3,
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    with client.messages.stream(model="claude-haiku-4-5+chunks=3", max_tokens=2, messages=HELLO) as stream:
        final = stream.get_final_message()
    assert final.stop_reason == "max_tokens"
    assert final.usage.output_tokens == 2


@pytest.mark.parametrize("stream", [False, True])
def test_thinking_has_a_signature(client, stream):
    options = {"model": "claude-haiku-4-5+chunks=3", "max_tokens": 2000, "messages": HELLO}
    options["thinking"] = {"type": "enabled", "budget_tokens": 1024}
    if stream:
        with client.messages.stream(**options) as opened:
            answer = opened.get_final_message()
    else:
        answer = client.messages.create(**options)
    thinking, text = answer.content
    assert thinking.type == "thinking"
    assert thinking.thinking
    assert thinking.signature
    assert text.text.count(MARK) == 3
    assert answer.usage.output_tokens == 7
    assert answer.usage.output_tokens_details.thinking_tokens == 4


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "lookup"}, None])
def test_tool_use(client, choice):
    options = {"tools": [TOOL]}
    if choice:
        options["tool_choice"] = choice
    else:
        options["messages"] = [{"role": "user", "content": [{"type": "text", "text": "call the tool"}]}]
    answer = ask(client, **options)
    assert answer.stop_reason == "tool_use"
    assert answer.content[0].input == {"query": MARK}
    with client.messages.stream(
        **({"model": "claude-haiku-4-5", "max_tokens": 9, "messages": HELLO} | options)
    ) as stream:
        assert stream.get_final_message().content[0].input == {"query": MARK}


def test_structured_output(client):
    schema = {"type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"]}
    answer = ask(client, output_config={"format": {"type": "json_schema", "schema": schema}})
    assert answer.content[0].text == '{"number":7}'


@pytest.mark.parametrize("ttl", ["5m", "1h"])
def test_cache_counts_follow_cache_control(client, ttl):
    system = [{"type": "text", "text": "x" * 800, "cache_control": {"type": "ephemeral", "ttl": ttl}}]
    usage = ask(client, system=system).usage
    assert usage.cache_creation_input_tokens > 0
    assert usage.cache_read_input_tokens > 0
    written = {
        "5m": usage.cache_creation.ephemeral_5m_input_tokens,
        "1h": usage.cache_creation.ephemeral_1h_input_tokens,
    }
    assert written[ttl] == usage.cache_creation_input_tokens
    assert sum(written.values()) == usage.cache_creation_input_tokens


def test_images_counting_and_models(client, sim):
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
    assert ask(client, messages=[{"role": "user", "content": [image]}]).usage.input_tokens > 0
    sim.reset()
    assert client.messages.count_tokens(model="claude-haiku-4-5", messages=HELLO).input_tokens > 0
    assert sim.stats()["tokens_in"] == 0
    assert "claude-haiku-4-5" in [model.id for model in client.models.list()]
    assert client.models.retrieve("claude-haiku-4-5").display_name == "Claude Haiku 4.5"


@pytest.mark.parametrize(
    ("fault", "error", "kind"),
    [
        ("400", anthropic.BadRequestError, "invalid_request_error"),
        ("401", anthropic.AuthenticationError, "authentication_error"),
        ("403", anthropic.PermissionDeniedError, "permission_error"),
        ("404", anthropic.NotFoundError, "not_found_error"),
        ("413", anthropic.RequestTooLargeError, "request_too_large"),
        ("429", anthropic.RateLimitError, "rate_limit_error"),
        ("500", anthropic.InternalServerError, "api_error"),
        ("529", anthropic.OverloadedError, "overloaded_error"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_errors_are_typed(client, fault, error, kind, stream):
    with pytest.raises(error) as caught:
        ask(client, model=f"claude-haiku-4-5+fault={fault}", stream=stream)
    assert caught.value.body["error"]["type"] == kind
    assert caught.value.body["request_id"] == caught.value.request_id
    if fault == "429":
        headers = caught.value.response.headers
        assert headers["retry-after"] == "2"
        assert headers["anthropic-ratelimit-input-tokens-reset"].endswith("Z")


def test_error_in_a_stream(client):
    with pytest.raises(anthropic.APIStatusError) as caught:
        list(ask(client, model="claude-haiku-4-5+fault=error_mid", stream=True))
    assert caught.value.body["error"]["type"] == "overloaded_error"
