"""A gateway whose machine is lent credentials: asked for at start, signed with, replaced when they are refused."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from google import genai
from google.genai import types

from tests.gateway.upstream.test_machine_credentials import GOOGLES, KEYS, ROLE, Metadata, ends, headers
from tests.gateway_process import STATEMENT, GatewayProcess, model
from tests.integration.conftest import Running, eventually
from tests.integration.test_clouds import ASKED, GENERATED, MESSAGE
from tests.raw_http import ask, request
from tests.raw_provider import Request, body


class Cloud(Metadata):
    """Lends keys of which each exchange has others, and serves both clouds' models."""

    def __init__(self) -> None:
        super().__init__()
        self.lent = 0
        self.refused: set[str] = set()
        self.asked: list[Request] = []

    def _script(self, request: Request, sock: socket.socket) -> bytes:
        if request.path.startswith(ROLE + "a-role") or request.path.startswith("/v2/"):
            self.lent += 1
            self.changed[request.path] = body({"Expiration": ends(), **KEYS, "AccessKeyId": f"ASIALENT{self.lent:04}"})
        if request.path.startswith(("/latest/", "/v2/", GOOGLES)):
            return super()._script(request, sock)
        self.asked.append(request)
        sent = headers(request)["authorization"]
        if any(key in sent for key in self.refused):
            return body({"message": "expired"}, status="403 Forbidden", x_amzn_errortype="ExpiredTokenException")
        return body(GENERATED if "generateContent" in request.path else MESSAGE)


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with Cloud() as cloud:
        yield cloud


@pytest.fixture(scope="module")
def running(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    amazon = {"kind": "bedrock", "location": "eu-central-1", "base_url": cloud.url, **STATEMENT, "region": "eu"}
    providers: dict[str, Any] = {
        "instance": {**amazon, "credentials": "instance", "credentials_url": cloud.url},
        "container": {**amazon, "credentials": "container"},
        "environment": {**amazon, "credentials": "environment"},
        "vertex": {
            "kind": "vertex", "api": "google", "project": "p-of-ours", "location": "eu", "base_url": cloud.url,
            "credentials": "instance", "credentials_url": cloud.url, **STATEMENT, "region": "eu",
        },
    }  # fmt: skip
    models = [
        model("by-instance", "instance", "anthropic.claude-x"),
        model("by-container", "container", "anthropic.claude-x"),
        model("by-environment", "environment", "anthropic.claude-x"),
        model("gemini", "vertex", "gemini-2.5-flash"),
    ]
    environment = {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{cloud.url}/v2/credentials/1",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": "container-token",
        "AWS_ACCESS_KEY_ID": "AKIAENVIRONMENT1",
        "AWS_SECRET_ACCESS_KEY": "secret-of-the-environment",
    }
    folder = tmp_path_factory.mktemp("gateway")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        with GatewayProcess(folder, providers, models, environment=environment) as gateway:
            session = gateway.session("user", 100_000)
            yield Running(gateway, cloud, session["access_token"], session["pid"])


def asked(running: Running, name: str) -> str:
    """The authorization that the provider got."""
    client = anthropic.Anthropic(base_url=running.url, api_key=running.token, max_retries=0)
    assert client.messages.create(model=name, **ASKED).content[0].text == "Hello there"  # type: ignore[union-attr]
    return headers(running.sim.asked[-1])["authorization"]  # type: ignore[attr-defined]


def test_requests_are_signed_with_what_is_lent(running: Running, cloud: Cloud) -> None:
    assert "Credential=ASIALENT" in asked(running, "by-instance")
    assert headers(cloud.asked[-1])["x-amz-security-token"] == "session"
    assert "Credential=ASIALENT" in asked(running, "by-container")
    assert "Credential=AKIAENVIRONMENT1" in asked(running, "by-environment")


def test_keys_that_are_refused_are_replaced(running: Running, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    before = asked(running, "by-instance").partition("Credential=")[2].partition("/")[0]
    cloud.refused.add(before)
    path, data = "/v1/messages", json.dumps({"model": "by-instance", **ASKED}).encode()
    refused = ask(running.url, request("POST", path, data, headers=running.auth))
    assert refused.status == 503
    assert before.encode() not in refused.body


def test_googles_token(running: Running, cloud: Cloud) -> None:
    client = genai.Client(api_key=running.token, http_options=types.HttpOptions(base_url=running.url))
    assert client.models.generate_content(model="gemini", contents="hello").text == "Hello there"
    assert headers(cloud.asked[-1])["authorization"] == "Bearer ya29.lent"


def test_the_addresses_are_told_and_no_secret_is(running: Running, cloud: Cloud) -> None:
    listed = ask(running.url, request("GET", "/.well-known/ai-privacy")).json()["document"]["egress"]
    found = {place["for"] for place in listed}
    assert {
        "providers.instance: credentials",
        "providers.container: credentials",
        "providers.vertex: credentials",
    } <= found
    assert "providers.environment: credentials" not in found
    eventually(running.credits, lambda credits_: credits_["held"] == 0)
    log = running.gateway.log.read_bytes()
    for secret in ("ASIALENT", "AKIAENVIRONMENT1", "s/e+c=", "container-token", "ya29.lent", "secret-of"):
        assert secret.encode() not in log
