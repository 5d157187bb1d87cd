"""Azure OpenAI, Vertex AI and Amazon Bedrock, each a small host on a socket: what arrives there, and what comes back.

What arrives is compared with what the clouds' own clients in Anthropic's SDK send, and the signature with botocore's.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, unquote

import anthropic
import botocore.session
import jwt
import openai
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google import genai
from google.genai import types

from gateway.inference.admission import NOT_SERVED
from tests import aws_frames
from tests.gateway_process import GatewayProcess, model
from tests.integration.conftest import Running, eventually
from tests.raw_http import Answer, ask, request
from tests.raw_provider import RawProvider, Request, body, data_event, stream

STATED = {"retention_days": 0, "training": False}
ACCESS, SECRET = "AKIAEXAMPLEEXAMPLE00", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
MESSAGE = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5-20250929",
    "content": [{"type": "text", "text": "Hello there"}], "stop_reason": "end_turn", "stop_sequence": None,
    "usage": {"input_tokens": 11, "output_tokens": 7, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 0},
}  # fmt: skip
CHAT = {
    "id": "c", "object": "chat.completion", "created": 1, "model": "gpt-5-2025-08-07",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello there"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
}  # fmt: skip
GENERATED = {
    "candidates": [{"content": {"role": "model", "parts": [{"text": "Hello there"}]}, "finishReason": "STOP"}],
    "usageMetadata": {"promptTokenCount": 11, "candidatesTokenCount": 7, "totalTokenCount": 18},
    "modelVersion": "gemini-2.5-flash",
}
VERSION = anthropic._constants.ANTHROPIC_API_VERSION
TOOLS: Any = [{"name": "look", "input_schema": {"type": "object", "properties": {}}}]
ASKED = {"max_tokens": 50, "messages": [{"role": "user", "content": "hello"}]}


class Cloud(RawProvider):
    """Issues tokens, and answers everything else as the test says."""

    def __init__(self) -> None:
        super().__init__()
        self.key = rsa.generate_private_key(65_537, 2_048)
        self.assertions: list[str] = []
        self.refuses = False
        self.answer = b""
        self.also: dict[str, bytes] = {}
        self.script = self._script

    def _script(self, request: Request, _sock: object) -> bytes:
        if request.path != "/token":
            return self.also.get(request.path.removeprefix("/anthropic"), self.answer)
        self.assertions.append(parse_qs(request.body.decode())["assertion"][0])
        if self.refuses:
            return body({"error": "invalid_grant", "error_description": "no"}, status="400 Bad Request")
        return body({"access_token": f"ya29.token-{len(self.assertions)}", "expires_in": 3_600})

    def account(self) -> dict[str, str]:
        encoded = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return {
            "type": "service_account",
            "project_id": "project-of-ours",
            "private_key_id": "0123456789abcdef",
            "private_key": encoded.decode(),
            "client_email": "gateway@project-of-ours.iam.gserviceaccount.com",
            "token_uri": f"{self.url}/token",
        }

    def last(self) -> Request:
        return [seen for seen in self.seen if seen.path != "/token"][-1]


def headers(seen: Request) -> dict[str, str]:
    lines = seen.head.decode().split("\r\n")[1:]
    return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines) if name}


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with Cloud() as cloud:
        yield cloud


@pytest.fixture(scope="module")
def process(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("gateway")
    (folder / "account.json").write_text(json.dumps(cloud.account()))
    place = {"project": "project-of-ours", "location": "europe-west1", "credentials": "account.json", "region": "eu"}
    providers = {
        "azure": {"kind": "azure", "base_url": cloud.url, "api_keys": "azure-key-1", "region": "eu", **STATED},
        "gemini": {"kind": "vertex", "api": "google", "base_url": cloud.url, **place, **STATED},
        "claude": {"kind": "vertex", "api": "anthropic", "base_url": cloud.url, **place, **STATED},
        "bedrock": {
            "kind": "bedrock", "location": "eu-central-1", "base_url": cloud.url, "region": "eu",
            "company": "amazon", "api_keys": f"{ACCESS}:{SECRET}:session-token", **STATED,
        },
        "mantle": {
            "company": "amazon", "kind": "bedrock-mantle", "location": "eu-central-1", "base_url": f"{cloud.url}/anthropic", "region": "eu",
            "api_keys": f"{ACCESS}:{SECRET}:session-token", **STATED,
        },
        "bearer": {
            "kind": "bedrock", "location": "eu-central-1", "base_url": cloud.url, "region": "eu",
            "api_keys": "bedrock-api-key-1", **STATED,
        },
    }  # fmt: skip
    models = [
        model("gpt", "azure", "my-deployment"),
        model("gemini", "gemini", "gemini-2.5-flash"),
        model("on-vertex", "claude", "claude-sonnet-4-5@20250929"),
        model("on-bedrock", "bedrock", "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        model("newer", "bedrock", "eu.anthropic.claude-opus-4-7"),
        model("on-mantle", "mantle", "anthropic.claude-opus-4-7"),
        model("by-key", "bearer", "anthropic.claude-sonnet-4-5-20250929-v1:0"),
        {
            **model("counted-elsewhere", ""),
            "targets": [
                {"provider": "bedrock", "model": "eu.anthropic.claude-opus-4-7"},
                {"provider": "mantle", "model": "anthropic.claude-opus-4-7"},
            ],
        },
    ]
    with GatewayProcess(folder, providers, models) as gateway:
        session = gateway.session("user", 100_000)
        yield Running(gateway, cloud, session["access_token"], session["pid"])


@pytest.fixture
def running(process: Running, cloud: Cloud) -> Running:
    process.seen = len(process.gateway.log.read_bytes())
    cloud.seen.clear()
    cloud.also.clear()
    return process


def messages(running: Running, name: str, *, stream: bool = False, said: str = "hello", **more: str) -> Answer:
    asked = {**ASKED, "messages": [{"role": "user", "content": said}], **({"stream": True} if stream else {})}
    headers = running.auth | {"anthropic-version": "2023-06-01", **more}
    return ask(
        running.url, request("POST", "/v1/messages", json.dumps({"model": name, **asked}).encode(), headers=headers)
    )


def claude(running: Running) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=running.url, api_key=running.token, max_retries=0)


def charged(running: Running, rid: str) -> dict:
    record = running.settled(rid)
    assert (record["basis"], record["outcome"]) == ("reported", "completed")
    return record


# -- Azure OpenAI


def test_azure_is_openais_api_with_a_key_of_its_own(running: Running, cloud: Cloud) -> None:
    client = openai.OpenAI(base_url=f"{running.url}/v1", api_key=running.token, max_retries=0)
    cloud.answer = body(CHAT)
    answer = client.chat.completions.with_raw_response.create(model="gpt", messages=ASKED["messages"])
    assert answer.parse().choices[0].message.content == "Hello there"
    seen = cloud.last()
    assert seen.path == "/openai/v1/chat/completions"
    assert headers(seen)["api-key"] == "azure-key-1"
    assert "authorization" not in headers(seen)
    assert (seen.json()["model"], seen.json()["store"]) == ("my-deployment", False)
    record = charged(running, answer.headers["x-request-id"])
    assert (record["provider"], record["in_uncached"], record["out_visible"]) == ("azure", 11, 7)
    cloud.answer = stream([
        data_event({**CHAT, "object": "chat.completion.chunk", "choices": [], "usage": None, "prompt_filter_results": []}),
        data_event({**CHAT, "choices": [{"index": 0, "delta": {"content": "Hello"}, "finish_reason": None}], "usage": None}),
        data_event({**CHAT, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": None}),
        data_event({**CHAT, "choices": []}),
        data_event(b"[DONE]"),
    ])  # fmt: skip
    chunks = list(client.chat.completions.create(model="gpt", messages=ASKED["messages"], stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "Hello"
    assert cloud.last().json()["stream_options"] == {"include_usage": True}


def test_azures_errors_about_the_key_are_the_operators(running: Running, cloud: Cloud) -> None:
    path, data = "/v1/chat/completions", json.dumps({"model": "gpt", "messages": ASKED["messages"]}).encode()
    said = {"code": "401", "message": "Access denied due to invalid subscription key or wrong API endpoint."}
    cloud.answer = body({"error": said}, status="401 Unauthorized")
    answer = ask(running.url, request("POST", path, data, headers=running.auth))
    assert (answer.status, answer.json()["error"]["code"]) == (503, "provider_unavailable")
    cloud.answer = body({"error": {"code": "DeploymentNotFound", "message": "None."}}, status="404 Not Found")
    answer = ask(running.url, request("POST", path, data, headers=running.auth))
    assert (answer.status, answer.json()["error"]["code"]) == (404, "DeploymentNotFound")


def test_what_a_cloud_does_not_serve_is_not_asked_of_it(running: Running, cloud: Cloud) -> None:
    data = json.dumps({"model": "gpt", "input": "hello"}).encode()
    answer = ask(running.url, request("POST", "/v1/responses/input_tokens", data, headers=running.auth))
    assert (answer.status, answer.json()["error"]["message"]) == (400, NOT_SERVED)
    assert cloud.seen == []


# -- Vertex AI


def test_a_token_is_asked_for_once_with_the_service_accounts_key(running: Running, cloud: Cloud) -> None:
    assert len(cloud.assertions) == 2  # of two providers, before the first request
    claims = jwt.decode(
        cloud.assertions[0], cloud.key.public_key(), ["RS256"], audience="https://oauth2.googleapis.com/token"
    )
    assert claims["iss"] == cloud.account()["client_email"]
    assert claims["scope"] == "https://www.googleapis.com/auth/cloud-platform"


def test_gemini_on_vertex(running: Running, cloud: Cloud) -> None:
    client = genai.Client(api_key=running.token, http_options={"base_url": running.url})
    cloud.answer = body(GENERATED)
    assert client.models.generate_content(model="gemini", contents="hello").text == "Hello there"
    parent = "/v1/projects/project-of-ours/locations/europe-west1/publishers/google/models/gemini-2.5-flash"
    assert cloud.last().path == f"{parent}:generateContent"
    assert re.fullmatch(r"Bearer ya29\.token-[12]", headers(cloud.last())["authorization"])
    assert "x-goog-api-key" not in headers(cloud.last())
    cloud.answer = stream([data_event(GENERATED)])
    assert [part.text for part in client.models.generate_content_stream(model="gemini", contents="hello")] == [
        "Hello there"
    ]
    assert cloud.last().path == f"{parent}:streamGenerateContent"
    assert b":streamGenerateContent?alt=sse HTTP/1.1" in cloud.last().head
    cloud.answer = body({"totalTokens": 3})
    assert client.models.count_tokens(model="gemini", contents="hello").total_tokens == 3
    assert cloud.last().path == f"{parent}:countTokens"


def sdk_sends(cloud: Cloud, client: anthropic.AnthropicVertex | anthropic.AnthropicBedrock, **more: object) -> Request:
    """What the cloud's own client sends."""
    with pytest.raises(anthropic.APIStatusError):
        client.messages.create(**ASKED, **more)
    return cloud.last()


