"""The official OpenAI SDK finds in the simulator what it finds at the provider."""

import base64
import struct

import openai
import pydantic
import pytest

from benchmarks.simulator import MARK, SimulatorProcess

TOOL = {
    "type": "function",
    "function": {"name": "lookup", "parameters": {"type": "object", "properties": {"query": {"type": "string"}}}},
}
ARGUMENTS = '{"query":"sim-answer"}'
HELLO = [{"role": "user", "content": "hello"}]
PIXEL = "data:image/png;base64,iVBORw0KGgo="


class Answer(pydantic.BaseModel):
    number: int
    words: list[str]


@pytest.fixture(scope="module")
def sim():
    with SimulatorProcess(record=True) as simulator:
        yield simulator


@pytest.fixture
def client(sim):
    sim.reset()
    with openai.OpenAI(base_url=f"{sim.url}/v1", api_key="test", max_retries=0) as sdk:
        yield sdk


def test_chat_answers_with_usage_of_the_request(client, sim):
    answer = client.chat.completions.create(model="gpt-4o-mini+chunks=3", messages=HELLO)
    assert answer.choices[0].message.content == f" {MARK}-00000 {MARK}-00001 {MARK}-00002"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == "gpt-4o-mini"
    body = sim.requests()[-1]["body"]
    assert answer.usage.prompt_tokens == len(body) // 4
    assert answer.usage.completion_tokens == 3
    bill = sim.bills()[-1]
    assert (bill["input"], bill["output"], bill["outcome"]) == (len(body) // 4, 3, "completed")
    assert bill["id"] == answer._request_id


def test_chat_stream_ends_with_usage_when_asked(client):
    stream = client.chat.completions.create(
        model="gpt-4o-mini+chunks=4", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert [chunk.usage for chunk in chunks[:-1]] == [None] * 6
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == 4
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1])
    assert text.count(MARK) == 4


def test_chat_stream_without_the_option_has_no_usage(client):
    stream = client.chat.completions.create(model="gpt-4o-mini+chunks=4", messages=HELLO, stream=True)
    chunks = list(stream)
    assert all(chunk.choices for chunk in chunks)
    assert all("usage" not in chunk.model_fields_set for chunk in chunks)


def test_several_choices_are_all_billed(client, sim):
    stream = client.chat.completions.create(
        model="gpt-4o-mini+chunks=4", messages=HELLO, n=3, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert {choice.index for chunk in chunks for choice in chunk.choices} == {0, 1, 2}
    assert chunks[-1].usage.completion_tokens == 12 == sim.bills()[-1]["output"]


def test_output_limit_cuts_the_answer(client):
    answer = client.chat.completions.create(model="gpt-4o-mini+chunks=9", messages=HELLO, max_completion_tokens=2)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 2


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("how", ["choice", "text"])
def test_tool_call(client, stream, how):
    messages = [{"role": "user", "content": "please call the tool"}] if how == "text" else HELLO
    options = {"tool_choice": "required"} if how == "choice" else {}
    answer = client.chat.completions.create(
        model="gpt-4o-mini", messages=messages, tools=[TOOL], stream=stream, **options
    )
    if stream:
        chunks = list(answer)
        calls = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or ()]
        assert calls[0].function.name == "lookup"
        arguments = "".join(call.function.arguments for call in calls)
        assert chunks[-1].choices[0].finish_reason == "tool_calls"
    else:
        arguments = answer.choices[0].message.tool_calls[0].function.arguments
    assert arguments == ARGUMENTS


def test_tools_alone_do_not_make_a_call(client):
    answer = client.chat.completions.create(model="gpt-4o-mini", messages=HELLO, tools=[TOOL])
    assert answer.choices[0].message.tool_calls is None
    result = [*HELLO, {"role": "assistant", "content": "call the tool"}]
    answer = client.chat.completions.create(model="gpt-4o-mini", messages=result, tools=[TOOL])
    assert answer.choices[0].message.tool_calls is None


def test_structured_output_fits_the_schema(client):
    answer = client.chat.completions.parse(model="gpt-4o-mini", messages=HELLO, response_format=Answer)
    assert answer.choices[0].message.parsed == Answer(number=7, words=[MARK])


def test_reasoning_models_report_reasoning_and_images_are_accepted(client):
    content = [{"type": "text", "text": "what"}, {"type": "image_url", "image_url": {"url": PIXEL}}]
    answer = client.chat.completions.create(model="o4-mini+chunks=2", messages=[{"role": "user", "content": content}])
    assert answer.usage.completion_tokens == 18
    assert answer.usage.completion_tokens_details.reasoning_tokens == 16


def test_responses(client):
    answer = client.responses.create(model="gpt-4o-mini+chunks=2", input="hello")
    assert answer.output_text == f" {MARK}-00000 {MARK}-00001"
    assert answer.usage.output_tokens == 2


