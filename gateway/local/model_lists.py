"""The models of this machine's engines, as each API lists models. Lists are short and have one page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import unquote

import orjson
from aiohttp import web

from gateway.errors import ModelNotFound
from gateway.http.answers import json_response
from gateway.http.fields import first_of
from gateway.local.directory import Engine
from gateway.names import NO_DATE
from providers.dialect import Family

Names = Sequence[tuple[str, Engine]]


def _openai(name: str, engine: Engine) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": engine.kind.value}


def _anthropic(name: str, engine: Engine) -> dict[str, Any]:
    return {"type": "model", "id": name, "display_name": f"{name} ({engine.kind})", "created_at": NO_DATE}


def _google(name: str, engine: Engine) -> dict[str, Any]:
    return {
        "name": f"models/{name}",
        "baseModelId": name,
        "version": "001",
        "displayName": f"{name} ({engine.kind})",
        "supportedGenerationMethods": ["generateContent", "streamGenerateContent"],
    }


_SHAPES: Final = {Family.OPENAI: _openai, Family.ANTHROPIC: _anthropic, Family.GOOGLE: _google}


def list_models(names: Names, family: Family | None, query: str, rid: str) -> web.Response:
    """All of them. Codex, which sends its version, reads a member ``models`` of its own and keeps its list if empty."""
    family = family or Family.OPENAI
    rows = [_SHAPES[family](name, engine) for name, engine in names]
    if family is Family.GOOGLE:
        body: dict[str, Any] = {"models": rows}
    elif family is Family.ANTHROPIC:
        ids = [row["id"] for row in rows]
        body = {
            "data": rows,
            "has_more": False,
            "first_id": ids[0] if ids else None,
            "last_id": ids[-1] if ids else None,
        }
    else:
        body = {"object": "list", "data": rows} | ({"models": []} if "client_version" in first_of(query) else {})
    return json_response(orjson.dumps(body), rid)


def show_model(names: Names, family: Family | None, wanted: str, rid: str) -> web.Response:
    """One. Raises `ModelNotFound`."""
    wanted = unquote(wanted).removeprefix("models/")
    for name, engine in names:
        if name == wanted:
            return json_response(orjson.dumps(_SHAPES[family or Family.OPENAI](name, engine)), rid)
    raise ModelNotFound
