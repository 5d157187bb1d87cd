"""A request has so much time for all its attempts: its caller's, as its SDK states it, and the configured one."""

from __future__ import annotations

import json
import socket
import threading
from typing import Any

import anthropic
import openai
import pytest
from google import genai
from google.genai import types

from tests.gateway_process import GatewayProcess, model, provider
from tests.integration.conftest import Running
from tests.integration.test_endings import FORMS, OUTPUT, answer_of
from tests.raw_http import PATIENCE, Answer, ask, request
from tests.raw_provider import RawProvider, body

SHORT = 0.5
FORM_HEADERS = {
    "chat": "x-stainless-read-timeout",
    "responses": "x-stainless-timeout",
    "messages": "x-stainless-timeout",
    "gemini": "x-server-timeout",
}


class Silent:
    """A provider that never answers, and says who asked it and that the gateway has left."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.left = threading.Event()

    def __call__(self, asked: Any, sock: socket.socket) -> None:
        self.asked.append(asked.path[1])
        sock.settimeout(PATIENCE)
        if not sock.recv(1):
            self.left.set()


@pytest.fixture(scope="module")
def raw():
    with RawProvider() as raw:
        yield raw


def start(raw: RawProvider, folder: Any, **tables: Any) -> GatewayProcess:
    kinds = ("openai", "anthropic", "google")
    providers = {
        f"{kind}{number}": provider(kind, f"{raw.url}/{number}", company=kind) for kind in kinds for number in (1, 2)
    }
    targets = {kind: [{"provider": f"{kind}{number}", "model": "m"} for number in (1, 2)] for kind in kinds}
    models = [{**model(kind, f"{kind}1", "m", max_output=1_000), "targets": targets[kind]} for kind in kinds]
    return GatewayProcess(folder, providers, models, tables)


@pytest.fixture(scope="module")
def running(raw, tmp_path_factory):
    server = {"keep_alive_seconds": 2, "attempts_timeout": 3}
    with start(raw, tmp_path_factory.mktemp("deadlines"), server=server) as gateway:
        session = gateway.session("user", 1_000_000)
        yield Running(gateway, None, session["access_token"], session["pid"])


def send(running: Running, form: str, **headers: Any) -> Answer:
    path, data, *_ = FORMS[form]
    headers = {name.replace("_", "-"): str(value) for name, value in headers.items()}
    headers |= running.auth | {"anthropic-version": "2023-06-01"}
    return ask(running.url, request("POST", path, json.dumps(data).encode(), headers=headers))


@pytest.mark.parametrize("form", FORM_HEADERS)
def test_its_caller_is_told_before_it_gives_up(running, raw, form):
    raw.script = silent = Silent()
    answer = send(running, form, **{FORM_HEADERS[form]: SHORT})
    assert (answer.status, answer.code, answer.complete) == (504, "upstream_timeout", True)
    assert "time-out that the client states" in answer.body.decode()
    assert silent.left.wait(PATIENCE)  # the provider works on for nobody
    assert len(silent.asked) == 1  # no time is left for the other target
    assert running.settled(answer.rid)["status"] == "voided"


def test_the_time_is_that_of_all_attempts(running, raw):
    silent, asked = Silent(), []

    def script(request_: Any, sock: socket.socket) -> bytes | None:
        asked.append(request_.path)
        return body(b"{}", status="503 Service Unavailable") if len(asked) == 1 else silent(request_, sock)

    raw.script = script
    answer = send(running, "messages", x_stainless_timeout=SHORT)
    assert (answer.status, answer.code, len(asked)) == (504, "upstream_timeout", 2)
    raw.script = answer_of("messages", ["opening", "output", "end"])
    answer = send(running, "messages", x_stainless_timeout=PATIENCE)
    assert running.settled(answer.rid)["out_visible"] == OUTPUT


def test_a_client_that_has_a_sign_of_life_waits(running, raw):
    """Its time-out is for the first byte, and it has that."""

    def script(_asked: Any, _sock: socket.socket) -> bytes:
        threading.Event().wait(2.6)
        return answer_of("messages", ["opening", "output", "end"])

    raw.script = script
    answer = send(running, "messages", x_stainless_timeout=2.4)
    assert (answer.status, answer.complete, answer.body[:11]) == (200, True, b"event: ping")
    assert running.settled(answer.rid)["out_visible"] == OUTPUT


def test_the_configured_time_ends_attempts_too(running, raw):
    raw.script = silent = Silent()
    answer = send(running, "messages")
    assert (answer.status, answer.complete) == (200, False)  # begun by a sign of life
    assert b"upstream_timeout" in answer.body
    assert silent.left.wait(PATIENCE)
    assert running.settled(answer.rid)["status"] == "voided"


def test_what_a_short_time_out_leaves_at_the_provider_is_limited_as_what_a_client_leaves(raw, tmp_path):
    with start(raw, tmp_path, billing={"abandoned_credits": 0}) as gateway:
        session = gateway.session("user", 1_000_000)
        running = Running(gateway, None, session["access_token"], session["pid"])
        raw.script = Silent()
        answer = send(running, "messages", x_stainless_timeout=SHORT)
        assert (answer.status, answer.code) == (504, "upstream_timeout")
        record = running.settled(answer.rid)
        assert (record["basis"], record["outcome"], record["out_visible"]) == ("partial", "upstream_timeout", 0)
        assert record["in_uncached"] > 0


def test_the_sdks_raise_the_gateways_error_and_not_their_own(running, raw):
    raw.script = Silent()
    messages = [{"role": "user", "content": "hi"}]
    options = {"api_key": running.token, "max_retries": 0, "timeout": 1.0}
    with pytest.raises(openai.InternalServerError, match="time-out that the client states") as caught:
        openai.OpenAI(base_url=running.url + "/v1", **options).chat.completions.create(
            model="openai", messages=messages
        )
    assert caught.value.status_code == 504
    with pytest.raises(anthropic.APIStatusError, match="time-out that the client states") as caught:
        anthropic.Anthropic(base_url=running.url, **options).messages.create(
            model="anthropic", max_tokens=10, messages=messages
        )
    assert caught.value.status_code == 504
    google = types.HttpOptions(base_url=running.url, timeout=1_000)
    client = genai.Client(api_key=running.token, vertexai=False, http_options=google)
    with pytest.raises(genai.errors.ServerError, match="time-out that the client states"):
        client.models.generate_content(model="google", contents="hi")
