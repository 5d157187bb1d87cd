"""Several answers at once, between Chat Completions and generateContent: the SDK has each as its own API gives it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from google import genai
from google.genai import types

from tests.gateway_process import GatewayProcess, model, provider
from tests.integration.conftest import Running
from tests.raw_http import ask, request
from tests.raw_provider import RawProvider, Request, body, data_event, stream

PIECES = ((0, "Red"), (1, "Bl"), (0, ", I say"), (1, "ue"))
TEXTS = {0: "Red, I say", 1: "Blue"}
ARGUMENTS = {"place": "here"}
TOOL: Any = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}


def candidate(index: int, parts: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"content": {"role": "model", "parts": parts}, **({"index": index} if index else {}), **more}


def generated(*candidates: dict[str, Any], output: int = 9) -> dict[str, Any]:
    usage = {"promptTokenCount": 11, "candidatesTokenCount": output, "totalTokenCount": 11 + output}
    return {"candidates": list(candidates), "usageMetadata": usage, "modelVersion": "gemini-x"}


def chunk(choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices, **more}


def delta(index: int, said: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
    return {"index": index, "delta": said, "finish_reason": reason}


USAGE = {"prompt_tokens": 11, "completion_tokens": 9, "total_tokens": 20}


class Host(RawProvider):
    """Two answers, in pieces that alternate; the second one ends with a call. ``fewer``: only the first comes."""

    def __init__(self) -> None:
        super().__init__()
        self.fewer = False
        self.script = self._script

    def _script(self, request: Request, _sock: object) -> bytes:
        pieces = [(index, text) for index, text in PIECES if not (self.fewer and index)]
        if "streamGenerateContent" in request.path:
            events = [generated(candidate(index, [{"text": text}])) for index, text in pieces]
            if not self.fewer:
                call = {"functionCall": {"name": "look", "args": ARGUMENTS}}
                events.append(generated(candidate(1, [call], finishReason="STOP")))
            events.append(generated(candidate(0, [{"text": ""}], finishReason="STOP")))
            return stream([data_event(event) for event in events])
        if "generateContent" in request.path:
            call = {"functionCall": {"name": "look", "args": ARGUMENTS}}
            found = [candidate(0, [{"text": TEXTS[0]}], finishReason="STOP")]
            found += [] if self.fewer else [candidate(1, [{"text": TEXTS[1]}, call], finishReason="STOP")]
            return body(generated(*found))
        call = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": json.dumps(ARGUMENTS)}}
        if request.json().get("stream"):
            chunks = [chunk([delta(index, {"content": text})]) for index, text in pieces]
            if not self.fewer:
                chunks.append(chunk([delta(1, {"tool_calls": [{"index": 0, **call}]})]))
                chunks.append(chunk([delta(1, {}, "tool_calls")]))
            chunks += [chunk([delta(0, {}, "stop")]), chunk([], usage=USAGE)]
            return stream([*map(data_event, chunks), data_event(b"[DONE]")])
        choices = [
            {"index": 0, "message": {"role": "assistant", "content": TEXTS[0]}, "finish_reason": "stop"},
            {
                "index": 1,
                "message": {"role": "assistant", "content": TEXTS[1], "tool_calls": [call]},
                "finish_reason": "tool_calls",
            },
        ]
        answered = choices[:1] if self.fewer else choices
        return body({**chunk(answered), "object": "chat.completion", "usage": USAGE})


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with Host() as host:
        yield host


@pytest.fixture(scope="module")
def running(host: Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    providers = {"google": provider("google", host.url), "openai": provider("openai", host.url)}
    models = [model("gemini-x", "google"), model("gpt-x", "openai")]
    with GatewayProcess(tmp_path_factory.mktemp("gateway"), providers, models) as gateway:
        session = gateway.session("user", 1_000_000)
        yield Running(gateway, host, session["access_token"], session["pid"])


@pytest.fixture(params=[False, True], ids=["both", "fewer"])
def texts(request: pytest.FixtureRequest, host: Host) -> dict[int, str]:
    host.fewer = request.param
    return {0: TEXTS[0]} if host.fewer else TEXTS


REASONS = {0: "stop", 1: "tool_calls"}


def test_openais_sdk_has_both_of_gemini(running: Running, host: Host, texts: dict[int, str]) -> None:
    client = openai.OpenAI(base_url=f"{running.url}/v1", api_key=running.token, max_retries=0)
    asked: Any = {
        "model": "gemini-x", "messages": [{"role": "user", "content": "hello"}], "n": 2, "tools": [TOOL], "max_tokens": 50,
    }  # fmt: skip
    raw = client.chat.completions.with_raw_response.create(**asked)
    whole = raw.parse()
    assert host.seen[-1].json()["generationConfig"]["candidateCount"] == 2
    assert {choice.index: choice.message.content for choice in whole.choices} == texts
    assert {choice.index: choice.finish_reason for choice in whole.choices} == {n: REASONS[n] for n in texts}
    if 1 in texts:
        (call,) = whole.choices[1].message.tool_calls or ()
        assert json.loads(call.function.arguments) == ARGUMENTS  # type: ignore[union-attr]
    assert whole.usage is not None
    assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (11, 9)
    record = running.settled(raw.headers["x-request-id"])
    assert (record["basis"], record["out_visible"]) == ("reported", 9)
    if 1 not in texts:
        return  # of a stream of Google's, the gateway takes a missing answer for a cut
    with client.chat.completions.stream(**asked, stream_options={"include_usage": True}) as events:
        for _ in events:
            pass
        final = events.get_final_completion()
    assert {choice.index: choice.message.content for choice in final.choices} == texts
    assert {choice.index: choice.finish_reason for choice in final.choices} == {n: REASONS[n] for n in texts}
    assert final.usage == whole.usage
    sent = ask(
        running.url,
        request("POST", "/v1/chat/completions", json.dumps({**asked, "stream": True}).encode(), headers=running.auth),
    )
    assert sent.complete
    assert sent.body.count(b"[DONE]") == 1
    assert b'"usage":' not in sent.body  # it was not asked for


def test_googles_sdk_has_both_of_chat(running: Running, host: Host, texts: dict[int, str]) -> None:
    client = genai.Client(api_key=running.token, http_options=types.HttpOptions(base_url=running.url))
    config = types.GenerateContentConfig(
        candidate_count=2,
        max_output_tokens=50,
        tools=[types.Tool(function_declarations=[types.FunctionDeclaration(name="look")])],
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )
    whole = client.models.generate_content(model="gpt-x", contents="hello", config=config)
    assert host.seen[-1].json()["n"] == 2
    found: dict[int, str] = {}
    for one in whole.candidates or ():
        parts = one.content.parts if one.content else None
        found[one.index or 0] = "".join(part.text or "" for part in parts or ())
    assert found == texts
    assert whole.usage_metadata is not None
    assert (whole.usage_metadata.prompt_token_count, whole.usage_metadata.candidates_token_count) == (11, 9)
    streamed: dict[int, str] = {}
    ends: dict[int, Any] = {}
    calls: list[Any] = []
    last: Any = None
    for one in client.models.generate_content_stream(model="gpt-x", contents="hello", config=config):
        last = one.usage_metadata or last
        for part_of in one.candidates or ():
            index = part_of.index or 0
            parts = (part_of.content.parts if part_of.content else None) or []
            streamed[index] = streamed.get(index, "") + "".join(part.text or "" for part in parts)
            calls += [(index, part.function_call.args) for part in parts if part.function_call]
            if part_of.finish_reason:
                ends[index] = part_of.finish_reason
    assert streamed == texts
    assert ends == dict.fromkeys(texts, types.FinishReason.STOP)
    assert calls == ([(1, ARGUMENTS)] if 1 in texts else [])
    assert last.candidates_token_count == 9


def test_googles_array_is_one_document(running: Running, texts: dict[int, str]) -> None:
    asked = {
        "contents": [{"role": "user", "parts": [{"text": "hello"}]}],
        "generationConfig": {"candidateCount": 2, "maxOutputTokens": 50},
    }
    path = "/v1beta/models/gpt-x:streamGenerateContent"
    answer = ask(running.url, request("POST", path, json.dumps(asked).encode(), headers=running.auth))
    assert answer.complete
    found: dict[int, str] = {}
    for element in answer.json():
        for one in element["candidates"]:
            found[one["index"]] = found.get(one["index"], "") + "".join(
                part.get("text", "") for part in one["content"]["parts"]
            )
    assert found == texts
