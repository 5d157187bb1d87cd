"""Both of Google's SDKs find in the simulator what they find at the provider."""

import google.generativeai as legacy
import pytest
from google import genai
from google.genai import errors, types

from benchmarks.simulator import MARK, SimulatorProcess

MODEL = "gemini-2.5-flash"
SCHEMA = {"type": "OBJECT", "properties": {"number": {"type": "INTEGER"}}}
FUNCTION = {
    "name": "lookup",
    "description": "",
    "parameters": {"type": "OBJECT", "properties": {"query": {"type": "STRING"}}},
}
TOOL = types.Tool(function_declarations=[FUNCTION])
PNG = types.Part.from_bytes(data=b"\x89PNG", mime_type="image/png")


@pytest.fixture(scope="module")
def sim():
    with SimulatorProcess(record=True) as simulator:
        yield simulator


@pytest.fixture
def client(sim):
    sim.reset()
    return genai.Client(api_key="test", http_options=types.HttpOptions(base_url=sim.url))


def test_generate(client, sim):
    answer = client.models.generate_content(model=f"{MODEL}+chunks=3", contents=["hello", PNG])
    assert answer.text.count(MARK) == 3
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP
    assert answer.usage_metadata.candidates_token_count == 3
    assert answer.usage_metadata.prompt_token_count == len(sim.requests()[-1]["body"]) // 4
    assert sim.bills()[-1]["output"] == 3


def test_stream_counts_up(client):
    chunks = list(client.models.generate_content_stream(model=f"{MODEL}+chunks=3+size=400", contents="hello"))
    counts = [chunk.usage_metadata.candidates_token_count for chunk in chunks]
    assert counts == [1, 2, 3, 3]
    for chunk in chunks:
        usage = chunk.usage_metadata
        assert usage.total_token_count == usage.prompt_token_count + usage.candidates_token_count
    assert "".join(chunk.text for chunk in chunks).count(MARK) == 3
    assert chunks[-1].candidates[0].finish_reason == types.FinishReason.STOP


@pytest.mark.parametrize("stream", [False, True])
def test_thinking(client, stream):
    config = types.GenerateContentConfig(thinking_config=types.ThinkingConfig(include_thoughts=True))
    if stream:
        chunks = list(client.models.generate_content_stream(model=MODEL, contents="hello", config=config))
        parts = [part for chunk in chunks for part in chunk.candidates[0].content.parts]
        usage = chunks[-1].usage_metadata
    else:
        answer = client.models.generate_content(model=MODEL, contents="hello", config=config)
        parts, usage = answer.candidates[0].content.parts, answer.usage_metadata
    assert parts[0].thought
    assert not parts[-1].thought
    assert usage.thoughts_token_count == 4
    assert usage.total_token_count == usage.prompt_token_count + usage.candidates_token_count + 4


@pytest.mark.parametrize("stream", [False, True])
def test_function_call(client, stream):
    config = types.GenerateContentConfig(tools=[TOOL])
    options = {"model": MODEL, "contents": "call the tool", "config": config}
    if stream:
        (answer,) = client.models.generate_content_stream(**options)
    else:
        answer = client.models.generate_content(**options)
    assert answer.function_calls[0].name == "lookup"
    assert answer.function_calls[0].args == {"query": MARK}


def test_function_calling_mode_any(client):
    mode = types.FunctionCallingConfig(mode="ANY")
    config = types.GenerateContentConfig(tools=[TOOL], tool_config=types.ToolConfig(function_calling_config=mode))
    assert client.models.generate_content(model=MODEL, contents="hello", config=config).function_calls


def test_structured_output(client):
    config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=SCHEMA)
    assert client.models.generate_content(model=MODEL, contents="hello", config=config).parsed == {"number": 7}


def test_output_limit(client):
    config = types.GenerateContentConfig(max_output_tokens=2)
    answer = client.models.generate_content(model=MODEL, contents="hello", config=config)
    assert answer.candidates[0].finish_reason == types.FinishReason.MAX_TOKENS


def test_counting_embedding_and_models(client, sim):
    assert client.models.count_tokens(model=MODEL, contents="hello").total_tokens > 0
    assert sim.stats()["tokens_in"] == 0
    answer = client.models.embed_content(model="gemini-embedding-001", contents=["a", "b"])
    assert [len(row.values) for row in answer.embeddings] == [16, 16]
    assert f"models/{MODEL}" in [model.name for model in client.models.list()]
    assert client.models.get(model=MODEL).name == f"models/{MODEL}"


@pytest.mark.parametrize(
    ("fault", "status", "name"),
    [
        ("400", 400, "INVALID_ARGUMENT"),
        ("401", 400, "INVALID_ARGUMENT"),
        ("403", 403, "PERMISSION_DENIED"),
        ("404", 404, "NOT_FOUND"),
        ("429", 429, "RESOURCE_EXHAUSTED"),
        ("503", 503, "UNAVAILABLE"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_errors(client, fault, status, name, stream):
    options = {"model": f"{MODEL}+fault={fault}+retry=34", "contents": "hello"}
    with pytest.raises(errors.APIError) as caught:
        list(client.models.generate_content_stream(**options) if stream else client.models.generate_content(**options))
    assert (caught.value.code, caught.value.status) == (status, name)
    if fault == "429":
        assert caught.value.details["error"]["details"][-1]["retryDelay"] == "34s"


@pytest.fixture
def ended_sdk(sim):
    sim.reset()
    legacy.configure(api_key="test", transport="rest", client_options={"api_endpoint": sim.url})
    yield legacy
    legacy.configure(api_key="test", transport="rest")


def test_ended_sdk_text_and_stream(ended_sdk, sim):
    model = ended_sdk.GenerativeModel(f"models/{MODEL}+chunks=3")
    answer = model.generate_content("hello")
    assert answer.text.count(MARK) == 3
    assert answer.candidates[0].finish_reason.name == "STOP"
    assert "enum-encoding" in sim.requests()[-1]["target"]
    chunks = list(model.generate_content("hello", stream=True))
    assert "".join(part.text for chunk in chunks for part in chunk.parts).count(MARK) == 3
    assert chunks[-1].usage_metadata.candidates_token_count == 3
    assert "alt=sse" not in sim.requests()[-1]["target"]


def test_ended_sdk_tools_schema_counting_embedding_models(ended_sdk):
    model = ended_sdk.GenerativeModel(MODEL, tools=[{"function_declarations": [FUNCTION]}])
    call = model.generate_content("call the tool").candidates[0].content.parts[0].function_call
    assert (call.name, dict(call.args)) == ("lookup", {"query": MARK})
    config = {"response_mime_type": "application/json", "response_schema": SCHEMA}
    plain = ended_sdk.GenerativeModel(MODEL)
    assert plain.generate_content("hello", generation_config=config).text == '{"number":7}'
    assert plain.count_tokens("hello").total_tokens > 0
    assert len(ended_sdk.embed_content(model="models/gemini-embedding-001", content="a")["embedding"]) == 16
    assert f"models/{MODEL}" in [row.name for row in ended_sdk.list_models()]


def test_array_stream_is_one_json_document(sim):
    import json
    import urllib.request

    request = urllib.request.Request(
        f"{sim.url}/v1beta/models/{MODEL}+chunks=2:streamGenerateContent",
        data=b'{"contents":[{"parts":[{"text":"hello"}]}]}',
    )
    with urllib.request.urlopen(request) as answer:
        body = answer.read()
    assert len(json.loads(body)) == 3
    assert body.count(b"\n,\r\n{") == 2
