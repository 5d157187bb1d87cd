"""The official SDKs against the local broker, with the provider simulator as its engine: native and translated."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from google import genai
from google.genai import errors as google_errors
from google.genai import types
from pydantic import BaseModel

from benchmarks.simulator import MARK, TRIGGER, SimulatorProcess
from tests.local_process import BrokerProcess

MODEL = "gpt-4o-mini"
REASONING = "gpt-5-mini"
SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


class Finding(BaseModel):
    title: str
    line: int


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorProcess]:
    with SimulatorProcess(record=True) as sim:
        yield sim


@pytest.fixture(scope="module", params=["native", "translated"])
def broker(request: pytest.FixtureRequest, simulator: SimulatorProcess) -> Iterator[BrokerProcess]:
    options = ["--translate"] if request.param == "translated" else []
    with BrokerProcess("--only-named", "--engine", f"127.0.0.1:{simulator.port}", *options) as broker:
        yield broker


@pytest.fixture
def sim(simulator: SimulatorProcess) -> Iterator[SimulatorProcess]:
    simulator.reset()
    yield simulator
    simulator.set_defaults(faults=None, chunks=None, at=None)


@pytest.fixture
def claude(broker: BrokerProcess) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=broker.url, api_key="unused", max_retries=0, timeout=60)


@pytest.fixture
def gemini(broker: BrokerProcess) -> genai.Client:
    return genai.Client(api_key="unused", http_options=types.HttpOptions(base_url=broker.url))


@pytest.fixture
def gpt(broker: BrokerProcess) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{broker.url}/v1", api_key="unused", max_retries=0, timeout=60)


def ask(text: str = "Say something.", **more: Any) -> dict[str, Any]:
    return {"model": MODEL, "max_tokens": 1000, "messages": [{"role": "user", "content": text}], **more}


def test_openai(sim: SimulatorProcess, gpt: openai.OpenAI) -> None:
    assert MODEL in [model.id for model in gpt.models.list()]
    whole = gpt.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "hi"}])
    assert (whole.choices[0].message.content or "").count(MARK) == 12
    stream = gpt.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "hi"}], stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream).count(MARK) == 12
    assert gpt.embeddings.create(model="text-embedding-3-small", input="hi").data[0].embedding
    assert gpt.responses.create(model=MODEL, input="hi").output_text.count(MARK) == 12


def test_openai_responses(sim: SimulatorProcess, gpt: openai.OpenAI) -> None:
    """An agent's turns: a call in a stream, its output, and the answer in a stream."""
    tool: Any = {"type": "function", "name": "read_file", "parameters": SCHEMA, "strict": False}
    turns: list[Any] = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": f"Please {TRIGGER}."},
    ]
    with gpt.responses.stream(model=MODEL, input=turns, tools=[tool]) as stream:
        first = stream.get_final_response()
    (call,) = [item for item in first.output if item.type == "function_call"]
    assert (call.name, json.loads(call.arguments)) == ("read_file", {"path": MARK})
    turns += [call.model_dump(exclude_none=True, exclude={"parsed_arguments"})]
    turns += [{"type": "function_call_output", "call_id": call.call_id, "output": "the file"}]
    with gpt.responses.stream(model=MODEL, input=turns, tools=[tool]) as stream:
        last = stream.get_final_response()
    assert last.output_text.count(MARK) == 12
    assert last.usage is not None
    assert last.usage.output_tokens == 12


def test_openai_errors(gpt: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        gpt.chat.completions.create(model="none", messages=[])
    assert caught.value.code == "model_not_found"
    with pytest.raises(openai.PermissionDeniedError) as refused:
        gpt.chat.completions.create(model="kimi:cloud", messages=[])
    assert refused.value.code == "local_mode"


def test_anthropic_text(sim: SimulatorProcess, claude: anthropic.Anthropic) -> None:
    answer = claude.messages.create(**ask(system="Be brief."))
    assert answer.content[0].text.count(MARK) == 12
    assert (answer.stop_reason, answer.model, answer.type) == ("end_turn", MODEL, "message")
    [bill] = sim.bills()
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (bill["input"], bill["output"])


def test_anthropic_stream(sim: SimulatorProcess, claude: anthropic.Anthropic) -> None:
    with claude.messages.stream(**ask()) as stream:
        kinds = [event.type for event in stream]
        answer = stream.get_final_message()
    assert (kinds[0], kinds[-1]) == ("message_start", "message_stop")
    assert answer.content[0].text.count(MARK) == 12
    [bill] = sim.bills()
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (bill["input"], bill["output"])


def test_anthropic_limit(claude: anthropic.Anthropic) -> None:
    answer = claude.messages.create(**ask(max_tokens=5))
    assert (answer.stop_reason, answer.usage.output_tokens) == ("max_tokens", 5)


@pytest.mark.parametrize("streamed", [False, True])
def test_anthropic_tools_and_back(sim: SimulatorProcess, claude: anthropic.Anthropic, *, streamed: bool) -> None:
    asked = ask(f"{TRIGGER} please", tools=[{"name": "read_file", "input_schema": SCHEMA}], tool_choice={"type": "any"})
    if streamed:
        with claude.messages.stream(**asked) as stream:
            answer = stream.get_final_message()
    else:
        answer = claude.messages.create(**asked)
    assert answer.stop_reason == "tool_use"
    [call] = [block for block in answer.content if block.type == "tool_use"]
    assert (call.name, type(call.input["path"])) == ("read_file", str)
    result = {"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": "found"}]}
    turns = [
        *asked["messages"],
        {"role": "assistant", "content": answer.content},
        {"role": "user", "content": [result]},
    ]
    again = claude.messages.create(**(asked | {"messages": turns, "tool_choice": {"type": "none"}}))
    assert MARK in again.content[0].text


