"""Whatever anybody sends to any path of any listener is answered, never with a 500 and never with an error in the log.

The paths are each listener's own tables', the requests `tests.hostile_requests`: with and without credentials.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from benchmarks.simulator import SimulatorProcess
from gateway.api import routes
from gateway.config.internal import ServiceScope
from gateway.http.resources import _BASES
from gateway.internal.api import ServiceApi
from gateway.internal.health import make_internal
from gateway.oauth.paths import CLIENT
from gateway.portal import cookies
from gateway.telemetry.instruments import Instruments
from gateway.telemetry.log import Log
from providers import paths, refused_paths
from tests.gateway_process import GatewayProcess, provider
from tests.hostile_requests import Door, Maker, names_asked_for
from tests.integration.conftest import models as model_list
from tests.local_process import BrokerProcess, ScriptedEngine, chat_engine
from tests.raw_http import PATIENCE, RawClient, request
from tests.supabase_project import configured, project

SERVICE_TOKEN = "service-token-of-the-test-" + "x" * 16
EXAMPLES = 12  # of each path
WRONG_NUMBERS = ("\xb2".encode(), "\u0663".encode(), b"9" * 19, b"9" * 5_000, b"-1", b"1e9")
CHAT = {
    "model": "openai-plain", "stream": True, "max_tokens": 5, "temperature": 1, "n": 1, "stop": ["a"], "user": "u",
    "stream_options": {"include_usage": True}, "tool_choice": {"type": "function", "function": {"name": "f"}},
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
    "messages": [
        {"role": "system", "content": "mail ada@example.org"},
        {"role": "user", "content": [{"type": "text", "text": "+49 30 1234567"}, {"type": "image_url", "image_url": {
            "url": "data:image/png;base64,iVBORw0KGgo="}}]},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"a": [1]}'}}]},
        {"role": "tool", "tool_call_id": "a", "content": "AKIAIOSFODNN7EXAMPLE"},
    ],
}  # fmt: skip
RESPONSES = {
    "model": "openai-plain", "stream": False, "max_output_tokens": 5, "store": True, "include": ["a"], "instructions": "x",
    "reasoning": {"effort": "low"}, "text": {"format": {"type": "text"}}, "tools": [{"type": "web_search"}],
    "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "ada@example.org"}]},
              {"type": "function_call_output", "call_id": "a", "output": "x"}], "prompt_cache_key": "k", "metadata": {"a": "b"},
}  # fmt: skip
PLAIN = {
    "model": "openai-plain",
    "prompt": ["a", "b"],
    "input": ["a"],
    "suffix": "b",
    "best_of": 2,
    "logprobs": 1,
    "echo": True,
}
MESSAGES = {
    "model": "anthropic-plain", "max_tokens": 5, "stream": False, "system": [{"type": "text", "text": "x", "cache_control": {
        "type": "ephemeral"}}], "thinking": {"type": "enabled", "budget_tokens": 1024}, "metadata": {"user_id": "u"},
    "tools": [{"name": "f", "input_schema": {"type": "object"}}, {"type": "web_search_20250305", "name": "web_search"}],
    "messages": [{"role": "user", "content": [{"type": "text", "text": "ada@example.org"}, {"type": "image", "source": {
        "type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {"a": {"b": [1]}}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "x"}]}],
}  # fmt: skip
GENERATE = {
    "contents": [{"role": "user", "parts": [{"text": "ada@example.org"}, {"inlineData": {"mimeType": "image/png", "data": "iVBO"}},
        {"functionCall": {"name": "f", "args": {"a": [1]}}}]}], "systemInstruction": {"parts": [{"text": "x"}]}, "labels": {"a": "b"},
    "generationConfig": {"maxOutputTokens": 5, "candidateCount": 1, "thinkingConfig": {"thinkingBudget": 5}},
    "tools": [{"functionDeclarations": [{"name": "f"}]}, {"googleSearch": {}}], "model": "models/google-plain",
    "content": {"parts": [{"text": "a"}]}, "requests": [{"model": "models/google-plain", "content": {"parts": [{"text": "a"}]}}],
}  # fmt: skip
BODIES = (CHAT, RESPONSES, PLAIN, MESSAGES, GENERATE)

# The paths that are in a table of patterns: the model in Google's, the id in a record's.
_MODEL_PATHS = [
    ("POST", f"/v1beta/models/{name}:{verb}") for verb in paths._VERBS for name in ("google-plain", "{name}")
]
_RESOURCES = [
    ("GET", f"{base}{one}" + ("{rid}" if one.endswith("/") else "")) for one, bases in _BASES.items() for base in bases
]
PROVIDERS = [
    *sorted({(method, path) for method, path in paths._LOOK_UP if path.count("/v1") <= 1} | set(_MODEL_PATHS)),
    ("GET", "/v1/models/{name}"), ("GET", "/v1beta/models/{name}"), ("POST", "/{name}"), ("GET", "/v1beta/{name}/{name}")
]  # fmt: skip
OWN = sorted({(method, str(path)) for path in routes.TABLE for method in ("GET", "POST")} | set(_RESOURCES))
REFUSED = [("POST", f"/v1{name}") for table in refused_paths.REFUSED.values() for name in table if name[0] == "/"]


def _internal() -> list[tuple[str, str]]:
    """The routes of the internal listener, as its application has them."""
    nothing: Any = None
    application = make_internal(Instruments([]), nothing, ServiceApi((), nothing, Log(), nothing, nothing).add_to)
    resources = ((route.method, route.resource) for route in application.router.routes())
    return sorted({(method, one.canonical) for method, one in resources if one is not None and method != "HEAD"})


ENDLESS = ("GET", "/console/events")  # as long as its page is open; tests/integration/test_console.py has its errors
INTERNAL = [*(route for route in _internal() if route != ENDLESS), ("GET", "/{name}")]


@dataclass
class Listener:
    """A door, where it is, and where its process writes what goes wrong."""

    door: Door
    address: tuple[str, int]
    log: Path
    seen: int = 0

    def fault(self, sent: bytes) -> str:
        """What is wrong with the answer to a request; empty if nothing is."""
        with socket.create_connection(self.address, timeout=PATIENCE) as sock, sock.makefile("rb") as file:
            with contextlib.suppress(ConnectionError):  # refused before all of it was sent: an answer came
                sock.sendall(sent)
            try:
                answer = file.read()
            except ConnectionResetError:
                answer = b""
        for line in self.errors():
            return f"logged {line}"
        while answer.startswith(b"HTTP/1.1 100"):
            answer = answer.partition(b"\r\n\r\n")[2]
        if not answer.startswith(b"HTTP/1."):
            return f"no answer: {answer[:60]!r}"
        if answer[9:12] in {b"500", b"501"} or b"x-error-code: metering_unavailable" in answer:
            return f"answered {answer[:200]!r}"
        return ""

    def errors(self) -> list[str]:
        """The lines of errors since the last look."""
        size = self.log.stat().st_size
        if size == self.seen:
            return []
        with self.log.open("rb") as log:
            log.seek(self.seen)
            lines = log.read(size - self.seen).decode().splitlines()
        self.seen = size
        return [
            line for line in lines if not line.startswith("{") or json.loads(line)["level"] in {"error", "critical"}
        ]


def hammer(listener: Listener, routes_: Sequence[tuple[str, str]], examples: int = EXAMPLES) -> None:
    """Each route gets so many requests."""
    listener.errors()  # of the tests before

    @settings(max_examples=examples * len(routes_), derandomize=True, database=None, phases=[Phase.generate])
    @given(route=st.sampled_from(routes_), seed=st.binary(min_size=8, max_size=8))
    def sends(route: tuple[str, str], seed: int) -> None:
        sent = Maker(listener.door, seed).request(*route)
        assert not (fault := listener.fault(sent)), (fault, sent)

    sends()


def count_wrong(listener: Listener, routes_: Sequence[tuple[str, str]]) -> None:
    """Each field that the code asks for gets each number that is none, in the query of each path that is only read."""
    listener.errors()
    queries = [f"{name}={quote_from_bytes(number)}" for name in listener.door.names for number in WRONG_NUMBERS]
    with RawClient("http://{}:{}".format(*listener.address)) as client:
        for path in (re.sub(r"{[^}]*}", "x", path) for method, path in routes_ if method == "GET"):
            for headers in listener.door.headers:
                for start in range(0, len(queries), 40):  # sent together, answered one after the other
                    asked = [f"{path}?{query}" for query in queries[start : start + 40]]
                    client.send(b"".join(request("GET", one, headers=headers) for one in asked))
                    for one in asked:
                        assert client.answer().status != 500, (one, headers)
    assert listener.errors() == []


def split(url: str) -> tuple[str, int]:
    host, _, port = url.removeprefix("http://").partition(":")
    return host, int(port)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """Behind a proxy, with a sign-in service, a service token and secrets restored: everything that reads more."""
    with ExitStack() as stack:
        simulator = stack.enter_context(SimulatorProcess())
        more = {
            "server": {
                "behind_tls_proxy": True,
                "unpaid_requests_per_minute": 1_000_000,  # else most of them are refused unread
                "stranger_refusals_per_minute": 1_000_000,
            },
            "internal": {
                "port": 0,
                "tokens": {"all": {"token": SERVICE_TOKEN, "scopes": [str(one) for one in ServiceScope]}},
            },
            "policy": {"secrets": "restore"},
            **configured(stack.enter_context(project())),
        }
        providers = {kind: provider(kind, simulator.url) for kind in ("openai", "anthropic", "google")}
        plain = [one for one in model_list() if one["name"].endswith("-plain")]
        yield stack.enter_context(GatewayProcess(tmp_path_factory.mktemp("hostile"), providers, plain, more))


@pytest.fixture(scope="module")
def public(gateway: GatewayProcess) -> Listener:
    access = gateway.session("user", 100_000)["access_token"]
    names, members = names_asked_for("gateway/api", "gateway/http"), names_asked_for("providers", structs=True)
    headers: list[dict[str, str]] = [{"authorization": f"Bearer {access}"}]
    headers += [{"x-goog-api-key": access}, {"x-api-key": access, "anthropic-version": "2023-06-01"}, {}]
    return Listener(Door("gateway.test", headers, names, members, BODIES), split(gateway.url), gateway.log)


@pytest.fixture(scope="module")
def pages(gateway: GatewayProcess) -> Listener:
    """The same listener, for a browser that is signed in, one that begins to sign in, an app, and strangers."""
    key, pid, names = gateway.for_account(_person)
    session, begun = cookies.new_session(pid, names), cookies.new_sign_in("/account")
    signed_in = {
        "cookie": f"__Host-{cookies.SESSION_COOKIE}={cookies.seal(key, session)}",
        "origin": "https://gateway.test",
    }
    signing_in = {
        "cookie": f"__Host-{cookies.SIGN_IN_COOKIE}={cookies.seal(key, begun)}",
        "origin": "https://gateway.test",
    }
    fields = {"form_token": cookies.form_token(key, session), "state": begun.state, "client_id": CLIENT}
    door = Door(
        "gateway.test",
        [signed_in, signed_in, signing_in, {}],
        names_asked_for("gateway/portal", "gateway/oauth", "gateway/http"),
        names_asked_for("gateway/portal", structs=True),
        [{**fields, "access_token": "a.b.c"}],
        fields,
    )
    return Listener(door, split(gateway.url), gateway.log)


@pytest.fixture(scope="module")
def internal(gateway: GatewayProcess) -> Listener:
    service = {"authorization": f"Bearer {SERVICE_TOKEN}", "idempotency-key": "one"}
    bodies = [
        {"version": 1, "tier": "pro", "models": ["a"], "region": "eu", "mode": "local", "org": "o", "min_app": {"a": "1.0"}, "max_retention_days": 0},
        {"amount": 1}, {"restricted": False}, {"customer": "cus_a"}, {"after": "0-0"}, {"charge": 1, "rev": 0, "unpriced": 1},
    ]  # fmt: skip
    names = names_asked_for("gateway/internal", "gateway/accounts")
    members = names_asked_for("gateway/internal", structs=True)
    return Listener(
        Door("127.0.0.1", [service, service, service, {}], names, members, bodies), split(gateway.internal), gateway.log
    )


async def _person(_store: Any, key: bytes, pid: str) -> tuple[bytes, str, list[str]]:
    return key, pid, ["u:" + "0" * 64]


def test_numbers_that_are_none_on_the_public_listener(public: Listener) -> None:
    lists = Listener(replace(public.door, headers=public.door.headers[1:3]), public.address, public.log)
    count_wrong(lists, [*PROVIDERS, *_RESOURCES])


def test_numbers_that_are_none_on_the_internal_listener(internal: Listener) -> None:
    one = Listener(replace(internal.door, headers=internal.door.headers[:1]), internal.address, internal.log)
    count_wrong(one, INTERNAL)


def test_the_providers_paths(public: Listener) -> None:
    hammer(public, PROVIDERS)


def test_the_paths_that_are_refused_by_name(public: Listener) -> None:
    hammer(public, REFUSED, 2)


def test_the_gateways_own_paths(public: Listener) -> None:
    hammer(public, OWN)


def test_pages_and_sign_in(pages: Listener) -> None:
    hammer(pages, OWN)


def test_the_internal_listener(internal: Listener) -> None:
    hammer(internal, INTERNAL)


def test_the_local_broker(tmp_path: Path) -> None:
    log = tmp_path / "broker.log"
    with ScriptedEngine(chat_engine("small")) as engine, BrokerProcess("--engine", engine.address) as broker:
        names, members = names_asked_for("gateway/local", "gateway/http"), names_asked_for("providers", structs=True)
        door = Door(f"127.0.0.1:{broker.port}", [{}], names, members, [{**one, "model": "small"} for one in BODIES])
        log.touch()
        hammer(Listener(door, ("127.0.0.1", broker.port), log), PROVIDERS)
    assert [line for line in broker.lines if line["level"] == "error"] == []