@pytest.mark.parametrize("streamed", [False, True])
def test_claude_on_vertex_is_asked_as_the_sdk_asks_it(running: Running, cloud: Cloud, streamed: bool) -> None:
    cloud.answer = body({}, status="418 No")
    own = anthropic.AnthropicVertex(
        region="europe-west1", project_id="project-of-ours", access_token="t", base_url=f"{cloud.url}/v1", max_retries=0
    )
    more = {"stream": True} if streamed else {}
    expected = sdk_sends(cloud, own, model="claude-sonnet-4-5@20250929", **more)
    events = aws_frames.message()
    cloud.answer = stream([data_event(event, event["type"]) for event in events]) if streamed else body(MESSAGE)
    asked = {"anthropic-beta": "context-1m-2025-08-07", "anthropic-version": VERSION}
    answer = messages(running, "on-vertex", stream=streamed, **asked)
    assert answer.status == 200, answer.body
    seen = cloud.last()
    assert (seen.path, seen.json()) == (expected.path, expected.json())
    assert headers(seen)["anthropic-beta"] == "context-1m-2025-08-07"
    assert "anthropic-version" not in headers(seen)
    assert headers(seen)["authorization"].startswith("Bearer ya29.")
    record = charged(running, answer.rid)
    assert (record["in_uncached"], record["cache_read"], record["out_visible"]) == (11, 4, 7)


