"""Google's former SDK (google-generativeai) over REST, which has no asynchronous client there."""

from __future__ import annotations

import base64
import warnings
from typing import Any

import pytest

from benchmarks.simulator import MARK, TRIGGER
from tests.integration.sdk_stack import PIXEL, Stack

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # it announces its own end
    import google.generativeai as genai

pytest_plugins = ("tests.integration.sdk_fixtures",)

MODEL = "gemini-2.5-flash"
EMBEDDING = "models/gemini-embedding-001"
DECLARATION: Any = {
    "name": "read_file",
    "description": "Reads a file.",
    "parameters": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
}


@pytest.fixture(autouse=True)
def configured(stack: Stack) -> None:
    genai.configure(api_key=stack.token, transport="rest", client_options={"api_endpoint": stack.url})


def ask(contents: Any = "Say something.", *, model: str = MODEL, stream: bool = False, **more: Any) -> Any:
    """One call; nothing is retried, and nothing takes longer than ten seconds."""
    options: Any = {"retry": None, "timeout": 10}
    return genai.GenerativeModel(model, **more).generate_content(contents, stream=stream, request_options=options)


def test_text(stack: Stack) -> None:
    answer = ask(system_instruction="Be brief.")
    assert answer.text.count(MARK) == 12
    (record,) = stack.settled()
    assert record["in_uncached"] == answer.usage_metadata.prompt_token_count
    assert record["out_visible"] == answer.usage_metadata.candidates_token_count
    assert record["provider"] == "google"


def test_stream_as_an_array_of_objects(stack: Stack) -> None:
    chunks = list(ask(stream=True))
    assert "".join(chunk.text for chunk in chunks if chunk.parts).count(MARK) == 12
    assert len(chunks) > 2
    assert "alt=sse" not in stack.sim.requests()[-1]["target"]
    (record,) = stack.settled()
    assert record["out_visible"] == chunks[-1].usage_metadata.candidates_token_count


def test_tools_round_trip(stack: Stack) -> None:
    model = genai.GenerativeModel(MODEL, tools=[{"function_declarations": [DECLARATION]}])
    chat = model.start_chat()
    answer = chat.send_message(f"Please {TRIGGER}.")
    call = answer.candidates[0].content.parts[0].function_call
    assert (call.name, dict(call.args)) == ("read_file", {"path": MARK})
    result: Any = {"function_response": {"name": "read_file", "response": {"text": "the file"}}}
    assert MARK in chat.send_message(result).text
    stack.settled(2)


def test_tools_in_a_stream(stack: Stack) -> None:
    config = {"function_calling_config": {"mode": "ANY"}}
    chunks = list(ask(stream=True, tools=[{"function_declarations": [DECLARATION]}], tool_config=config))
    (call,) = [part.function_call for chunk in chunks for part in chunk.parts if part.function_call]
    assert call.name == "read_file"
    stack.settled()


def test_image_in(stack: Stack) -> None:
    answer = ask([{"mime_type": "image/png", "data": base64.b64decode(PIXEL)}, "What is it?"])
    assert MARK in answer.text
    assert stack.last_request()["contents"][0]["parts"][0]["inlineData"]["data"] == PIXEL
    stack.settled()


def test_structured_output(stack: Stack) -> None:
    schema = {"type": "object", "properties": {"title": {"type": "string"}}}
    answer = ask(generation_config={"response_mime_type": "application/json", "response_schema": schema})
    assert answer.text == f'{{"title":"{MARK}"}}'
    stack.settled()


@pytest.mark.parametrize("content", ["one", ["one", "two"]])
def test_embeddings(stack: Stack, content: Any) -> None:
    answer = genai.embed_content(model=EMBEDDING, content=content, output_dimensionality=8)
    rows = answer["embedding"] if isinstance(content, list) else [answer["embedding"]]
    assert [len(row) for row in rows] == [8] * (1 if content == "one" else 2)
    (record,) = stack.account.records(1)
    assert record["out_visible"] == 0
    assert record["in_uncached"] > 0


def test_token_counting_is_free(stack: Stack) -> None:
    assert genai.GenerativeModel(MODEL).count_tokens("Count this.").total_tokens > 0
    stack.uncharged()


def test_models(stack: Stack) -> None:
    names = [model.name for model in genai.list_models(page_size=4)]
    assert f"models/{MODEL}" in names
    assert len(names) == len(set(names)) > 4
    assert "models/google-pro" not in names
    assert "generateContent" in genai.get_model(f"models/{MODEL}").supported_generation_methods
    assert stack.sim.stats()["requests"] == 0