def test_anthropic_image(sim: SimulatorProcess, claude: anthropic.Anthropic) -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    answer = claude.messages.create(**ask([{"type": "text", "text": "what?"}, image]))  # type: ignore[arg-type]
    assert MARK in answer.content[0].text
    assert PIXEL in sim.requests()[-1]["body"]


@pytest.mark.parametrize("fault", ["close_mid", "reset_mid", "cut_event", "error_mid"])
def test_anthropic_cut_streams_raise(sim: SimulatorProcess, claude: anthropic.Anthropic, fault: str) -> None:
    sim.set_defaults(faults=fault, chunks=6, at=3)
    # Whether the SDK hears of it as an error event or as a broken connection, it never has a whole message.
    with (
        pytest.raises((anthropic.APIError, httpx2.HTTPError)),
        claude.messages.stream(**ask()) as stream,
    ):
        stream.get_final_message()


@pytest.mark.parametrize(
    ("fault", "error"),
    [("400", anthropic.BadRequestError), ("429", anthropic.RateLimitError), ("503", anthropic.InternalServerError)],
)
def test_anthropic_errors(
    sim: SimulatorProcess, claude: anthropic.Anthropic, fault: str, error: type[Exception]
) -> None:
    sim.set_defaults(faults=fault)
    try:
        with pytest.raises(error):
            claude.messages.create(**ask())
    finally:
        sim.set_defaults(faults=None)


def test_gemini_text(sim: SimulatorProcess, gemini: genai.Client) -> None:
    config = types.GenerateContentConfig(system_instruction="Be brief.", temperature=0.5)
    answer = gemini.models.generate_content(model=MODEL, contents="hi", config=config)
    assert (answer.text or "").count(MARK) == 12
    [bill] = sim.bills()
    assert answer.usage_metadata is not None
    assert answer.usage_metadata.total_token_count == bill["input"] + bill["output"]


def test_gemini_stream(sim: SimulatorProcess, gemini: genai.Client) -> None:
    found = list(gemini.models.generate_content_stream(model=MODEL, contents="hi"))
    assert "".join(chunk.text or "" for chunk in found).count(MARK) == 12
    last = found[-1]
    assert last.candidates is not None
    assert last.candidates[0].finish_reason is types.FinishReason.STOP
    assert last.usage_metadata is not None
    assert last.usage_metadata.candidates_token_count == 12


def test_gemini_thoughts_are_counted_beside(sim: SimulatorProcess, gemini: genai.Client) -> None:
    usage = gemini.models.generate_content(model=REASONING, contents="hi").usage_metadata
    [bill] = sim.bills()
    assert usage is not None
    assert (usage.thoughts_token_count, usage.candidates_token_count) == (
        bill["reasoning"],
        bill["output"] - bill["reasoning"],
    )


def test_gemini_tools_and_back(sim: SimulatorProcess, gemini: genai.Client) -> None:
    declared = types.FunctionDeclaration(
        name="read_file",
        parameters=types.Schema(
            type=types.Type.OBJECT, properties={"path": types.Schema(type=types.Type.STRING)}, required=["path"]
        ),
    )
    config = types.GenerateContentConfig(
        tools=[types.Tool(function_declarations=[declared])],
        tool_config=types.ToolConfig(
            function_calling_config=types.FunctionCallingConfig(mode=types.FunctionCallingConfigMode.ANY)
        ),
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )
    answer = gemini.models.generate_content(model=MODEL, contents="look", config=config)
    assert answer.function_calls is not None
    [call] = answer.function_calls
    assert (call.name, type((call.args or {})["path"])) == ("read_file", str)
    assert answer.candidates is not None
    turns = [
        types.Content(role="user", parts=[types.Part(text="look")]),
        answer.candidates[0].content,
        types.Content(
            role="user",
            parts=[
                types.Part(function_response=types.FunctionResponse(name="read_file", response={"result": "found"}))
            ],
        ),
    ]
    again = gemini.models.generate_content(model=MODEL, contents=turns)  # type: ignore[arg-type]
    assert MARK in (again.text or "")
    assert '"tool_call_id"' in sim.requests()[-1]["body"]


def test_gemini_form(gemini: genai.Client) -> None:
    config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=Finding)
    assert isinstance(gemini.models.generate_content(model=MODEL, contents="x", config=config).parsed, Finding)


def test_gemini_errors(sim: SimulatorProcess, gemini: genai.Client) -> None:
    with pytest.raises(google_errors.ClientError) as caught:
        gemini.models.generate_content(model="none", contents="x")
    assert caught.value.code == 404
    sim.set_defaults(faults="503")
    with pytest.raises(google_errors.ServerError):
        gemini.models.generate_content(model=MODEL, contents="x")


@pytest.mark.parametrize("fault", ["close_mid", "reset_mid", "error_mid"])
def test_gemini_cut_streams_raise(sim: SimulatorProcess, gemini: genai.Client, fault: str) -> None:
    sim.set_defaults(faults=fault, chunks=6, at=3)
    with pytest.raises(Exception):  # noqa: B017 - the SDK lets its transport's own errors through
        list(gemini.models.generate_content_stream(model=MODEL, contents="x"))