def test_tokens_of_claude_are_counted_on_vertex(running: Running, cloud: Cloud) -> None:
    cloud.answer = body({"input_tokens": 3})
    counted = claude(running).messages.count_tokens(model="on-vertex", messages=ASKED["messages"])
    assert counted.input_tokens == 3
    assert cloud.last().path.endswith("/publishers/anthropic/models/count-tokens:rawPredict")
    assert cloud.last().json()["model"] == "claude-sonnet-4-5@20250929"


def test_googles_errors_about_claude_have_its_form(running: Running, cloud: Cloud) -> None:
    said = {"code": 429, "message": "Quota exceeded for project-of-ours", "status": "RESOURCE_EXHAUSTED"}
    cloud.answer = body([{"error": said}], status="429 Too Many Requests")
    with pytest.raises(anthropic.RateLimitError) as raised:
        claude(running).messages.create(model="on-vertex", **ASKED)
    assert raised.value.body["error"]["type"] == "rate_limit_error"
    assert raised.value.body["error"]["message"] == "Quota exceeded for [redacted]"
    said = {"code": 403, "message": "No.", "status": "PERMISSION_DENIED",
            "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "IAM_PERMISSION_DENIED"}]}  # fmt: skip
    cloud.answer = body({"error": said}, status="403 Forbidden")
    assert messages(running, "on-vertex").status == 503


# -- Amazon Bedrock


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("name", "target"),
    [("on-bedrock", "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"), ("newer", "eu.anthropic.claude-opus-4-7")],
)
def test_bedrock_is_asked_as_the_sdk_asks_it(running, cloud, name: str, target: str, streamed: bool) -> None:
    cloud.answer = body({}, status="418 No")
    own = anthropic.AnthropicBedrock(aws_region="eu-central-1", api_key="k", base_url=cloud.url, max_retries=0)
    more = {"stream": True} if streamed else {}
    beta = {"anthropic-beta": "context-1m-2025-08-07"}
    expected = sdk_sends(cloud, own, model=target, extra_headers=beta, **more)
    events = aws_frames.message()
    frames = stream([aws_frames.body(events)], kind="application/vnd.amazon.eventstream")
    cloud.answer = frames if streamed else body(MESSAGE, x_amzn_requestid="1")
    answer = messages(running, name, stream=streamed, **beta, **{"anthropic-version": VERSION})
    assert answer.status == 200, answer.body
    seen = cloud.last()
    older = {"anthropic_version": "bedrock-2023-05-31"} if name == "on-bedrock" else {}
    assert (seen.path, seen.json()) == (expected.path, expected.json() | older)
    assert "anthropic-beta" not in headers(seen)
    record = charged(running, answer.rid)
    assert (record["provider"], record["in_uncached"], record["cache_read"]) == ("bedrock", 11, 4)
    assert record["out_visible"] == 7
    if streamed:
        assert answer.headers["content-type"].startswith("text/event-stream")
        shown = [json.loads(part.partition(b"data: ")[2]) for part in answer.body.split(b"\n\n") if part]
        assert shown == events


