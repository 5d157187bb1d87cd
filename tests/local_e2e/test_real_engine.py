"""Three SDKs, the local broker, llama.cpp and Gemma 3 270M: real tokens on this machine and no other.

What a small model says is asserted for the first question to a fresh engine alone: later ones find its
cache, which changes rounding, and so words. That it says something and that this is counted always is.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from google import genai
from google.genai import errors, types

from benchmarks.ports import free_port
from tests.integration.test_local_sockets import Record, recorder
from tests.local_e2e.conftest import MODEL, Installed
from tests.local_process import BrokerProcess
from tests.tools import needs

pytestmark = [pytest.mark.local_e2e, pytest.mark.timeout(600)]

QUESTION = "What is the capital of France?"
PATIENCE = 120.0


@pytest.fixture(scope="module")
def broker(engine: int) -> Iterator[BrokerProcess]:
    with BrokerProcess("--only-named", "--engine", f"127.0.0.1:{engine}") as broker:
        yield broker


def gpt(broker: BrokerProcess) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{broker.url}/v1", api_key="unused", max_retries=0, timeout=PATIENCE)


def claude(broker: BrokerProcess) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=broker.url, api_key="unused", max_retries=0, timeout=PATIENCE)


def gemini(broker: BrokerProcess) -> genai.Client:
    return genai.Client(api_key="unused", http_options=types.HttpOptions(base_url=broker.url))


def asked(**more: Any) -> Any:
    messages = [{"role": "user", "content": QUESTION}]
    # Anthropic's SDK has no parameter for the temperature any more; the API still takes it.
    return {"model": MODEL, "messages": messages, "max_tokens": 16, "extra_body": {"temperature": 0.0}, **more}


def greedy(**more: Any) -> types.GenerateContentConfig:
    return types.GenerateContentConfig(temperature=0.0, max_output_tokens=16, **more)


def show(name: str, text: str | None, **counts: Any) -> None:
    print(f"{name}: {text!r} {json.dumps(counts)}")


def test_the_model_is_listed(broker: BrokerProcess) -> None:
    assert [model.id for model in gpt(broker).models.list()] == [MODEL]


def test_openai(broker: BrokerProcess) -> None:
    whole = gpt(broker).chat.completions.create(**asked())
    text = whole.choices[0].message.content or ""
    assert "paris" in text.lower()
    assert whole.usage is not None
    show("openai", text, input=whole.usage.prompt_tokens, output=whole.usage.completion_tokens)
    pieces = [
        chunk.choices[0].delta.content or "" for chunk in gpt(broker).chat.completions.create(**asked(stream=True))
    ]
    assert "".join(pieces).strip()
    assert len(pieces) > 1


def test_anthropic(broker: BrokerProcess) -> None:
    whole = claude(broker).messages.create(**asked())
    assert whole.content[0].text.strip()
    assert min(whole.usage.input_tokens, whole.usage.output_tokens) > 0
    assert whole.stop_reason in {"end_turn", "max_tokens"}
    show("anthropic", whole.content[0].text, input=whole.usage.input_tokens, output=whole.usage.output_tokens)
    started = time.monotonic()
    with claude(broker).messages.stream(**asked()) as stream:
        pieces = list(stream.text_stream)
        final = stream.get_final_message()
    assert "".join(pieces) == final.content[0].text
    show("anthropic, streamed", final.content[0].text, pieces=len(pieces), seconds=round(time.monotonic() - started, 2))


def test_anthropic_turns(broker: BrokerProcess) -> None:
    """Each turn of the conversation reaches the model: it is counted there."""
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "What is the capital of Germany?"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "The capital of Germany is Berlin."}]},
        {"role": "user", "content": QUESTION},
    ]
    short = claude(broker).messages.create(**asked())
    turns = claude(broker).messages.create(**asked(messages=messages))
    assert turns.content[0].text.strip()
    assert short.usage.input_tokens < turns.usage.input_tokens
    show("three turns", turns.content[0].text, input=[short.usage.input_tokens, turns.usage.input_tokens])


def test_anthropic_stop_sequence(broker: BrokerProcess) -> None:
    answer = claude(broker).messages.create(**asked(stop_sequences=["USER:"], max_tokens=64))
    assert answer.stop_reason == "end_turn"  # this engine does not say which sequence it met
    assert "USER:" not in answer.content[0].text


def test_anthropic_limit(broker: BrokerProcess) -> None:
    messages = [{"role": "user", "content": "Count from one to a hundred in words."}]
    answer = claude(broker).messages.create(**asked(messages=messages, max_tokens=5))
    assert answer.stop_reason == "max_tokens"


def test_gemini(broker: BrokerProcess) -> None:
    client = gemini(broker)
    whole = client.models.generate_content(model=MODEL, contents=QUESTION, config=greedy())
    assert (whole.text or "").strip()
    assert whole.usage_metadata is not None
    show(
        "gemini",
        whole.text,
        input=whole.usage_metadata.prompt_token_count,
        output=whole.usage_metadata.candidates_token_count,
    )
    parts = list(client.models.generate_content_stream(model=MODEL, contents=QUESTION, config=greedy()))
    assert "".join(part.text or "" for part in parts).strip()
    assert parts[-1].candidates is not None
    assert parts[-1].candidates[0].finish_reason is not None


def test_what_the_engine_refuses_comes_back_in_the_caller_s_form(broker: BrokerProcess) -> None:
    """This engine knows no JSON schemas; its own sentence says so."""
    schema = types.Schema(type=types.Type.OBJECT, properties={"city": types.Schema(type=types.Type.STRING)})
    config = greedy(response_mime_type="application/json", response_schema=schema)
    client = gemini(broker)
    with pytest.raises(errors.ServerError) as caught:
        client.models.generate_content(model=MODEL, contents=QUESTION, config=config)
    assert caught.value.code == 500
    assert "json_schema" in str(caught.value.message)


def test_a_client_that_leaves_frees_the_engine(broker: BrokerProcess) -> None:
    messages = [{"role": "user", "content": "Tell a very long story."}]
    with claude(broker).messages.stream(**asked(messages=messages, max_tokens=1500)) as stream:
        next(iter(stream.text_stream))
    assert gpt(broker).chat.completions.create(**asked()).choices[0].message.content  # the engine serves one at a time


@needs("strace")
def test_nothing_leaves_the_machine(engine: int, tmp_path: Path) -> None:
    path = tmp_path / "calls"
    with BrokerProcess("--engine", f"127.0.0.1:{engine}", prefix=recorder(path)) as traced:
        assert claude(traced).messages.create(**asked()).content
        client = gemini(traced)
        assert client.models.generate_content(model=MODEL, contents=QUESTION, config=greedy()).text
    record = Record(path)
    assert record.leaks() == []
    show("strace", None, calls=len(record.calls), addresses=sorted(record.addresses))


def test_isolated_with_the_engine_inside(installed: Installed) -> None:
    """The same, where the kernel itself has no way out for either of them."""
    port = free_port()
    command = shlex.join(installed.command(port))
    options = ("--only-named", "--isolate", "--engine", f"127.0.0.1:{port}", "--engine-command", command)
    try:
        started = BrokerProcess(*options)
        started.__enter__()
    except AssertionError as error:
        if "refuses a network namespace" in str(error):
            pytest.skip("NO NAMESPACES HERE")
        raise
    try:
        deadline = time.monotonic() + PATIENCE
        while started.send("GET", "/v1/models").json()["data"] == []:
            assert time.monotonic() < deadline
            time.sleep(0.5)
        answer = claude(started).messages.create(**asked())
        assert "paris" in answer.content[0].text.lower()
        show("isolated", answer.content[0].text, input=answer.usage.input_tokens, output=answer.usage.output_tokens)
    finally:
        started.stop()
