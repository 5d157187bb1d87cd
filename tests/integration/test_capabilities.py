"""What models can do, as the three SDKs read it in their lists, and what happens to requests that need more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest
from google import genai
from google.genai import types

from tests.gateway_process import GatewayProcess, model, provider
from tests.integration.conftest import Running
from tests.raw_provider import RawProvider, Request, body

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
CHAT = {
    "id": "c", "object": "chat.completion", "created": 1, "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Seen"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
}  # fmt: skip
MESSAGE = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [{"type": "text", "text": "Seen"}],
    "stop_reason": "end_turn", "stop_sequence": None, "usage": {"input_tokens": 11, "output_tokens": 7},
}  # fmt: skip
PICTURE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
ASKED: list[Any] = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, PICTURE]}]
BLIND = {"vision": False, "tools": False, "reasoning": False}


class Host(RawProvider):
    """Answers both of its APIs."""

    def __init__(self) -> None:
        super().__init__()
        self.script = lambda request, _sock: body(MESSAGE if request.path == "/v1/messages" else CHAT)

    def asked(self) -> list[str]:
        return [seen.json()["model"] for seen in self.seen]


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with Host() as host:
        yield host


@pytest.fixture(scope="module")
def process(host: Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    providers = {
        "first": provider("openai", host.url, company="one"),
        "second": provider("openai", host.url, company="one"),
        "claude": provider("anthropic", host.url, company="two"),
    }
    both = [
        {"provider": "first", "model": "half-blind", "capabilities": {"vision": False}},
        {"provider": "second", "model": "half-seeing"},
    ]
    models = [
        model("blind", "first", capabilities=BLIND, context_window=1_000, max_output=100),
        model("seeing", "first", capabilities={"vision": True, "documents": False}),
        model("unknown", "first"),
        {**model("half", ""), "targets": both},
        model("claude-haiku-4-5", "claude"),
        model("claude-blind", "claude", "claude-x", capabilities=BLIND),
    ]
    with GatewayProcess(tmp_path_factory.mktemp("gateway"), providers, models) as gateway:
        session = gateway.session("user", 100_000)
        yield Running(gateway, host, session["access_token"], session["pid"])


@pytest.fixture
def running(process: Running, host: Host) -> Running:
    host.seen.clear()
    return process


def of_openai(running: Running) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{running.url}/v1", api_key=running.token, max_retries=0)


def of_anthropic(running: Running) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=running.url, api_key=running.token, max_retries=0)


def of_google(running: Running) -> genai.Client:
    return genai.Client(api_key=running.token, http_options=types.HttpOptions(base_url=running.url))


def test_openais_sdk_passes_on_what_its_list_has_beside_its_own_members(running: Running) -> None:
    listed = {one.id: one for one in of_openai(running).models.list()}
    extra = {name: one.model_extra or {} for name, one in listed.items()}
    assert extra["blind"] == {"context_window": 1_000, "max_output_tokens": 100, "capabilities": BLIND}
    assert extra["seeing"] == {"capabilities": {"vision": True, "documents": False}}
    assert extra["unknown"] == {}
    assert extra["half"] == {}  # the first place is stated not to see, and of the second nothing is stated
    haiku = extra["claude-haiku-4-5"]
    assert (haiku["max_output_tokens"], haiku["capabilities"]["vision"], haiku["capabilities"]["audio"]) == (
        64_000,
        True,
        False,
    )
    assert (of_openai(running).models.retrieve("blind").model_extra or {})["capabilities"] == BLIND


def test_anthropics_sdk_reads_its_own_members(running: Running) -> None:
    listed = {one.id: one for one in of_anthropic(running).models.list()}
    haiku, blind, unknown = listed["claude-haiku-4-5"], listed["claude-blind"], listed["unknown"]
    assert haiku.capabilities is not None
    assert haiku.max_tokens == 64_000
    assert haiku.capabilities.image_input.supported is True
    assert haiku.capabilities.pdf_input.supported is True
    assert haiku.capabilities.structured_outputs.supported is True
    assert haiku.capabilities.batch.supported is False
    thinking = haiku.capabilities.thinking
    assert (thinking.supported, thinking.types.adaptive.supported, thinking.types.enabled.supported) == (
        True,
        False,
        True,
    )
    assert blind.capabilities is not None
    assert blind.capabilities.image_input.supported is False
    assert blind.capabilities.thinking.supported is False
    assert blind.capabilities.pdf_input is None  # not stated
    assert set(blind.capabilities.to_dict()) == set(type(blind.capabilities).model_fields)
    assert unknown.capabilities is None
    of_another = listed["blind"]
    assert (of_another.max_input_tokens, of_another.max_tokens) == (1_000, 100)


def test_googles_sdk_reads_its_own_members(running: Running) -> None:
    client = of_google(running)
    listed = {str(one.name).removeprefix("models/"): one for one in client.models.list()}
    assert (listed["claude-haiku-4-5"].thinking, listed["blind"].thinking, listed["unknown"].thinking) == (
        True,
        False,
        None,
    )
    assert (listed["blind"].input_token_limit, listed["blind"].output_token_limit) == (1_000, 100)
    assert listed["claude-haiku-4-5"].output_token_limit == 64_000


def test_what_the_model_lacks_is_refused_before_anything_is_held_or_sent(running: Running, host: Host) -> None:
    before = running.quiet()
    with pytest.raises(openai.BadRequestError) as caught:
        of_openai(running).chat.completions.create(model="blind", messages=ASKED)
    assert (caught.value.code, caught.value.param) == ("unsupported_feature", "messages")
    assert "Model: blind." in str(caught.value.message)
    tools: Any = [{"name": "look", "input_schema": {"type": "object", "properties": {}}}]
    with pytest.raises(anthropic.BadRequestError) as refused:
        of_anthropic(running).messages.create(
            model="claude-blind", max_tokens=9, tools=tools, messages=[{"role": "user", "content": "hello"}]
        )
    assert "Model: claude-blind." in json.dumps(refused.value.body)
    assert host.seen == []
    assert running.quiet() == before


def test_a_translated_request_is_refused_by_the_name_in_its_own_api(running: Running, host: Host) -> None:
    picture = types.Part.from_bytes(data=b"\x89PNG\r\n\x1a\n", mime_type="image/png")
    client = of_google(running)
    with pytest.raises(genai.errors.ClientError) as caught:
        client.models.generate_content(model="claude-blind", contents=[picture])
    assert caught.value.code == 400
    assert "is stated to see no images" in str(caught.value)
    assert "Model: claude-blind." in str(caught.value)
    with pytest.raises(openai.BadRequestError) as refused:
        of_openai(running).chat.completions.create(model="claude-blind", messages=ASKED)
    assert refused.value.param == "messages"
    assert host.seen == []


def test_a_place_that_lacks_it_is_passed_by(running: Running, host: Host) -> None:
    client = of_openai(running)
    assert client.chat.completions.create(model="half", messages=ASKED).choices[0].message.content == "Seen"
    client.chat.completions.create(model="half", messages=[{"role": "user", "content": "hello"}])
    client.chat.completions.create(model="unknown", messages=ASKED)
    of_anthropic(running).messages.create(
        model="claude-haiku-4-5", max_tokens=9, messages=[{"role": "user", "content": "hello"}]
    )
    assert host.asked() == ["half-seeing", "half-blind", "unknown", "claude-haiku-4-5"]


def test_a_place_that_lacks_it_is_no_fallback(running: Running, host: Host) -> None:
    host_script, host.script = host.script, lambda request, _sock: _fails(request)
    try:
        with pytest.raises(openai.APIStatusError) as caught:
            of_openai(running).chat.completions.create(model="half", messages=ASKED)
        assert caught.value.status_code == 503
        assert set(host.asked()) == {"half-seeing"}
    finally:
        host.script = host_script


def _fails(_request: Request) -> bytes:
    return body({"error": {"message": "Overloaded.", "type": "server_error"}}, status="503 Service Unavailable")