def test_a_stream_of_bedrock_through_the_sdk(running: Running, cloud: Cloud) -> None:
    whole = aws_frames.body(aws_frames.message("A longer answer, in pieces", pieces=6))
    cut = [whole[at : at + 37] for at in range(0, len(whole), 37)]
    cloud.answer = stream(cut, kind="application/vnd.amazon.eventstream")
    with claude(running).messages.stream(model="by-key", **ASKED) as answer:
        assert answer.get_final_text() == "A longer answer, in pieces"
        assert answer.get_final_message().usage.output_tokens == 7
    assert headers(cloud.last())["authorization"] == "Bearer bedrock-api-key-1"
    assert "x-amz-date" not in headers(cloud.last())


def botocores(url: str) -> Any:
    """botocore's own client of the runtime."""
    made = botocore.session.Session()
    return made.create_client(
        "bedrock-runtime", "eu-central-1", endpoint_url=url, aws_access_key_id=ACCESS, aws_secret_access_key=SECRET
    )


def test_tokens_are_counted_at_the_runtime_as_botocore_asks_it(running: Running, cloud: Cloud) -> None:
    cloud.answer = body({"inputTokens": 42})
    asked = {"messages": ASKED["messages"], "system": "Be \u00e9xact. " * 3, "tools": TOOLS}
    counted = claude(running).messages.count_tokens(model="on-bedrock", **asked)
    seen = cloud.last()
    assert counted.input_tokens == 42
    inner = json.loads(base64.b64decode(seen.json()["input"]["invokeModel"]["body"]))
    assert inner == {**asked, "anthropic_version": "bedrock-2023-05-31", "max_tokens": 32_000}
    own = botocores(cloud.url).count_tokens(
        modelId="anthropic.claude-sonnet-4-5-20250929-v1:0", input={"invokeModel": {"body": json.dumps(inner)}}
    )
    assert own["inputTokens"] == 42
    # A model is counted for, not an inference profile: Amazon refuses those.
    assert (
        unquote(seen.path)
        == unquote(cloud.last().path)
        == ("/model/anthropic.claude-sonnet-4-5-20250929-v1:0/count-tokens")
    )
    theirs = cloud.last().json()["input"]["invokeModel"]
    assert json.loads(base64.b64decode(theirs["body"])) == inner
    assert cloud.last().json().keys() == seen.json().keys()
    assert headers(seen)["authorization"].startswith("AWS4-HMAC-SHA256 ")


