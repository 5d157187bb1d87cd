"""Each SDK asks models of every other company: the gateway translates, and charges what the provider billed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from google import genai
from google.genai import types

from benchmarks.simulator import MARK, TRIGGER
from tests.integration.sdk_stack import LASTING, SPOKEN, Stack

pytest_plugins = ("tests.integration.sdk_fixtures",)

TOOL = {"name": "read_file", "description": "Reads a file."}
SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
OTHERS = {
    "chat": ("anthropic", "google"),
    "responses": ("anthropic", "google"),
    "messages": ("openai", "google"),
    "gemini": ("openai", "anthropic"),
}
PAIRS = [(dialect, kind) for dialect, kinds in OTHERS.items() for kind in kinds]
MODELS = LASTING | {"openai-responses": SPOKEN}


@dataclass(frozen=True)
class Said:
    """What an SDK made of an answer."""

    text: str
    calls: tuple[tuple[str, str, Any], ...]
    stop: str
    input: int
    output: int


class Asked:
    """One dialect's SDK; ``turns`` are (role, text), (call, id, name, arguments) and (result, id, name, text)."""

    def __init__(self, stack: Stack, dialect: str) -> None:
        self.dialect = dialect
        if dialect in ("chat", "responses"):
            self.openai = openai.OpenAI(base_url=f"{stack.url}/v1", api_key=stack.token, max_retries=0, timeout=60)
        elif dialect == "messages":
            self.anthropic = anthropic.Anthropic(base_url=stack.url, api_key=stack.token, max_retries=0, timeout=60)
        else:
            self.google = genai.Client(api_key=stack.token, http_options=types.HttpOptions(base_url=stack.url))

    def __call__(self, model: str, turns: list[tuple[str, ...]], *, stream: bool, tools: bool = False) -> Said:
        return getattr(self, self.dialect)(model, turns, stream=stream, tools=tools)

    def chat(self, model: str, turns: list[tuple[str, ...]], *, stream: bool, tools: bool) -> Said:
        messages: list[Any] = [{"role": "system", "content": "Be brief."}]
        for turn in turns:
            match turn:
                case ("call", id_, name, arguments):
                    call = {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}
                    messages.append({"role": "assistant", "tool_calls": [call]})
                case ("result", id_, _, text):
                    messages.append({"role": "tool", "tool_call_id": id_, "content": text})
                case (role, text):
                    messages.append({"role": role, "content": text})
        more: dict[str, Any] = {}
        if tools:
            more["tools"] = [{"type": "function", "function": {**TOOL, "parameters": SCHEMA}}]
        if stream:
            with self.openai.chat.completions.stream(
                model=model, messages=messages, max_completion_tokens=500,
                stream_options={"include_usage": True}, **more,
            ) as events:  # fmt: skip
                answer: Any = events.get_final_completion()
        else:
            answer = self.openai.chat.completions.create(
                model=model, messages=messages, max_completion_tokens=500, **more
            )
        choice = answer.choices[0]
        calls = tuple(
            (call.id, call.function.name, json.loads(call.function.arguments))
            for call in choice.message.tool_calls or ()
        )
        usage = answer.usage
        return Said(
            choice.message.content or "", calls, choice.finish_reason, usage.prompt_tokens, usage.completion_tokens
        )

    def responses(self, model: str, turns: list[tuple[str, ...]], *, stream: bool, tools: bool) -> Said:
        items: list[Any] = []
        for turn in turns:
            match turn:
                case ("call", id_, name, arguments):
                    items.append({"type": "function_call", "call_id": id_, "name": name, "arguments": arguments})
                case ("result", id_, _, text):
                    items.append({"type": "function_call_output", "call_id": id_, "output": text})
                case (role, text):
                    items.append({"role": role, "content": text})
        more: dict[str, Any] = {"instructions": "Be brief.", "max_output_tokens": 500}
        if tools:
            more["tools"] = [{"type": "function", **TOOL, "parameters": SCHEMA, "strict": False}]
        if stream:
            with self.openai.responses.stream(model=model, input=items, **more) as events:
                answer: Any = events.get_final_response()
        else:
            answer = self.openai.responses.create(model=model, input=items, **more)
        calls = tuple(
            (item.call_id, item.name, json.loads(item.arguments))
            for item in answer.output
            if item.type == "function_call"
        )
        usage = answer.usage
        return Said(answer.output_text, calls, answer.status, usage.input_tokens, usage.output_tokens)

    def messages(self, model: str, turns: list[tuple[str, ...]], *, stream: bool, tools: bool) -> Said:
        messages: list[Any] = []
        for turn in turns:
            match turn:
                case ("call", id_, name, arguments):
                    use = {"type": "tool_use", "id": id_, "name": name, "input": json.loads(arguments)}
                    messages.append({"role": "assistant", "content": [use]})
                case ("result", id_, _, text):
                    result = {"type": "tool_result", "tool_use_id": id_, "content": text}
                    messages.append({"role": "user", "content": [result]})
                case (role, text):
                    messages.append({"role": role, "content": text})
        more: dict[str, Any] = {"system": "Be brief.", "max_tokens": 500}
        if tools:
            more["tools"] = [{**TOOL, "input_schema": SCHEMA}]
        if stream:
            with self.anthropic.messages.stream(model=model, messages=messages, **more) as events:
                answer: Any = events.get_final_message()
        else:
            answer = self.anthropic.messages.create(model=model, messages=messages, **more)
        text = "".join(block.text for block in answer.content if block.type == "text")
        calls = tuple((block.id, block.name, block.input) for block in answer.content if block.type == "tool_use")
        usage = answer.usage
        read = (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0)
        return Said(text, calls, answer.stop_reason, usage.input_tokens + read, usage.output_tokens)

    def gemini(self, model: str, turns: list[tuple[str, ...]], *, stream: bool, tools: bool) -> Said:
        contents: list[Any] = []
        for turn in turns:
            match turn:
                case ("call", id_, name, arguments):
                    call = types.FunctionCall(id=id_, name=name, args=json.loads(arguments))
                    contents.append(types.Content(role="model", parts=[types.Part(function_call=call)]))
                case ("result", id_, name, text):
                    result = types.FunctionResponse(id=id_, name=name, response={"output": text})
                    contents.append(types.Content(role="user", parts=[types.Part(function_response=result)]))
                case (role, text):
                    role = "model" if role == "assistant" else role
                    contents.append(types.Content(role=role, parts=[types.Part(text=text)]))
        declared = types.FunctionDeclaration(**TOOL, parameters_json_schema=SCHEMA)
        config = types.GenerateContentConfig(
            system_instruction="Be brief.",
            max_output_tokens=500,
            tools=[types.Tool(function_declarations=[declared])] if tools else None,
        )
        if stream:
            chunks: list[Any] = list(
                self.google.models.generate_content_stream(model=model, contents=contents, config=config)
            )
        else:
            chunks = [self.google.models.generate_content(model=model, contents=contents, config=config)]
        parts = [part for chunk in chunks for part in chunk.candidates[0].content.parts or ()]
        usage = chunks[-1].usage_metadata
        output = (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0)
        return Said(
            "".join(part.text for part in parts if part.text and not part.thought),
            tuple((part.function_call.id, part.function_call.name, part.function_call.args) for part in parts
                  if part.function_call),
            chunks[-1].candidates[0].finish_reason.value,
            usage.prompt_token_count,
            output,
        )  # fmt: skip