def test_responses_stream_in_documented_order(client):
    events = list(client.responses.create(model="gpt-5-mini+chunks=2", input="hello", stream=True))
    assert [event.type.removeprefix("response.") for event in events] == [
        "created",
        "in_progress",
        "output_item.added",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert [event.sequence_number for event in events] == list(range(12))
    usage = events[-1].response.usage
    assert (usage.output_tokens, usage.output_tokens_details.reasoning_tokens) == (18, 16)


def test_responses_tool_structured_and_encrypted_reasoning(client):
    tool = {"type": "function", "name": "lookup", "parameters": TOOL["function"]["parameters"], "strict": False}
    answer = client.responses.create(
        model="gpt-5-mini", input="Call the tool!", tools=[tool], include=["reasoning.encrypted_content"]
    )
    reasoning, call = answer.output
    assert reasoning.encrypted_content
    assert (call.name, call.arguments) == ("lookup", ARGUMENTS)
    parsed = client.responses.parse(model="gpt-4o-mini", input="hello", text_format=Answer)
    assert parsed.output_parsed == Answer(number=7, words=[MARK])
    with client.responses.stream(model="gpt-4o-mini", input="call the tool", tools=[tool]) as stream:
        final = stream.get_final_response()
    assert final.output[0].arguments == ARGUMENTS


def test_responses_incomplete(client):
    events = list(client.responses.create(model="gpt-4o-mini", input="hello", max_output_tokens=3, stream=True))
    assert events[-1].type == "response.incomplete"
    assert events[-1].response.incomplete_details.reason == "max_output_tokens"


def test_compact_and_input_tokens(client, sim):
    compacted = client.responses.compact(model="gpt-5-mini", input="hello")
    assert compacted.output[0].type == "compaction"
    assert compacted.usage.output_tokens == sim.bills()[-1]["output"]
    counted = client.responses.input_tokens.count(model="gpt-5-mini", input="hello")
    assert counted.input_tokens > 0
    assert sim.bills()[-1]["input"] == 0


def test_completions(client):
    answer = client.completions.create(model="gpt-3.5-turbo-instruct+chunks=3", prompt="hello")
    assert answer.usage.completion_tokens == 3
    stream = client.completions.create(
        model="gpt-3.5-turbo-instruct+chunks=3", prompt="hi", stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert chunks[-1].usage.completion_tokens == 3
    assert chunks[2].choices[0].finish_reason == "stop"


def test_embeddings_in_both_encodings(client):
    floats = client.embeddings.create(model="text-embedding-3-small", input=["a", "b"], encoding_format="float")
    packed = client.embeddings.create(model="text-embedding-3-small", input=["a", "b"], encoding_format="base64")
    assert [len(row.embedding) for row in floats.data] == [16, 16]
    assert packed.data[1].embedding is not None
    raw = base64.b64decode(packed.data[1].embedding)
    assert list(struct.unpack("<16f", raw)) == floats.data[1].embedding


def test_models(client):
    assert "gpt-4o-mini" in [model.id for model in client.models.list()]
    assert client.models.retrieve("gpt-5-mini").id == "gpt-5-mini"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nothing")


@pytest.mark.parametrize(
    ("fault", "error", "code"),
    [
        ("400", openai.BadRequestError, "context_length_exceeded"),
        ("401", openai.AuthenticationError, "invalid_api_key"),
        ("403", openai.PermissionDeniedError, "model_not_found"),
        ("404", openai.NotFoundError, "model_not_found"),
        ("429", openai.RateLimitError, "rate_limit_exceeded"),
        ("quota", openai.RateLimitError, "insufficient_quota"),
        ("500", openai.InternalServerError, None),
        ("529", openai.InternalServerError, None),
    ],
)
def test_errors_are_typed_and_not_billed(client, sim, fault, error, code):
    with pytest.raises(error) as caught:
        client.chat.completions.create(model=f"gpt-4o-mini+fault={fault}+retry=3", messages=HELLO)
    assert caught.value.code == code
    assert sim.stats()["tokens_in"] == 0
    if fault == "429":
        headers = caught.value.response.headers
        assert headers["retry-after"] == "3"
        assert headers["retry-after-ms"] == "3000"
        assert headers["x-ratelimit-reset-requests"] == "6m0s"
        assert headers["x-should-retry"] == "true"


def test_error_in_a_stream(client):
    with pytest.raises(openai.APIError, match="had an error"):
        list(client.chat.completions.create(model="gpt-4o-mini+fault=error_mid", messages=HELLO, stream=True))
    with pytest.raises(openai.APIError):
        list(client.responses.create(model="gpt-4o-mini+fault=error_mid", input="x", stream=True))


def test_unknown_control_is_refused(client):
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="gpt-4o-mini+chunk=3", messages=HELLO)