def test_a_count_is_translated_from_and_to_other_apis(running: Running, cloud: Cloud) -> None:
    cloud.answer = body({"inputTokens": 7})
    client = openai.OpenAI(base_url=f"{running.url}/v1", api_key=running.token, max_retries=0)
    assert client.responses.input_tokens.count(model="on-bedrock", input="hello").input_tokens == 7
    google = genai.Client(api_key=running.token, http_options=types.HttpOptions(base_url=running.url))
    assert google.models.count_tokens(model="by-key", contents="hello").total_tokens == 7
    assert cloud.last().path == "/model/anthropic.claude-sonnet-4-5-20250929-v1:0/count-tokens"


@pytest.mark.parametrize("answer", [body({"inputTokens": "many"}), body({}), body(b"<html>"), body(b"x" * 5_000)])
def test_what_is_no_count_is_an_error(running: Running, cloud: Cloud, answer: bytes) -> None:
    cloud.answer = answer
    data = json.dumps({"model": "on-bedrock", "messages": ASKED["messages"]}).encode()
    got = ask(running.url, request("POST", "/v1/messages/count_tokens", data, headers=running.auth))
    assert (got.status, got.code) == (502, "upstream_error")


def test_a_model_that_the_runtime_does_not_count_for_is_counted_elsewhere(running: Running, cloud: Cloud) -> None:
    said = {"message": "The provided model doesn't support counting tokens."}
    refusal = body(said, status="400 Bad Request", x_amzn_errortype="ValidationException")
    cloud.answer = refusal
    data = json.dumps({"model": "newer", "messages": ASKED["messages"]}).encode()
    got = ask(running.url, request("POST", "/v1/messages/count_tokens", data, headers=running.auth))
    assert (got.status, got.json()["error"]["message"]) == (501, said["message"])
    cloud.also = {"/v1/messages/count_tokens": body({"input_tokens": 5})}
    assert (
        claude(running).messages.count_tokens(model="counted-elsewhere", messages=ASKED["messages"]).input_tokens == 5
    )
    assert [seen.path.rpartition("/")[2] for seen in cloud.seen[-2:]] == ["count-tokens", "count_tokens"]
    cloud.answer = body(MESSAGE)
    assert messages(running, "counted-elsewhere").status == 200
    assert cloud.last().path.startswith("/model/")  # a count says nothing about the model's health


