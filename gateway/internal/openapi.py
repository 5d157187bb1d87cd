"""The internal API as OpenAPI 3.1, generated from the table of operations and their types."""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

import msgspec

from gateway.http.answers import Problem
from gateway.internal.operations import ServiceOperation

_ALWAYS = (400, 401, 403, 503)  # for every operation
_REF = "#/components/schemas/{name}"


def document(operations: Sequence[ServiceOperation]) -> dict[str, Any]:
    """The document; its schemas are JSON Schema 2020-12, as OpenAPI 3.1 takes them."""
    types = [Problem, *(kind for one in operations for kind in (one.answer, one.body) if kind is not None)]
    unique = list(dict.fromkeys(types))
    shown, schemas = msgspec.json.schema_components(unique, ref_template=_REF)
    schema_of = dict(zip(unique, shown, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for one in operations:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "CodeGrex gateway, internal API",
            "version": version("codegrex-gateway"),
            "description": "Amounts are integer micro-credits, times Unix milliseconds. See docs/billing.md.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"service": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"service": []}],
    }


def _operation(one: ServiceOperation, schema_of: dict[Any, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {"application/json": {"schema": schema_of[one.answer]}}
    if "format" in one.parameters:
        content["text/csv"] = {"schema": {"type": "string"}}
    shown: dict[str, Any] = {
        "operationId": one.handler.__name__,
        "summary": one.summary,
        "security": [{"service": [one.scope.value]}],
        "parameters": _parameters(one),
        "responses": {"200": {"description": "Success.", "content": content}}
        | {str(status): _problem(status, schema_of) for status in sorted({*_ALWAYS, *one.errors})},
    }
    if one.body is not None:
        body = {"application/json": {"schema": schema_of[one.body]}}
        shown["requestBody"] = {"required": True, "content": body}
    return shown


def _parameters(one: ServiceOperation) -> list[dict[str, Any]]:
    text = {"type": "string"}
    in_path = [
        {"name": name, "in": "path", "required": True, "schema": text} for name in re.findall(r"\{(\w+)\}", one.path)
    ]
    return in_path + [
        {"name": name, "in": place, "required": required, "description": what, "schema": text}
        for name, (place, what, required) in one.parameters.items()
    ]


def _problem(status: int, schema_of: dict[Any, Any]) -> dict[str, Any]:
    return {
        "description": HTTPStatus(status).phrase,
        "content": {"application/problem+json": {"schema": schema_of[Problem]}},
    }
