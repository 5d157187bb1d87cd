"""What is no conversation, asked of models of another company: token counts, embeddings, and fill-in-the-middle."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import openai
import pytest
from google import genai
from google.genai import types

from tests.integration.sdk_stack import FILLING, LASTING, SPOKEN, Stack

pytest_plugins = ("tests.integration.sdk_fixtures",)

COUNTS = {"openai": ("anthropic", "google"), "anthropic": ("openai", "google"), "google": ("openai", "anthropic")}
MODELS = LASTING | {"openai": SPOKEN}


def sdks(stack: Stack) -> tuple[openai.OpenAI, anthropic.Anthropic, genai.Client]:
    return (
        openai.OpenAI(base_url=f"{stack.url}/v1", api_key=stack.token, max_retries=0),
        anthropic.Anthropic(base_url=stack.url, api_key=stack.token, max_retries=0),
        genai.Client(api_key=stack.token, http_options=types.HttpOptions(base_url=stack.url)),
    )


@pytest.mark.parametrize(("sdk", "kind"), [(sdk, kind) for sdk, kinds in COUNTS.items() for kind in kinds])
def test_tokens_are_counted_by_the_model_s_own_api(stack: Stack, sdk: str, kind: str) -> None:
    model, text = MODELS[kind], "How many tokens is this?"
    asks_openai, asks_anthropic, asks_google = sdks(stack)
    if sdk == "openai":
        found: Any = asks_openai.responses.input_tokens.count(model=model, input=text).input_tokens
    elif sdk == "anthropic":
        messages: list[Any] = [{"role": "user", "content": text}]
        found = asks_anthropic.messages.count_tokens(model=model, messages=messages).input_tokens
    else:
        found = asks_google.models.count_tokens(model=model, contents=text).total_tokens
    asked = stack.sim.requests()[-1]
    assert text in json.dumps(json.loads(asked["body"]))
    assert {"openai": "/input_tokens", "anthropic": "/count_tokens", "google": ":countTokens"}[kind] in asked["target"]
    assert found > 0
    stack.uncharged()


def test_openai_s_sdk_gets_vectors_of_google_s_model(stack: Stack) -> None:
    client = sdks(stack)[0]
    model = "gemini-embedding-001"
    packed = client.embeddings.create(model=model, input=["one", "two"], dimensions=8)  # the SDK asks for base64
    plain = client.embeddings.create(model=model, input=["one", "two"], dimensions=8, encoding_format="float")
    assert [datum.embedding for datum in packed.data] == [datum.embedding for datum in plain.data]
    assert [len(datum.embedding) for datum in plain.data] == [8, 8]
    assert [datum.index for datum in plain.data] == [0, 1]
    assert plain.model == model
    assert plain.usage.prompt_tokens > 0
    [first, _] = stack.account.records(2)
    assert (first["provider"], first["outcome"]) == ("google", "completed")


def test_google_s_sdk_gets_vectors_of_openai_s_model(stack: Stack) -> None:
    client = sdks(stack)[2]
    config = types.EmbedContentConfig(output_dimensionality=8, task_type="RETRIEVAL_QUERY")
    found = client.models.embed_content(model="text-embedding-3-small", contents=["one", "two"], config=config)
    assert found.embeddings is not None
    assert [len(vector.values or ()) for vector in found.embeddings] == [8, 8]
    headers = found.sdk_http_response.headers if found.sdk_http_response else None
    assert headers is not None
    assert headers["x-translation-dropped"] == "requests.taskType"
    assert stack.last_request()["input"] == ["one", "two"]
    [record] = stack.settled(1)
    assert record["provider"] == "openai"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_completion_with_a_suffix_is_filled_in_at_the_host_s_own_endpoint(stack: Stack, stream: bool) -> None:
    client = sdks(stack)[0]
    asked: dict[str, Any] = {"model": FILLING, "prompt": "def f(", "suffix": "return x", "max_tokens": 50, "seed": 3}
    if stream:
        chunks = list(client.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
        text = "".join(choice.text for chunk in chunks for choice in chunk.choices)
        reasons = [choice.finish_reason for chunk in chunks for choice in chunk.choices]
        usage = chunks[-1].usage
        assert reasons[-1] in {"stop", "length"}
        assert {chunk.object for chunk in chunks} == {"text_completion"}
    else:
        answer = client.completions.create(**asked)
        text, usage = answer.choices[0].text, answer.usage
        assert answer.object == "text_completion"
        assert answer.model == FILLING
    assert text
    sent = stack.sim.requests()[-1]
    assert sent["target"].endswith("/v1/fim/completions")
    assert json.loads(sent["body"])["suffix"] == "return x"
    [record] = stack.settled(1)
    assert record["provider"] == "mistral"
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens) == (record["in_uncached"], record["out_visible"])


def test_what_the_endpoint_does_not_have_is_refused_by_name(stack: Stack) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        sdks(stack)[0].completions.create(model=FILLING, prompt="a", n=2)
    assert raised.value.param == "n"
    stack.uncharged()
