"""OpenAI's SDK against the gateway, synchronous and not, with and without ``/v1`` in the base URL."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from benchmarks.simulator import MARK, TRIGGER
from tests.integration.sdk_stack import LASTING, PIXEL, Stack, done, gathered

pytest_plugins = ("tests.integration.sdk_fixtures",)

MODEL = "gpt-4o"
REASONER = "gpt-5"
IMAGE = f"data:image/png;base64,{PIXEL}"
ASK = [{"role": "user", "content": "Say something."}]
PARAMETERS = {
    "type": "object",
    "properties": {"path": {"type": "string"}},
    "required": ["path"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "function": {"name": "read_file", "parameters": PARAMETERS, "strict": True}}
RESPONSES_TOOL = {"type": "function", "name": "read_file", "parameters": PARAMETERS, "strict": True}


class Finding(BaseModel):
    title: str
    line: int


@pytest.fixture(params=["sync", "async"])
async def client(request: pytest.FixtureRequest, stack: Stack) -> AsyncIterator[Any]:
    kind: Any = openai.OpenAI if request.param == "sync" else openai.AsyncOpenAI
    made = kind(base_url=f"{stack.url}/v1", api_key=stack.token, max_retries=0, timeout=60)
    yield made
    await done(made.close())


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/"])
async def test_base_urls_with_and_without_the_version(stack: Stack, client: Any, suffix: str) -> None:
    client = client.with_options(base_url=stack.url + suffix)
    answer = await done(client.chat.completions.create(model=MODEL, messages=ASK))
    assert answer.choices[0].message.content.count(MARK) == 12
    stack.settled()


async def test_text(stack: Stack, client: Any) -> None:
    answer = await done(client.chat.completions.create(model=MODEL, messages=ASK, user="someone", store=True))
    assert answer.choices[0].finish_reason == "stop"
    (record,) = stack.settled()
    assert record["out_visible"] == answer.usage.completion_tokens == 12
    assert record["in_uncached"] == answer.usage.prompt_tokens
    assert record["provider"] == "openai"
    assert record["model"] == MODEL
    sent = stack.last_request()
    assert sent["store"] is False
    assert "user" not in sent


async def test_the_answer_says_its_id_and_its_price(stack: Stack, client: Any) -> None:
    raw = await done(client.chat.completions.with_raw_response.create(model=MODEL, messages=ASK))
    (record,) = stack.settled()
    assert raw.headers["x-request-id"] == record["rid"]
    assert int(raw.headers["x-credits-charged"]) == record["charge"]
    assert raw.headers["x-provider"] == "openai"
    assert {"set-cookie", "openai-organization", "x-ratelimit-limit-requests"}.isdisjoint(raw.headers)
    answer = raw.parse()
    assert answer._request_id == record["rid"]


async def test_stream_without_a_usage_chunk(stack: Stack, client: Any) -> None:
    chunks = await gathered(client.chat.completions.create(model=MODEL, messages=ASK, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks).count(MARK) == 12
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "stop"
    stack.settled()
    assert stack.last_request()["stream_options"]["include_usage"] is True


async def test_stream_with_a_usage_chunk(stack: Stack, client: Any) -> None:
    options = {"include_usage": True}
    chunks = await gathered(
        client.chat.completions.create(model=MODEL, messages=ASK, stream=True, stream_options=options)
    )
    (record,) = stack.settled()
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == record["out_visible"] == 12
    assert chunks[-1].usage.prompt_tokens == record["in_uncached"]


async def test_several_choices(stack: Stack, client: Any) -> None:
    answer = await done(client.chat.completions.create(model=MODEL, messages=ASK, n=3))
    assert len(answer.choices) == 3
    (record,) = stack.settled()
    assert record["out_visible"] == 36


async def test_an_alias_reaches_the_provider_as_its_target(stack: Stack, client: Any) -> None:
    answer = await done(client.chat.completions.create(model="openai-alias", messages=ASK))
    assert answer.usage.completion_tokens == 3
    (record,) = stack.settled()
    assert record["model"] == "openai-alias"
    assert stack.last_request()["model"] == "gpt-4o@chunks-3"


async def test_tools_round_trip(stack: Stack, client: Any) -> None:
    messages: list[Any] = [{"role": "user", "content": f"Please {TRIGGER}."}]
    answer = await done(client.chat.completions.create(model=MODEL, messages=messages, tools=[TOOL]))
    assert answer.choices[0].finish_reason == "tool_calls"
    call = answer.choices[0].message.tool_calls[0]
    assert call.function.name == "read_file"
    assert set(json.loads(call.function.arguments)) == {"path"}
    messages += [answer.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "the file"}]
    final = await done(client.chat.completions.create(model=MODEL, messages=messages, tools=[TOOL]))
    assert MARK in final.choices[0].message.content
    stack.settled(2)


async def test_tools_in_a_stream(stack: Stack, client: Any) -> None:
    chunks = await gathered(
        client.chat.completions.create(
            model=MODEL, messages=ASK, tools=[TOOL], tool_choice="required", parallel_tool_calls=False, stream=True
        )
    )
    calls = [chunk.choices[0].delta.tool_calls[0] for chunk in chunks if chunk.choices[0].delta.tool_calls]
    assert calls[0].function.name == "read_file"
    assert set(json.loads("".join(call.function.arguments for call in calls))) == {"path"}
    stack.settled()


async def test_image_in(stack: Stack, client: Any) -> None:
    content = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": IMAGE}}]
    answer = await done(client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": content}]))
    assert MARK in answer.choices[0].message.content
    assert stack.last_request()["messages"][0]["content"] == content
    stack.settled()


@pytest.mark.parametrize("stream", [False, True])
async def test_reasoning(stack: Stack, client: Any, stream: bool) -> None:
    create = client.chat.completions.create(model=REASONER, messages=ASK, reasoning_effort="low", stream=stream)
    if stream:
        assert await gathered(create)
    else:
        answer = await done(create)
        assert answer.usage.completion_tokens_details.reasoning_tokens == 16
    (record,) = stack.settled()
    assert (record["out_reasoning"], record["out_visible"]) == (16, 12)


async def test_structured_output(stack: Stack, client: Any) -> None:
    answer = await done(client.chat.completions.parse(model=MODEL, messages=ASK, response_format=Finding))
    assert answer.choices[0].message.parsed == Finding(title=MARK, line=7)
    stack.settled()


@pytest.mark.parametrize("encoding", ["float", "base64", None])
async def test_embeddings(stack: Stack, client: Any, encoding: str | None) -> None:
    more = {"encoding_format": encoding} if encoding else {}
    answer = await done(
        client.embeddings.create(model="text-embedding-3-small", input=["one", "two"], dimensions=8, **more)
    )
    assert [row.index for row in answer.data] == [0, 1]
    if encoding != "base64":
        assert all(len(row.embedding) == 8 for row in answer.data)
    (record,) = stack.settled()
    assert record["out_visible"] == 0
    assert record["in_uncached"] == answer.usage.prompt_tokens


@pytest.mark.parametrize("stream", [False, True])
async def test_completions(stack: Stack, client: Any, stream: bool) -> None:
    create = client.completions.create(model="gpt-3.5-turbo-instruct", prompt="def f(", max_tokens=5, stream=stream)
    if stream:
        chunks = await gathered(create)
        assert all(chunk.choices for chunk in chunks)
        text = "".join(chunk.choices[0].text for chunk in chunks)
    else:
        text = (await done(create)).choices[0].text
    assert text.count(MARK) == 5
    (record,) = stack.settled()
    assert record["out_visible"] == 5


async def test_responses(stack: Stack, client: Any) -> None:
    answer = await done(client.responses.create(model=MODEL, input="Say something.", store=True))
    assert answer.status == "completed"
    assert answer.output_text.count(MARK) == 12
    (record,) = stack.settled()
    assert record["out_visible"] == answer.usage.output_tokens == 12
    assert stack.last_request()["store"] is False


async def test_responses_stream(stack: Stack, client: Any) -> None:
    events = await gathered(client.responses.create(model=MODEL, input="Say something.", stream=True))
    assert events[0].type == "response.created"
    assert events[-1].type == "response.completed"
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta").count(MARK) == 12
    assert [event.sequence_number for event in events] == list(range(len(events)))
    (record,) = stack.settled()
    assert events[-1].response.usage.output_tokens == record["out_visible"]


async def test_responses_reasoning_goes_on_without_storing(stack: Stack, client: Any) -> None:
    first = await done(client.responses.create(model=REASONER, input="Say something.", reasoning={"effort": "low"}))
    assert "reasoning.encrypted_content" in stack.last_request()["include"]
    turns: list[Any] = [{"role": "user", "content": "Say something."}]
    turns += [item.model_dump(exclude_none=True) for item in first.output]
    turns.append({"role": "user", "content": "And more."})
    second = await done(client.responses.create(model=REASONER, input=turns))
    assert MARK in second.output_text
    first_record, second_record = stack.settled(2)
    assert first_record["out_reasoning"] == second_record["out_reasoning"] == 16


@pytest.mark.parametrize("stream", [False, True])
async def test_responses_tools(stack: Stack, client: Any, stream: bool) -> None:
    create = client.responses.create(
        model=MODEL, input=f"Please {TRIGGER}.", tools=[RESPONSES_TOOL], stream=stream, tool_choice="required"
    )
    answer = (await gathered(create))[-1].response if stream else await done(create)
    (call,) = [item for item in answer.output if item.type == "function_call"]
    assert call.name == "read_file"
    assert set(json.loads(call.arguments)) == {"path"}
    stack.settled()


async def test_responses_image_in(stack: Stack, client: Any) -> None:
    content = [{"type": "input_text", "text": "What is it?"}, {"type": "input_image", "image_url": IMAGE}]
    answer = await done(client.responses.create(model=MODEL, input=[{"role": "user", "content": content}]))
    assert MARK in answer.output_text
    assert stack.last_request()["input"][0]["content"] == content
    stack.settled()


async def test_responses_structured_output(stack: Stack, client: Any) -> None:
    answer = await done(client.responses.parse(model=MODEL, input="Find it.", text_format=Finding))
    assert answer.output_parsed == Finding(title=MARK, line=7)
    stack.settled()


async def test_responses_stream_manager(stack: Stack, client: Any) -> None:
    manager = client.responses.stream(model=MODEL, input="Say something.")
    if hasattr(manager, "__aenter__"):
        async with manager as stream:
            final = await stream.get_final_response()
    else:
        with manager as stream:
            final = stream.get_final_response()
    assert final.output_text.count(MARK) == 12
    stack.settled()


async def test_responses_compact(stack: Stack, client: Any) -> None:
    answer = await done(client.responses.compact(model=MODEL, input=[{"role": "user", "content": "Much."}]))
    assert answer.output
    stack.settled()


async def test_token_counting_is_free(stack: Stack, client: Any) -> None:
    answer = await done(client.responses.input_tokens.count(model=MODEL, input="Count this."))
    assert answer.input_tokens > 0
    stack.uncharged()


async def test_models(stack: Stack, client: Any) -> None:
    page = client.models.list()
    names = [model.id async for model in page] if hasattr(page, "__aiter__") else [model.id for model in page]
    assert LASTING["openai"] in names
    assert "openai-pro" not in names
    assert stack.sim.stats()["requests"] == 0
    one = await done(client.models.retrieve(LASTING["openai"]))
    assert (one.id, one.object, one.owned_by) == (LASTING["openai"], "model", "openai")
    with pytest.raises(openai.NotFoundError) as raised:
        await done(client.models.retrieve("openai-pro"))
    assert raised.value.code == "model_not_found"
