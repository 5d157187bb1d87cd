"""Requests drawn from the OpenAPI documents, valid ones and broken ones (schemathesis): none ends in a 5xx, and each
answer has a status, headers and a body that its document describes.

The suite draws few for each operation; ``make api`` draws many (`API_EXAMPLES`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from benchmarks.simulator import SimulatorProcess
from gateway.api import openapi as data_plane
from gateway.config.internal import ServiceScope
from gateway.internal import openapi as internal
from gateway.internal.operations import OPERATIONS
from tests.gateway_process import GatewayProcess, model, provider

EXAMPLES = int(os.environ.get("API_EXAMPLES", "2"))
SERVICE = "service-token-of-the-test-" + "x" * 16
MODELS = {
    "openai": ("gpt-6.1-terra", "text-embedding-3-small"),
    "anthropic": ("claude-sonnet-5-5",),
    "google": ("gemini-3.8-flash", "gemini-embedding-001"),
}
JUDGED = (
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
DOCUMENTS = {"public": data_plane.document(), "internal": internal.document(OPERATIONS)}
MODES = {"valid": GenerationMode.POSITIVE, "broken": GenerationMode.NEGATIVE}
CASES = [
    (listener, method, path, mode)
    for listener, document in DOCUMENTS.items()
    for path, methods in document["paths"].items()
    for method, operation in methods.items()
    for mode in MODES
    if mode == "valid"
    or "requestBody" in operation
    or any(one["in"] != "path" for one in operation.get("parameters", ()))  # else nothing can be broken
]


@dataclass(frozen=True)
class Listener:
    """One of the two, with the token that everything on it accepts."""

    url: str
    schema: Any
    session: requests.Session

    def operation(self, method: str, path: str) -> Any:
        return self.schema[path][method.upper()]

    def call(self, case: Any) -> Any:
        answer = case.call(self.url, self.session, dict(self.session.headers), allow_redirects=False)
        assert answer.status_code < 500, answer.text
        case.validate_response(answer, checks=[CHECKS.get_one(name) for name in JUDGED])
        return answer


@pytest.fixture(scope="module")
def listeners(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Listener]]:
    load_all_checks()
    folder = tmp_path_factory.mktemp("api")
    services = {"billing": {"token": SERVICE, "scopes": [*ServiceScope]}}
    more = {"internal": {"port": 0, "tokens": services}}
    with SimulatorProcess() as simulator:
        providers = {kind: provider(kind, simulator.url) for kind in MODELS}
        models = [model(name, kind) for kind, names in MODELS.items() for name in names]
        with GatewayProcess(folder, providers, models, more) as gateway:
            token = gateway.session("user", 1_000_000)["access_token"]
            found = {}
            for name, url, bearer in (("public", gateway.url, token), ("internal", gateway.internal, SERVICE)):
                session = requests.Session()
                session.trust_env = False
                session.headers.update({"Authorization": f"Bearer {bearer}"})
                found[name] = Listener(url, schemathesis.openapi.from_dict(DOCUMENTS[name]), session)
            yield found
            for listener in found.values():
                listener.session.close()


@pytest.mark.parametrize(("name", "method", "path", "mode"), CASES)
def test_what_is_answered_is_described(
    listeners: dict[str, Listener], name: str, method: str, path: str, mode: str
) -> None:
    listener = listeners[name]

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(listener.operation(method, path).as_strategy(generation_mode=MODES[mode]))
    def judge(case: Any) -> None:
        listener.call(case)

    judge()


EXAMPLED = [
    (path, operation)
    for path, methods in DOCUMENTS["public"]["paths"].items()
    for operation in methods.values()
    if operation["operationId"].split("_")[0] in ("openai", "anthropic", "gemini")
]


@pytest.mark.parametrize(("path", "operation"), EXAMPLED, ids=[path for path, _ in EXAMPLED])
def test_the_example_of_an_operation_is_served(
    listeners: dict[str, Listener], path: str, operation: dict[str, Any]
) -> None:
    listener = listeners["public"]
    content = operation["requestBody"]["content"]["application/json"]
    named = {one["name"]: one["example"] for one in operation["parameters"] if one["in"] == "path"}
    case = listener.operation("post", path).Case(
        body=content["example"], media_type="application/json", path_parameters=named
    )
    answer = listener.call(case)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("path", DOCUMENTS["public"]["paths"])
def test_a_method_that_is_not_described_is_refused(listeners: dict[str, Listener], path: str) -> None:
    listener = listeners["public"]
    described = {method.upper() for method in DOCUMENTS["public"]["paths"][path]}
    filled = path.replace("{model}", "gpt-6.1-terra").replace("{name}", "README.md").replace("{rid}", "req_" + "0" * 32)
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - described:
        answer = listener.session.request(method, listener.url + filled, timeout=60)
        if method == "POST" and answer.status_code == 403:
            assert "text/html" in answer.headers["content-type"]  # a page refuses forms of other sites first
        else:
            assert answer.status_code == 405, (method, answer.text)
            assert described <= {one.strip() for one in answer.headers["Allow"].split(",")}
