"""The document of the public listener has each path that is served and nothing else; so do its errors."""

from __future__ import annotations

import json
import re

import pytest
from click.testing import CliRunner
from multidict import CIMultiDict

from gateway import errors
from gateway.api import routes
from gateway.api.openapi import document
from gateway.api.routes import OwnRoute, Part
from gateway.cli import cli
from gateway.errors import GatewayError
from gateway.http.request import TOKEN_HEADERS
from providers.dialect import Operation
from providers.paths import PathFault, Route, Surface, resolve, served

DOCUMENT = document()
OPERATIONS = [
    (method.upper(), path, operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
]


def found(method: str, path: str) -> OwnRoute | Route | PathFault:
    filled = re.sub(r"\{\w+\}", "some-name", path)
    return routes.find(filled, CIMultiDict()) or resolve(method, filled)


def test_each_path_of_the_document_is_served() -> None:
    for method, path, _ in OPERATIONS:
        at = found(method, path)
        assert not isinstance(at, PathFault), (method, path)
        if isinstance(at, OwnRoute) and at.methods is not None:
            assert method in at.methods, (method, path)


def test_each_path_that_is_served_is_in_the_document() -> None:
    described = {(method, path) for method, path, _ in OPERATIONS}
    assert described >= {(method, path) for method, path, _ in served()}
    assert {path for _, path in described} >= set(routes.TABLE)
    parts = {at.part for method, path, _ in OPERATIONS if isinstance(at := found(method, path), OwnRoute)}
    assert parts == set(Part)


def test_served_names_every_operation_as_it_is_found() -> None:
    assert {route.operation for _, _, route in served()} == {None, *Operation} - {Operation.OPENAI_FILL_IN}
    assert {route.surface for _, _, route in served()} == set(Surface)
    for method, path, route in served():
        at = resolve(method, path.replace("{model}", "m"))
        assert isinstance(at, Route)
        assert (at.surface, at.family, at.operation) == (route.surface, route.family, route.operation)


def tree(error: type[GatewayError]) -> set[type[GatewayError]]:
    return {error}.union(*(tree(branch) for branch in error.__subclasses__()))


ELSEWHERE = {  # the internal API, the local broker, and methods and paths that are not in a document
    errors.Conflict,
    errors.NotReloaded,
    errors.ForeignOrigin,
    errors.MethodNotAllowed,
}


def test_each_error_of_the_listener_is_in_the_document() -> None:
    codes = {
        (int(status), code)
        for _, _, operation in OPERATIONS
        for status, answer in operation["responses"].items()
        for code in answer.get("headers", {}).get("x-error-code", {}).get("schema", {}).get("enum", ())
    }
    expected = {(error.status, error.code) for error in tree(GatewayError) - ELSEWHERE}
    assert {(status, code) for status, code in expected if code != "internal_error" or status == 500} == codes


def test_every_way_to_send_the_token_is_described() -> None:
    schemes = DOCUMENT["components"]["securitySchemes"]
    assert [scheme.get("name", "Authorization") for scheme in schemes.values()] == list(TOKEN_HEADERS)


def test_operations_have_names_of_their_own_and_references_lead_somewhere() -> None:
    names = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert sorted(set(names)) == sorted(names)
    for reference in re.findall(r'"#/components/schemas/(\w+)"', json.dumps(DOCUMENT)):
        assert reference in DOCUMENT["components"]["schemas"]


@pytest.mark.parametrize("arguments", [["openapi"], ["openapi", "--internal"]])
def test_the_command_prints_it(arguments: list[str]) -> None:
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0
    printed = json.loads(done.output)
    assert printed["openapi"] == "3.1.0"
    if len(arguments) == 1:
        assert printed == DOCUMENT
