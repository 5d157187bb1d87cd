"""Stop sequences for a model of the Responses API, which has none: each SDK sees the end that its own API would give."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from google import genai
from google.genai import types

from tests.gateway_process import GatewayProcess, model, provider
from tests.integration.conftest import Running
from tests.raw_provider import RawProvider, Request, body, data_event, stream

TEXT = "First part.\n\nHuman: more"
PIECES = ("First part.", "\n", "\nHum", "an: mo", "re")
STOP = "\n\nHuman:"
USAGE = {"input_tokens": 11, "output_tokens": 9, "total_tokens": 20, "output_tokens_details": {"reasoning_tokens": 2}}
CALL = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "call_1",
    "name": "look",
    "arguments": "{}",
    "status": "completed",
}


def response(*, called: bool = False, **more: Any) -> dict[str, Any]:
    message = {
        "type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
        "content": [{"type": "output_text", "text": TEXT, "annotations": []}],
    }  # fmt: skip
    return {
        "id": "resp_1", "object": "response", "created_at": 1, "model": "gpt-5", "status": "completed", "error": None,
        "incomplete_details": None, "output": [message, *([CALL] if called else ())], "usage": USAGE, **more,
    }  # fmt: skip


def events(*, called: bool) -> Iterator[bytes]:
    whole = response(called=called)
    found: list[dict[str, Any]] = [{"type": "response.created", "response": {**whole, "output": [], "usage": None}}]
    found.append(
        {"type": "response.output_item.added", "output_index": 0, "item": {**whole["output"][0], "content": []}}
    )
    found += [
        {
            "type": "response.output_text.delta",
            "item_id": "msg_1",
            "output_index": 0,
            "content_index": 0,
            "delta": piece,
        }
        for piece in PIECES
    ]
    found.append({"type": "response.output_item.done", "output_index": 0, "item": whole["output"][0]})
    if called:
        found.append({"type": "response.output_item.added", "output_index": 1, "item": {**CALL, "arguments": ""}})
        found.append(
            {"type": "response.function_call_arguments.delta", "item_id": "fc_1", "output_index": 1, "delta": "{}"}
        )
        found.append({"type": "response.output_item.done", "output_index": 1, "item": CALL})
    found.append({"type": "response.completed", "response": whole})
    for number, event in enumerate(found):
        yield data_event({**event, "sequence_number": number}, event["type"])


class Host(RawProvider):
    """Writes on, whatever it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.called = False
        self.script = self._script

    def _script(self, request: Request, _sock: object) -> bytes:
        if request.json().get("stream"):
            return stream(events(called=self.called))
        return body(response(called=self.called))


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with Host() as host:
        yield host


@pytest.fixture(scope="module")
def running(host: Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    providers = {"openai": provider("openai", host.url, responses=True)}
    with GatewayProcess(tmp_path_factory.mktemp("gateway"), providers, [model("gpt-5", "openai")]) as gateway:
        session = gateway.session("user", 100_000)
        yield Running(gateway, host, session["access_token"], session["pid"])


@pytest.fixture(params=[False, True], ids=["text", "and-a-call"])
def called(request: pytest.FixtureRequest, host: Host) -> bool:
    host.called = request.param
    host.seen.clear()
    return host.called


@pytest.fixture
def claude(running: Running) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=running.url, api_key=running.token, max_retries=0)


ASKED: Any = {"model": "gpt-5", "max_tokens": 50, "messages": [{"role": "user", "content": "hello"}]}


def charged(running: Running, rid: str) -> int:
    record = running.settled(rid)
    assert (record["basis"], record["outcome"]) == ("reported", "completed")
    return record["out_visible"] + record["out_reasoning"]


def test_anthropics_sdk(running: Running, host: Host, claude: anthropic.Anthropic, called: bool) -> None:
    answer = claude.messages.with_raw_response.create(**ASKED, stop_sequences=["never", STOP])
    message = answer.parse()
    assert [block.to_dict() for block in message.content] == [{"type": "text", "text": "First part."}]
    assert (message.stop_reason, message.stop_sequence, message.usage.output_tokens) == ("stop_sequence", STOP, 9)
    assert charged(running, answer.headers["x-request-id"]) == 9  # all that the model wrote
    assert "stop" not in json.dumps(host.seen[-1].json())
    with claude.messages.stream(**ASKED, stop_sequences=[STOP]) as streamed:
        final = streamed.get_final_message()
    assert [block.type for block in final.content] == ["text"]
    assert streamed.get_final_text() == "First part."
    assert (final.stop_reason, final.stop_sequence, final.usage.output_tokens) == ("stop_sequence", STOP, 9)


def test_a_sequence_that_does_not_come_changes_nothing(claude: anthropic.Anthropic, called: bool) -> None:
    for stop in ([], ["\n\nHuman: more and more"]):
        with claude.messages.stream(**ASKED, stop_sequences=stop) as streamed:
            final = streamed.get_final_message()
        assert streamed.get_final_text() == TEXT
        assert final.stop_reason == ("tool_use" if called else "end_turn")
        whole = claude.messages.create(**ASKED, stop_sequences=stop)
        assert [block.type for block in whole.content] == [block.type for block in final.content]
        assert (whole.stop_reason, whole.stop_sequence) == (final.stop_reason, None)


def test_googles_sdk(running: Running, called: bool) -> None:
    client = genai.Client(api_key=running.token, http_options=types.HttpOptions(base_url=running.url))
    config = types.GenerateContentConfig(stop_sequences=[STOP])
    answer = client.models.generate_content(model="gpt-5", contents="hello", config=config)
    assert (answer.text, answer.function_calls) == ("First part.", None)
    assert answer.candidates is not None
    assert answer.candidates[0].finish_reason is types.FinishReason.STOP
    chunks = list(client.models.generate_content_stream(model="gpt-5", contents="hello", config=config))
    assert "".join(chunk.text or "" for chunk in chunks) == "First part."
    assert all(chunk.function_calls is None for chunk in chunks)
    usage = chunks[-1].usage_metadata
    assert usage is not None
    assert (usage.candidates_token_count, usage.thoughts_token_count) == (7, 2)


def test_what_cannot_be_cut_is_refused_by_name(running: Running, claude: anthropic.Anthropic, host: Host) -> None:
    host.seen.clear()
    for stop in (["x" * 257], [str(number) for number in range(17)]):
        with pytest.raises(anthropic.BadRequestError) as caught:
            claude.messages.create(**ASKED, stop_sequences=stop)
        assert "stop" in caught.value.message
    client = genai.Client(api_key=running.token, http_options=types.HttpOptions(base_url=running.url))
    config = types.GenerateContentConfig(stop_sequences=[STOP], response_logprobs=True, logprobs=1)
    with pytest.raises(genai.errors.ClientError):
        client.models.generate_content(model="gpt-5", contents="hello", config=config)
    assert host.seen == []