@pytest.mark.parametrize("streamed", [False, True])
def test_the_messages_endpoint_of_bedrock_is_asked_as_the_sdk_asks_it(running, cloud, streamed: bool) -> None:
    cloud.answer = body({}, status="418 No")
    own = anthropic.AnthropicBedrockMantle(
        aws_region="eu-central-1", api_key="k", base_url=f"{cloud.url}/anthropic", max_retries=0
    )
    expected = sdk_sends(cloud, own, model="anthropic.claude-opus-4-7", **({"stream": True} if streamed else {}))
    events = aws_frames.message()
    cloud.answer = stream([data_event(event, event["type"]) for event in events]) if streamed else body(MESSAGE)
    answer = messages(running, "on-mantle", stream=streamed, **{"anthropic-version": VERSION})
    assert answer.status == 200, answer.body
    assert (cloud.last().path, cloud.last().json()) == (expected.path, expected.json())
    assert headers(cloud.last())["anthropic-version"] == headers(expected)["anthropic-version"]
    assert charged(running, answer.rid)["cache_read"] == 4
    cloud.answer = body({"input_tokens": 3})
    assert claude(running).messages.count_tokens(model="on-mantle", messages=ASKED["messages"]).input_tokens == 3
    assert cloud.last().path == "/anthropic/v1/messages/count_tokens"
    cloud.answer = body({"message": "no"}, status="403 Forbidden", x_amzn_errortype="UnrecognizedClientException")
    assert messages(running, "on-mantle").status == 503