ENDS = {
    "chat": ("stop", "tool_calls"),
    "responses": ("completed", "completed"),
    "messages": ("end_turn", "tool_use"),
    "gemini": ("STOP", "STOP"),
}


@pytest.fixture(params=PAIRS, ids=lambda pair: f"{pair[0]}-{pair[1]}")
def pair(request: pytest.FixtureRequest, stack: Stack) -> tuple[Asked, str, str]:
    dialect, kind = request.param
    return Asked(stack, dialect), MODELS[kind], kind


@pytest.mark.parametrize(
    "pair",
    [*PAIRS, ("messages", "openai-responses"), ("gemini", "openai-responses")],
    ids=lambda pair: f"{pair[0]}-{pair[1]}",
    indirect=True,
)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_turn_with_a_tool_and_its_result(stack: Stack, pair: tuple[Asked, str, str], stream: bool) -> None:
    asked, model, kind = pair
    ends = ENDS[asked.dialect]
    turns: list[tuple[str, ...]] = [("user", f"Please {TRIGGER}.")]
    said = asked(model, turns, stream=stream, tools=True)
    [(id_, name, arguments)] = said.calls
    assert (name, said.stop) == ("read_file", ends[1])
    assert set(arguments) == {"path"}
    turns += [("call", id_ or "call_1", name, json.dumps(arguments)), ("result", id_ or "call_1", name, "the file")]
    turns += [("user", "What does it say?")]
    said = asked(model, turns, stream=stream, tools=True)
    assert said.text.count(MARK) == 12
    assert (said.calls, said.stop) == ((), ends[0])
    records = stack.settled(2)
    assert {record["provider"] for record in records} == {kind}
    last = records[-1]
    read = last["in_uncached"] + last["cache_read"] + last["cache_write_5m"]
    assert (said.input, said.output) == (read, last["out_visible"] + last["out_reasoning"])


