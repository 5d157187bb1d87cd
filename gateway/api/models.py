"""The catalog as each API lists models: OpenAI, Anthropic and Google shapes, paged as each pages.

Sources: OpenAI ``GET /v1/models`` (not paged), Anthropic ``GET /v1/models`` (``limit``, ``after_id``,
``before_id``), Google ``GET /v1beta/models`` (``pageSize``, ``pageToken``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from aiohttp import web

from gateway.auth import policy
from gateway.auth.principal import Principal
from gateway.catalog.catalog import Catalog, Model
from gateway.errors import InvalidRequest, ModelNotFound
from gateway.http.answers import json_response
from gateway.http.fields import first_of
from metering.numbers import whole_number
from providers.dialect import Family

# Neither API's clients act on the date; a fixed one says that it is not known.
_CREATED = 0
_CREATED_AT = "1970-01-01T00:00:00Z"
_ANTHROPIC_PAGE, _ANTHROPIC_MOST = 20, 1000
_GOOGLE_PAGE, _GOOGLE_MOST = 50, 1000
_GENERATING = ["generateContent", "streamGenerateContent", "countTokens"]
_EMBEDDING = ["embedContent", "batchEmbedContents", "countTokens"]


def _owner(model: Model) -> str:
    return model.targets[0].provider.company


def _openai(model: Model) -> dict[str, Any]:
    return {"id": model.name, "object": "model", "created": _CREATED, "owned_by": _owner(model)}


def _anthropic(model: Model) -> dict[str, Any]:
    return {"type": "model", "id": model.name, "display_name": model.name, "created_at": _CREATED_AT}


def _google(model: Model) -> dict[str, Any]:
    methods = _EMBEDDING if "embed" in model.name else _GENERATING
    shown: dict[str, Any] = {
        "name": f"models/{model.name}",
        "baseModelId": model.name,
        "version": "001",
        "displayName": model.name,
        "supportedGenerationMethods": methods,
    }
    if model.context_window:
        shown["inputTokenLimit"] = model.context_window
    if model.max_output:
        shown["outputTokenLimit"] = model.max_output
    return shown


def _visible(catalog: Catalog, principal: Principal, family: Family | None) -> list[Model]:
    """What this caller may use; Anthropic's and Google's lists hold the models that their SDKs can call."""
    every = family is None or family is Family.OPENAI
    return [
        model
        for model in catalog.models
        if policy.allows(principal, model) and (every or model.targets[0].provider.family is family)
    ]


def _size(values: Mapping[str, str], name: str, usual: int, most: int) -> int:
    text = values.get(name, "")
    if not text:
        return usual
    size = whole_number(text)
    if not size:
        raise InvalidRequest("The page size must be a positive integer.", param=name)
    return min(size, most)


def list_models(catalog: Catalog, principal: Principal, family: Family | None, query: str, rid: str) -> web.Response:
    """One page of the catalog in the caller's shape. Raises `InvalidRequest` for a bad page."""
    models = _visible(catalog, principal, family)
    values = first_of(query)
    if family is Family.ANTHROPIC:
        return _anthropic_page(models, values, rid)
    if family is Family.GOOGLE:
        return _google_page(models, values, rid)
    body: dict[str, Any] = {"object": "list", "data": [_openai(model) for model in models]}
    if "client_version" in values:
        body["models"] = []  # Codex sends its version, reads this member of its own, and keeps its list if it is empty
    return json_response(orjson.dumps(body), rid)


def _anthropic_page(models: list[Model], values: Mapping[str, str], rid: str) -> web.Response:
    size = _size(values, "limit", _ANTHROPIC_PAGE, _ANTHROPIC_MOST)
    names: list[str] = [model.name for model in models]
    after, before = values.get("after_id", ""), values.get("before_id", "")
    if (after and after not in names) or (before and before not in names):
        raise InvalidRequest("This page cursor is not an id of the list.", param="after_id" if after else "before_id")
    if before:
        rest = models[: names.index(before)]
        page, more = rest[-size:], len(rest) > size
    else:
        rest = models[names.index(after) + 1 :] if after else models
        page, more = rest[:size], len(rest) > size
    body = {
        "data": [_anthropic(model) for model in page],
        "has_more": more,
        "first_id": page[0].name if page else None,
        "last_id": page[-1].name if page else None,
    }
    return json_response(orjson.dumps(body), rid, headers={"request-id": rid})


def _google_page(models: list[Model], values: Mapping[str, str], rid: str) -> web.Response:
    size = _size(values, "pageSize", _GOOGLE_PAGE, _GOOGLE_MOST)
    start = whole_number(values.get("pageToken") or "0", len(models))
    if start is None:
        raise InvalidRequest("This page token was not given out here.", param="pageToken")
    body: dict[str, Any] = {"models": [_google(model) for model in models[start : start + size]]}
    if start + size < len(models):
        body["nextPageToken"] = str(start + size)
    return json_response(orjson.dumps(body), rid)


def show_model(catalog: Catalog, principal: Principal, family: Family | None, name: str, rid: str) -> web.Response:
    """One model. Raises `ModelNotFound`."""
    wanted = name.removeprefix("models/")
    found = catalog.resolve(wanted)
    if found is None or not policy.allows(principal, found):
        raise ModelNotFound
    shape = {Family.ANTHROPIC: _anthropic, Family.GOOGLE: _google}.get(family or Family.OPENAI, _openai)
    return json_response(orjson.dumps(shape(found)), rid)
