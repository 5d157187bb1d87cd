"""Anthropic's SDK against the gateway, synchronous and not, with and without ``/v1`` in the base URL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anthropic
import pytest
from pydantic import BaseModel

from benchmarks.simulator import MARK, THOUGHT, TRIGGER
from tests.integration.sdk_stack import PIXEL, Stack, done, gathered

pytest_plugins = ("tests.integration.sdk_fixtures",)

MODEL = "claude-haiku-4-5"
ASK: list[Any] = [{"role": "user", "content": "Say something."}]
TOOL = {
    "name": "read_file",
    "input_schema": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
}


class Finding(BaseModel):
    title: str
    line: int


@pytest.fixture(params=["sync", "async"])
async def client(request: pytest.FixtureRequest, stack: Stack) -> AsyncIterator[Any]:
    kind: Any = anthropic.Anthropic if request.param == "sync" else anthropic.AsyncAnthropic
    made = kind(base_url=stack.url, api_key=stack.token, max_retries=0, timeout=60)
    yield made
    await done(made.close())


def ask(client: Any, **more: Any) -> Any:
    return client.messages.create(**{"model": MODEL, "max_tokens": 1000, "messages": ASK, **more})


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/"])
async def test_base_urls_with_and_without_the_version(stack: Stack, client: Any, suffix: str) -> None:
    answer = await done(ask(client.with_options(base_url=stack.url + suffix)))
    assert answer.content[0].text.count(MARK) == 12
    stack.settled()


async def test_a_bearer_token(stack: Stack, client: Any) -> None:
    bearer = type(client)(base_url=stack.url, api_key=None, auth_token=stack.token, max_retries=0)
    assert MARK in (await done(ask(bearer))).content[0].text
    await done(bearer.close())
    stack.settled()


async def test_text(stack: Stack, client: Any) -> None:
    answer = await done(ask(client, metadata={"user_id": "someone"}, system="Be brief."))
    assert answer.stop_reason == "end_turn"
    assert answer.content[0].text.count(MARK) == 12
    (record,) = stack.settled()
    assert answer._request_id == record["rid"]
    assert (record["in_uncached"], record["out_visible"]) == (answer.usage.input_tokens, answer.usage.output_tokens)
    assert record["provider"] == "anthropic"
    sent = stack.last_request()
    assert sent["system"] == "Be brief."
    assert sent["metadata"]["user_id"] != "someone"


async def test_output_limit(stack: Stack, client: Any) -> None:
    answer = await done(ask(client, max_tokens=5))
    assert answer.stop_reason == "max_tokens"
    (record,) = stack.settled()
    assert record["out_visible"] == 5


async def test_stream_of_events(stack: Stack, client: Any) -> None:
    events = await gathered(ask(client, stream=True))
    assert [events[0].type, events[-1].type] == ["message_start", "message_stop"]
    text = "".join(event.delta.text for event in events if event.type == "content_block_delta")
    assert text.count(MARK) == 12
    stack.settled()


async def final_message(client: Any, **more: Any) -> Any:
    """What the SDK puts together from a stream."""
    manager = client.messages.stream(**{"model": MODEL, "max_tokens": 1000, "messages": ASK, **more})
    if hasattr(manager, "__aenter__"):
        async with manager as stream:
            return await stream.get_final_message()
    with manager as stream:
        return stream.get_final_message()


async def test_stream_put_together(stack: Stack, client: Any) -> None:
    answer = await final_message(client)
    assert answer.content[0].text.count(MARK) == 12
    (record,) = stack.settled()
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (record["in_uncached"], record["out_visible"])


async def test_an_alias_reaches_the_provider_as_its_target(stack: Stack, client: Any) -> None:
    answer = await done(ask(client, model="anthropic-alias"))
    assert answer.usage.output_tokens == 3
    (record,) = stack.settled()
    assert record["model"] == "anthropic-alias"
    assert stack.last_request()["model"] == f"{MODEL}@chunks-3"


async def test_tools_round_trip(stack: Stack, client: Any) -> None:
    messages: list[Any] = [{"role": "user", "content": f"Please {TRIGGER}."}]
    answer = await done(ask(client, messages=messages, tools=[TOOL]))
    assert answer.stop_reason == "tool_use"
    call = answer.content[-1]
    assert (call.name, call.input) == ("read_file", {"path": MARK})
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "the file"}
    messages += [{"role": "assistant", "content": answer.content}, {"role": "user", "content": [result]}]
    final = await done(ask(client, messages=messages, tools=[TOOL]))
    assert MARK in final.content[0].text
    stack.settled(2)


async def test_tools_in_a_stream(stack: Stack, client: Any) -> None:
    answer = await final_message(client, tools=[TOOL], tool_choice={"type": "tool", "name": "read_file"})
    assert answer.content[-1].input == {"path": MARK}
    stack.settled()


async def test_image_in(stack: Stack, client: Any) -> None:
    content = [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
        {"type": "text", "text": "What is it?"},
    ]
    answer = await done(ask(client, messages=[{"role": "user", "content": content}]))
    assert MARK in answer.content[0].text
    assert stack.last_request()["messages"][0]["content"] == content
    stack.settled()


@pytest.mark.parametrize("stream", [False, True])
async def test_thinking(stack: Stack, client: Any, stream: bool) -> None:
    more: Any = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2000}
    answer = await final_message(client, **more) if stream else await done(ask(client, **more))
    thought, text = answer.content
    assert THOUGHT in thought.thinking
    assert thought.signature
    assert MARK in text.text
    (record,) = stack.settled()
    assert (record["out_reasoning"], record["out_visible"]) == (4, 12)
    messages = [*ASK, {"role": "assistant", "content": answer.content}, {"role": "user", "content": "And more."}]
    assert await done(ask(client, **more, messages=messages))
    assert stack.last_request()["messages"][1]["content"][0]["signature"] == thought.signature
    (record,) = stack.account.records(1)
    assert record["out_reasoning"] == 4


async def test_structured_output(stack: Stack, client: Any) -> None:
    answer = await done(client.messages.parse(model=MODEL, max_tokens=1000, messages=ASK, output_format=Finding))
    assert answer.parsed_output == Finding(title=MARK, line=7)
    stack.settled()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("ttl", "count"), [("5m", "cache_write_5m"), ("1h", "cache_write_1h")])
async def test_prompt_caching(stack: Stack, client: Any, stream: bool, ttl: str, count: str) -> None:
    marked = {"type": "text", "text": "Long.", "cache_control": {"type": "ephemeral", "ttl": ttl}}
    answer = await final_message(client, system=[marked]) if stream else await done(ask(client, system=[marked]))
    (record,) = stack.settled()
    assert record[count] == answer.usage.cache_creation_input_tokens > 0
    assert record["cache_read"] == answer.usage.cache_read_input_tokens > 0
    assert record["in_uncached"] == answer.usage.input_tokens > 0


async def test_token_counting_is_free(stack: Stack, client: Any) -> None:
    answer = await done(client.messages.count_tokens(model=MODEL, messages=ASK))
    assert answer.input_tokens > 0
    stack.uncharged()


async def test_beta_messages(stack: Stack, client: Any) -> None:
    answer = await done(
        client.beta.messages.create(model=MODEL, max_tokens=9, messages=ASK, betas=["context-1m-2025-08-07"])
    )
    assert MARK in answer.content[0].text
    (request,) = stack.sim.requests()
    headers = {name.lower(): value for name, value in request["headers"]}
    assert headers["anthropic-beta"] == "context-1m-2025-08-07"
    assert not any(name.startswith("x-stainless") for name in headers)
    stack.settled()


async def test_models(stack: Stack, client: Any) -> None:
    page = await done(client.models.list(limit=3))
    assert page.has_more
    assert len(page.data) == 3
    every = client.models.list(limit=3)
    names = [model.id async for model in every] if hasattr(every, "__aiter__") else [model.id for model in every]
    assert MODEL in names
    assert len(names) == len(set(names)) > 3
    own = [name for name in names if name.startswith(("claude", "anthropic"))]
    assert names[: len(own)] == own  # and then what is translated
    assert "gpt-4o" in names
    assert "anthropic-pro" not in names
    assert (await done(client.models.retrieve(MODEL))).type == "model"
    with pytest.raises(anthropic.NotFoundError):
        await done(client.models.retrieve("anthropic-pro"))
    assert stack.sim.stats()["requests"] == 0


async def test_the_runner_of_tools_goes_on_without_a_thread(stack: Stack, client: Any) -> None:
    """It asks for a thread at the provider by itself, and resends all messages only after the API's own error code."""
    called = []
    asynchronous = isinstance(client, anthropic.AsyncAnthropic)

    def read_file(path: str) -> str:
        """Read a file.

        Args:
            path: Which one.
        """
        called.append(path)
        return "the file"

    async def read_file_soon(path: str) -> str:
        return read_file(path)

    read_file_soon.__doc__, read_file_soon.__name__ = read_file.__doc__, read_file.__name__
    tool = anthropic.beta_async_tool(read_file_soon) if asynchronous else anthropic.beta_tool(read_file)
    messages: list[Any] = [{"role": "user", "content": f"Please {TRIGGER}."}]
    runner = client.beta.messages.tool_runner(model=MODEL, max_tokens=1000, tools=[tool], messages=messages)
    final = await done(runner.until_done())
    assert called == [MARK]
    assert MARK in final.content[0].text
    assert [message["role"] for message in stack.last_request()["messages"]] == ["user", "assistant", "user"]
    stack.settled(2)


@pytest.mark.parametrize("asked", [{"thread": {"type": "create"}}, {"betas": ["message-threads-2026-08-12"]}])
async def test_a_thread_is_refused_with_the_code_of_the_api(stack: Stack, client: Any, asked: dict[str, Any]) -> None:
    with pytest.raises(anthropic.BadRequestError) as caught:
        await done(client.beta.messages.create(model=MODEL, max_tokens=9, messages=ASK, **asked))
    assert caught.value.response.headers["x-error-code"] == "thread_unsupported_request"
    assert caught.value.body["error"]["details"]["error_code"] == "thread_unsupported_request"