@pytest.mark.parametrize("forced", [False, True])
def test_a_search_that_an_agent_only_offers_is_left_out(stack: Stack, forced: bool) -> None:
    client = openai.OpenAI(base_url=f"{stack.url}/v1", api_key=stack.token, max_retries=0, timeout=60)
    tools: Any = [{"type": "web_search"}, {"type": "function", **TOOL, "parameters": SCHEMA, "strict": False}]
    ask = client.responses.with_raw_response.create
    model = LASTING["anthropic"]
    if forced:
        with pytest.raises(openai.BadRequestError) as raised:
            ask(model=model, input="Go on.", tools=tools, tool_choice={"type": "web_search"})
        assert raised.value.param == "tools"
        stack.uncharged()
        return
    answer = ask(model=model, input="Go on.", tools=tools)
    assert answer.headers["x-tools-removed"] == "openai_web_search"
    assert answer.parse().status == "completed"
    stack.settled()


FAULTS = ("error_mid", "close_mid", "reset_mid", "cut_event")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_stream_that_fails_never_looks_whole(stack: Stack, pair: tuple[Asked, str, str], fault: str) -> None:
    asked, _, kind = pair
    with pytest.raises((openai.APIError, anthropic.APIError, genai.errors.APIError, httpx2.HTTPError)):
        asked(f"{kind}-{fault}", [("user", "Go on.")], stream=True)
    [record] = stack.account.records(1)
    assert record["outcome"] in {"upstream_error", "upstream_cut"}
    stack.account.let_go()


STATUSES = {"400": 400, "429": 429, "503": 503, "401": 503}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("fault", STATUSES)
def test_an_error_is_the_callers_own(stack: Stack, pair: tuple[Asked, str, str], fault: str, stream: bool) -> None:
    asked, _, kind = pair
    errors = (openai.APIStatusError, anthropic.APIStatusError, genai.errors.APIError)
    with pytest.raises(errors) as raised:
        asked(f"{kind}-{fault}", [("user", "Go on.")], stream=stream)
    error: Any = raised.value
    status = error.code if isinstance(error, genai.errors.APIError) else error.status_code
    assert status == STATUSES[fault]
    if isinstance(error, anthropic.APIStatusError):
        assert error.body["type"] == "error"
        assert error.body["error"]["message"]
    else:
        assert error.message
    stack.uncharged()
