"""Google's current SDK (google-genai) against the gateway, synchronous and not, with either API version."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import unquote

import pytest
from google import genai
from google.genai import errors, types
from pydantic import BaseModel

from benchmarks.simulator import MARK, THOUGHT, TRIGGER
from tests.integration.sdk_stack import LASTING, PIXEL, Stack, done, gathered

pytest_plugins = ("tests.integration.sdk_fixtures",)

MODEL = "gemini-2.5-flash"
EMBEDDING = "gemini-embedding-001"
DECLARATION = types.FunctionDeclaration(
    name="read_file",
    description="Reads a file.",
    parameters_json_schema={"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
)
TOOLS = [types.Tool(function_declarations=[DECLARATION])]


class Finding(BaseModel):
    title: str
    line: int


def connect(stack: Stack, url: str = "", version: str | None = None) -> genai.Client:
    options = types.HttpOptions(base_url=url or stack.url, api_version=version, timeout=60_000)
    return genai.Client(api_key=stack.token, http_options=options)


@pytest.fixture(params=["sync", "async"])
async def models(request: pytest.FixtureRequest, stack: Stack) -> AsyncIterator[Any]:
    client = connect(stack)
    yield client.models if request.param == "sync" else client.aio.models
    await client.aio.aclose()
    client.close()


@pytest.mark.parametrize("version", [None, "v1", "v1beta"])
@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1beta/"])
async def test_base_urls_with_and_without_a_version(stack: Stack, suffix: str, version: str | None) -> None:
    client = connect(stack, stack.url + suffix, version)
    answer = client.models.generate_content(model=MODEL, contents="Say something.")
    assert answer.text.count(MARK) == 12
    client.close()
    stack.settled()


async def test_text(stack: Stack, models: Any) -> None:
    config = types.GenerateContentConfig(system_instruction="Be brief.", temperature=0)
    answer = await done(models.generate_content(model=MODEL, contents="Say something.", config=config))
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP
    assert answer.text.count(MARK) == 12
    (record,) = stack.settled()
    assert record["in_uncached"] == answer.usage_metadata.prompt_token_count
    assert record["out_visible"] == answer.usage_metadata.candidates_token_count
    assert record["provider"] == "google"
    headers = {name.lower(): value for name, value in answer.sdk_http_response.headers.items()}
    assert headers["x-request-id"] == record["rid"]
    assert int(headers["x-credits-charged"]) == record["charge"]
    assert stack.last_request()["store"] is False


async def test_output_limit(stack: Stack, models: Any) -> None:
    config = types.GenerateContentConfig(max_output_tokens=5)
    answer = await done(models.generate_content(model=MODEL, contents="Say something.", config=config))
    assert answer.candidates[0].finish_reason == types.FinishReason.MAX_TOKENS
    (record,) = stack.settled()
    assert record["out_visible"] == 5


async def test_stream(stack: Stack, models: Any) -> None:
    chunks = await gathered(models.generate_content_stream(model=MODEL, contents="Say something."))
    assert "".join(chunk.text or "" for chunk in chunks).count(MARK) == 12
    assert chunks[-1].candidates[0].finish_reason == types.FinishReason.STOP
    (record,) = stack.settled()
    assert record["out_visible"] == chunks[-1].usage_metadata.candidates_token_count


async def test_an_alias_reaches_the_provider_as_its_target(stack: Stack, models: Any) -> None:
    answer = await done(models.generate_content(model="google-alias", contents="Say something."))
    assert answer.usage_metadata.candidates_token_count == 3
    (record,) = stack.settled()
    assert record["model"] == "google-alias"
    assert unquote(stack.sim.requests()[-1]["target"]) == f"/v1beta/models/{MODEL}@chunks-3:generateContent"


async def test_tools_round_trip(stack: Stack, models: Any) -> None:
    config = types.GenerateContentConfig(tools=TOOLS)
    ask = types.Content(role="user", parts=[types.Part(text=f"Please {TRIGGER}.")])
    answer = await done(models.generate_content(model=MODEL, contents=[ask], config=config))
    (call,) = answer.function_calls
    assert (call.name, call.args) == ("read_file", {"path": MARK})
    signature = answer.candidates[0].content.parts[0].thought_signature
    assert signature
    result = types.Part.from_function_response(name="read_file", response={"text": "the file"})
    turns = [ask, answer.candidates[0].content, types.Content(role="user", parts=[result])]
    final = await done(models.generate_content(model=MODEL, contents=turns, config=config))
    assert MARK in final.text
    sent = stack.last_request()["contents"][1]["parts"][0]["thoughtSignature"]
    assert base64.urlsafe_b64decode(sent) == signature
    stack.settled(2)


async def test_tools_in_a_stream(stack: Stack, models: Any) -> None:
    calling = types.FunctionCallingConfig(mode=types.FunctionCallingConfigMode.ANY)
    config = types.GenerateContentConfig(tools=TOOLS, tool_config=types.ToolConfig(function_calling_config=calling))
    chunks = await gathered(models.generate_content_stream(model=MODEL, contents="Say something.", config=config))
    (call,) = [call for chunk in chunks for call in chunk.function_calls or ()]
    assert (call.name, call.args) == ("read_file", {"path": MARK})
    stack.settled()


async def test_image_in(stack: Stack, models: Any) -> None:
    image = types.Part.from_bytes(data=base64.b64decode(PIXEL), mime_type="image/png")
    answer = await done(models.generate_content(model=MODEL, contents=[image, "What is it?"]))
    assert MARK in answer.text
    sent = stack.last_request()["contents"][0]["parts"][0]["inlineData"]
    assert base64.urlsafe_b64decode(sent["data"]) == base64.b64decode(PIXEL)
    stack.settled()


@pytest.mark.parametrize("stream", [False, True])
async def test_thinking(stack: Stack, models: Any, stream: bool) -> None:
    config = types.GenerateContentConfig(
        thinking_config=types.ThinkingConfig(include_thoughts=True, thinking_budget=64)
    )
    call = models.generate_content_stream if stream else models.generate_content
    made = call(model=MODEL, contents="Say something.", config=config)
    answers = await gathered(made) if stream else [await done(made)]
    parts = [part for answer in answers for part in answer.candidates[0].content.parts]
    assert THOUGHT in "".join(part.text for part in parts if part.thought)
    assert MARK in "".join(part.text for part in parts if not part.thought)
    (record,) = stack.settled()
    assert (record["out_reasoning"], record["out_visible"]) == (4, 12)


@pytest.mark.parametrize("schema", [Finding, Finding.model_json_schema()])
async def test_structured_output(stack: Stack, models: Any, schema: Any) -> None:
    named = "response_schema" if schema is Finding else "response_json_schema"
    config = types.GenerateContentConfig(response_mime_type="application/json", **{named: schema})
    answer = await done(models.generate_content(model=MODEL, contents="Find it.", config=config))
    assert Finding.model_validate_json(answer.text) == Finding(title=MARK, line=7)
    if schema is Finding:
        assert answer.parsed == Finding(title=MARK, line=7)
    stack.settled()


@pytest.mark.parametrize("contents", ["one", ["one", "two"]])
async def test_embeddings(stack: Stack, models: Any, contents: Any) -> None:
    config = types.EmbedContentConfig(output_dimensionality=8)
    answer = await done(models.embed_content(model=EMBEDDING, contents=contents, config=config))
    assert [len(row.values) for row in answer.embeddings] == [8] * (1 if contents == "one" else 2)
    found = stack.account.records(1)[0]
    assert found["out_visible"] == 0
    assert found["in_uncached"] > 0


async def test_token_counting_is_free(stack: Stack, models: Any) -> None:
    answer = await done(models.count_tokens(model=MODEL, contents="Count this."))
    assert answer.total_tokens > 0
    stack.uncharged()


async def test_chat(stack: Stack) -> None:
    client = connect(stack)
    chat = client.chats.create(model=MODEL)
    assert MARK in chat.send_message("Say something.").text
    assert "".join(chunk.text or "" for chunk in chat.send_message_stream("And more.")).count(MARK) == 12
    client.close()
    stack.settled(2)
    assert len(stack.last_request()["contents"]) == 3


@pytest.mark.parametrize("version", ["v1", "v1beta"])
async def test_models(stack: Stack, version: str) -> None:
    client = connect(stack, version=version)
    pager = client.models.list(config={"page_size": 4})
    assert len(pager.page) == 4
    names = [model.name for model in pager]
    assert f"models/{LASTING['google']}" in names
    assert len(names) == len(set(names)) > 4
    assert "models/google-pro" not in names
    assert names == [model.name async for model in await client.aio.models.list(config={"page_size": 4})]
    one = client.models.get(model=LASTING["google"])
    assert "generateContent" in one.supported_actions
    assert "embedContent" in client.models.get(model=EMBEDDING).supported_actions
    with pytest.raises(errors.ClientError) as raised:
        client.models.get(model="google-pro")
    assert (raised.value.code, raised.value.status) == (404, "NOT_FOUND")
    assert stack.sim.stats()["requests"] == 0
    await client.aio.aclose()
    client.close()