@pytest.mark.parametrize(
    ("name", "service", "query"), [("on-bedrock", "bedrock", ""), ("on-mantle", "bedrock-mantle", "?beta=true")]
)
def test_the_signature_is_botocores(running: Running, cloud: Cloud, name: str, service: str, query: str) -> None:
    cloud.answer = body(MESSAGE)
    asked = json.dumps({"model": name, **ASKED}).encode()
    path = "/v1/messages?beta=true"
    eventually(lambda: ask(running.url, request("POST", path, asked, headers=running.auth)).status, lambda s: s == 200)
    seen = cloud.last()
    assert f"{seen.path}{query} HTTP/1.1".encode() in seen.head
    got = headers(seen)
    assert (got["x-amz-security-token"], got["host"]) == ("session-token", cloud.url.removeprefix("http://"))
    at = datetime.strptime(got["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    assert abs(at.timestamp() - time.time()) < 120
    again = AWSRequest(
        "POST", f"{cloud.url}{seen.path}{query}", headers={"content-type": got["content-type"]}, data=seen.body
    )
    again.headers["X-Amz-Content-SHA256"] = SigV4Auth(None, "", "").payload(again)
    assert again.headers["X-Amz-Content-SHA256"] == got["x-amz-content-sha256"]
    again.headers["X-Amz-Security-Token"] = "session-token"
    again.headers["X-Amz-Date"] = got["x-amz-date"]
    again.context["timestamp"] = got["x-amz-date"]
    signer = SigV4Auth(Credentials(ACCESS, SECRET, "session-token"), service, "eu-central-1")
    text = signer.string_to_sign(again, signer.canonical_request(again))
    assert got["authorization"].endswith(f"Signature={signer.signature(text, again)}")
    assert f"Credential={ACCESS}/{got['x-amz-date'][:8]}/eu-central-1/{service}/aws4_request" in got["authorization"]


@pytest.mark.parametrize(
    ("status", "name", "expected", "kind"),
    [
        ("400 Bad Request", "ValidationException:http://internal", 400, "invalid_request_error"),
        ("429 Too Many Requests", "ThrottlingException", 429, "rate_limit_error"),
        ("400 Bad Request", "ServiceQuotaExceededException", 429, "rate_limit_error"),
        ("424 Failed Dependency", "ModelErrorException", 500, "api_error"),
        ("404 Not Found", "ResourceNotFoundException", 404, "not_found_error"),
        ("503 Service Unavailable", "ServiceUnavailableException", 529, "overloaded_error"),
    ],
)
def test_errors_of_bedrock_have_the_dialects_form(running, cloud, status, name, expected, kind) -> None:
    said = {"message": f"about arn:aws:bedrock:eu-central-1:123456789012:model/x and {ACCESS}"}
    cloud.answer = body(said, status=status, x_amzn_errortype=name)
    answer = messages(running, "on-bedrock")
    assert answer.status == expected, answer.body
    error = answer.json()["error"]
    assert error["type"] == kind
    assert error["message"] == "about arn:aws:bedrock:eu-central-1:[redacted]:model/x and [redacted]"
    assert running.settled(answer.rid)["status"] == "voided"


@pytest.mark.parametrize("name", ["UnrecognizedClientException", "ExpiredTokenException", "AccessDeniedException"])
def test_errors_about_the_credentials_are_the_operators(running: Running, cloud: Cloud, name: str) -> None:
    cloud.answer = body({"message": "The security token is not valid."}, status="403 Forbidden", x_amzn_errortype=name)
    assert messages(running, "by-key").status == 503


def sends(cloud: Cloud, *parts: bytes) -> None:
    cloud.answer = stream(parts, kind="application/vnd.amazon.eventstream")


def test_an_exception_before_any_output_is_an_error_status(running: Running, cloud: Cloud) -> None:
    sends(cloud, aws_frames.body(aws_frames.message()[:2]), aws_frames.exception("throttlingException", "slow down"))
    answer = messages(running, "on-bedrock", stream=True)
    assert (answer.status, answer.json()["error"]["type"]) == (429, "rate_limit_error")
    assert running.settled(answer.rid)["status"] == "voided"


def test_an_exception_after_output_is_the_streams_error(running: Running, cloud: Cloud) -> None:
    sends(cloud, aws_frames.body(aws_frames.message()[:4]), aws_frames.exception("modelTimeoutException", "too long"))
    answer = messages(running, "by-key", stream=True)
    assert answer.status == 200
    last = answer.body.rstrip().rpartition(b"\n\n")[2]
    assert json.loads(last.partition(b"data: ")[2])["error"]["type"] == "timeout_error"
    assert b"message_stop" not in answer.body
    assert running.settled(answer.rid)["outcome"] == "upstream_error"


def test_a_wrong_checksum_is_a_cut(running: Running, cloud: Cloud) -> None:
    whole = bytearray(aws_frames.body(aws_frames.message()))
    whole[-1] ^= 1
    sends(cloud, bytes(whole))
    answer = messages(running, "by-key", stream=True)
    assert b"message_stop" not in answer.body
    assert b"event: error" in answer.body
    record = running.settled(answer.rid)
    assert (record["outcome"], record["basis"]) == ("upstream_cut", "partial")


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("name", ["on-bedrock", "on-vertex"])
def test_openais_sdk_is_answered_by_claude_on_a_cloud(running, cloud, name: str, streamed: bool) -> None:
    client = openai.OpenAI(base_url=f"{running.url}/v1", api_key=running.token, max_retries=0)
    events = aws_frames.message()
    if not streamed:
        cloud.answer = body(MESSAGE)
        answer = client.chat.completions.create(model=name, messages=ASKED["messages"])
        assert (answer.choices[0].message.content, answer.usage.completion_tokens) == ("Hello there", 7)
    else:
        if name == "on-bedrock":
            sends(cloud, aws_frames.body(events))
        else:
            cloud.answer = stream([data_event(event, event["type"]) for event in events])
        chunks = list(client.chat.completions.create(model=name, messages=ASKED["messages"], stream=True))
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "Hello there"
    sent = cloud.last().json()
    assert (sent["max_tokens"], "model" in sent) == (32_000, False)
    assert sent["anthropic_version"].startswith(("bedrock-", "vertex-"))


def test_anthropics_sdk_is_answered_by_gemini_on_vertex(running: Running, cloud: Cloud) -> None:
    cloud.answer = stream([data_event(GENERATED)])
    with claude(running).messages.stream(model="gemini", **ASKED) as answer:
        assert answer.get_final_text() == "Hello there"
    assert b"/publishers/google/models/gemini-2.5-flash:streamGenerateContent?alt=sse HTTP/1.1" in cloud.last().head


@pytest.mark.parametrize("content", [[{"type": "text", "text": "x" * (9 << 20)}], [{}] * 20_000])
def test_an_answer_that_is_too_long_to_be_translated_is_a_clean_error(running, cloud, content: list[Any]) -> None:
    cloud.answer = body({**MESSAGE, "content": content})
    asked = json.dumps({"model": "on-vertex", "messages": ASKED["messages"]}).encode()
    answer = ask(running.url, request("POST", "/v1/chat/completions", asked, headers=running.auth))
    assert (answer.status, answer.complete) == (502, True)
    assert answer.json()["error"]["message"].startswith("The answer is longer than an answer of another API")
    assert running.settled(answer.rid)["status"] == "voided"
    assert messages(running, "on-vertex").headers["x-provider"] == "claude"  # in its own API it passes


def test_errors_of_a_cloud_are_translated_too(running: Running, cloud: Cloud) -> None:
    client = openai.OpenAI(base_url=f"{running.url}/v1", api_key=running.token, max_retries=0)
    cloud.answer = body(
        {"message": "slow down"}, status="429 Too Many Requests", x_amzn_errortype="ThrottlingException"
    )
    with pytest.raises(openai.RateLimitError) as raised:
        client.chat.completions.create(model="on-bedrock", messages=ASKED["messages"])
    assert raised.value.body["message"] == "slow down"


# -- what is kept, and what is said


MARKERS = ("kwqxprompt", "kwqxanswer", "kwqxerror", "kwqxbeta")


def test_nothing_of_a_request_or_an_answer_is_kept(running: Running, cloud: Cloud) -> None:
    prompt, text, error, beta = MARKERS
    whole = aws_frames.body(aws_frames.message(f"{text} {text}"))
    failed = aws_frames.exception("validationException", error)
    bad = bytearray(whole)
    bad[-1] ^= 1
    digests = []
    for parts in ([whole], [whole[:900]], [bytes(bad)], [failed], [whole[:900], failed]):
        sends(cloud, *parts)
        messages(running, "on-bedrock", stream=True, said=prompt, **{"anthropic-beta": f"{beta}-2026-01-01"})
        digests.append(hashlib.sha256(cloud.last().body).hexdigest())
    for status in ("400 Bad Request", "403 Forbidden", "500 No"):
        cloud.answer = body({"message": error}, status=status, x_amzn_errortype="ValidationException")
        messages(running, "on-bedrock", said=prompt)
        cloud.answer = body({"error": {"code": int(status[:3]), "message": error}}, status=status)
        messages(running, "on-vertex", said=prompt)
    running.quiet()
    files = [path for path in running.gateway.folder.rglob("*") if path.is_file() and path.suffix != ".json"]
    assert any(b"upstream_cut" in path.read_bytes() for path in files)
    for path in files:
        kept = path.read_bytes()
        assert [marker for marker in (*MARKERS, *digests) if marker.encode() in kept] == [], path


def test_what_the_gateway_says_of_its_clouds(running: Running, cloud: Cloud) -> None:
    listed = ask(running.url, request("GET", "/.well-known/ai-privacy")).json()["document"]
    kinds = {place["name"]: (place["kind"], place["region"]) for place in listed["providers"]}
    assert kinds["bedrock"] == ("bedrock", "eu")
    assert kinds["claude"] == ("vertex", "eu")
    assert kinds["azure"] == ("azure", "eu")
    assert {place["for"] for place in listed["egress"]} >= {"providers.claude", "providers.claude: tokens"}
    log = running.gateway.log.read_bytes()
    for secret in (ACCESS, SECRET, "session-token", "azure-key-1", "ya29.", "PRIVATE KEY", "project-of-ours"):
        assert secret.encode() not in log
    assert base64.b64encode(SECRET.encode()) not in log


def test_without_a_token_the_caller_is_told_to_retry(cloud: Cloud, tmp_path) -> None:
    (tmp_path / "account.json").write_text(json.dumps(cloud.account()))
    providers = {
        "claude": {"kind": "vertex", "api": "anthropic", "base_url": cloud.url, "project": "p1", "location": "eu",
                   "credentials": "account.json", "region": "eu", **STATED},
    }  # fmt: skip
    cloud.refuses = True
    try:
        with GatewayProcess(tmp_path, providers, [model("on-vertex", "claude", "claude-x")]) as gateway:
            session = gateway.session("user", 1_000)
            running = Running(gateway, cloud, session["access_token"], session["pid"])
            cloud.seen.clear()
            answer = messages(running, "on-vertex")
            assert (answer.status, answer.json()["error"]["details"]["error_code"]) == (503, "provider_unavailable")
            assert answer.headers["retry-after"]
            assert [seen.path for seen in cloud.seen if seen.path != "/token"] == []
            [line, *_] = [json.loads(line) for line in gateway.log.read_bytes().splitlines() if b"token_un" in line]
            assert (line["event"], line["provider"]) == ("token_unavailable", "claude")
            cloud.refuses = False
            cloud.answer = body(MESSAGE)
            assert eventually(lambda: messages(running, "on-vertex").status, lambda status: status == 200) == 200
    finally:
        cloud.refuses = False
